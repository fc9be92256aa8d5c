// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace tandem::ha {

/// Tells from a thread's stat and schedstat (proc(5)) whether it is ready to run and gets little of a processor, as on an
/// overloaded machine: it is neither stopped nor asleep, and does not run in circles either. The thread itself has opened the files.
class StarvationProbe {
 public:
  StarvationProbe(int stat, int schedstat) : stat_(stat), schedstat_(schedstat) {}

  void begin();
  /// Whether it is ready to run and has run for less than about `work_ns` since begin(). False when that cannot be read.
  [[nodiscard]] bool is_starved(std::uint64_t work_ns) const;
  /// Whether a signal has stopped it, or a debugger.
  [[nodiscard]] bool is_stopped() const { return sample().stopped; }

 private:
  struct Sample {
    bool known = false;
    bool ready_to_run = false;
    bool stopped = false;
    std::uint64_t ran_ns = 0;
  };
  [[nodiscard]] Sample sample() const;

  int stat_;
  int schedstat_;
  Sample first_;
};

}  // namespace tandem::ha
