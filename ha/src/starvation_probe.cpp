// SPDX-License-Identifier: BSD-3-Clause
#include "starvation_probe.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <cstdio>
#include <cstring>
#include <string>

namespace tandem::ha {
namespace {

bool read_proc(std::uint32_t pid, const char* name, char* text, std::size_t size) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t length = read(file, text, size - 1);
  close(file);
  text[length > 0 ? length : 0] = '\0';
  return length > 0;
}

}  // namespace

StarvationProbe::Sample StarvationProbe::sample() const {
  Sample result;
  char text[1024];
  if (!read_proc(pid_, "stat", text, sizeof text)) return result;
  // The command's name stands in parentheses and may hold any character; the state follows it.
  const char* name_end = std::strrchr(text, ')');
  if (name_end == nullptr || name_end[1] != ' ') return result;
  result.ready_to_run = name_end[2] == 'R';
  // In nanoseconds, where stat counts hundredths of a second.
  unsigned long long ran_ns = 0;
  if (!read_proc(pid_, "schedstat", text, sizeof text) || std::sscanf(text, "%llu", &ran_ns) != 1) return result;
  result.ran_ns = ran_ns;
  result.known = true;
  return result;
}

void StarvationProbe::begin() { first_ = sample(); }

bool StarvationProbe::is_starved(std::uint64_t elapsed_ns) const {
  const Sample now = sample();
  return first_.known && now.known && now.ready_to_run && now.ran_ns - first_.ran_ns < elapsed_ns / 2;
}

}  // namespace tandem::ha
