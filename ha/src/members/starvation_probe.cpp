// SPDX-License-Identifier: BSD-3-Clause
#include "members/starvation_probe.hpp"

#include <unistd.h>
#include <cstdio>
#include <cstring>

namespace tandem::ha {
namespace {

bool read_from_start(int file, char* text, std::size_t size) {
  if (file < 0) return false;
  const ssize_t length = pread(file, text, size - 1, 0);
  text[length > 0 ? length : 0] = '\0';
  return length > 0;
}

}  // namespace

StarvationProbe::Sample StarvationProbe::sample() const {
  Sample result;
  char text[1024];
  if (!read_from_start(stat_, text, sizeof text)) return result;
  // The command's name stands in parentheses and may hold any character; the state follows it.
  const char* name_end = std::strrchr(text, ')');
  if (name_end == nullptr || name_end[1] != ' ') return result;
  result.ready_to_run = name_end[2] == 'R';
  result.stopped = name_end[2] == 'T' || name_end[2] == 't';
  // In nanoseconds, where stat counts hundredths of a second.
  unsigned long long ran_ns = 0;
  if (!read_from_start(schedstat_, text, sizeof text) || std::sscanf(text, "%llu", &ran_ns) != 1) return result;
  result.ran_ns = ran_ns;
  result.known = true;
  return result;
}

void StarvationProbe::begin() { first_ = sample(); }

bool StarvationProbe::is_starved(std::uint64_t work_ns) const {
  const Sample now = sample();
  // Interrupts and the other processor's clock take their part of what a loop without an end could have had.
  return first_.known && now.known && now.ready_to_run && now.ran_ns - first_.ran_ns < work_ns / 10 * 9;
}

}  // namespace tandem::ha
