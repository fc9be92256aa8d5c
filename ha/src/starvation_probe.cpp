// SPDX-License-Identifier: BSD-3-Clause
#include "starvation_probe.hpp"

#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace tandem::ha {

bool StarvationProbe::holds() {
  // schedstat counts nanoseconds where stat counts hundredths of a second, which is longer than a detection time may be.
  const auto read_file = [this](const char* name, char* text, std::size_t size) {
    const std::string path = "/proc/" + std::to_string(pid_) + "/" + name;
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    const ssize_t length = read(file, text, size - 1);
    close(file);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
  };
  char text[1024];
  if (!read_file("stat", text, sizeof text)) return false;
  // The command's name stands in parentheses and may hold any character; the state follows it.
  const char* name_end = std::strrchr(text, ')');
  if (name_end == nullptr || name_end[1] != ' ') return false;
  const bool ready_to_run = name_end[2] == 'R';
  unsigned long long ran_ns = 0;
  if (!read_file("schedstat", text, sizeof text) || std::sscanf(text, "%llu", &ran_ns) != 1) return false;
  const bool stood_still = last_ran_ns_ == ran_ns;
  last_ran_ns_ = ran_ns;
  return ready_to_run && stood_still;
}

}  // namespace tandem::ha
