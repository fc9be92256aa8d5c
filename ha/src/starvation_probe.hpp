// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace tandem::ha {

/// Tells from /proc/PID/stat and /proc/PID/schedstat (proc(5)) whether a process is ready to run and gets little of a processor,
/// as on an overloaded machine: it is neither stopped nor asleep, and does not run in circles either.
class StarvationProbe {
 public:
  explicit StarvationProbe(std::uint32_t pid) : pid_(pid) {}

  void begin();
  /// Whether it is ready to run and has run for less than half of `elapsed_ns` since begin(). False when that cannot be read.
  [[nodiscard]] bool is_starved(std::uint64_t elapsed_ns) const;

 private:
  struct Sample {
    bool known = false;
    bool ready_to_run = false;
    std::uint64_t ran_ns = 0;
  };
  [[nodiscard]] Sample sample() const;

  std::uint32_t pid_;
  Sample first_;
};

}  // namespace tandem::ha
