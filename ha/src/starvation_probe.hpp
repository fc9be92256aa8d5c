// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <sys/types.h>

namespace tandem::ha {

/// Tells from /proc/PID/stat (proc(5)) whether a process is ready to run and gets no processor, as on an overloaded machine: it
/// is neither stopped nor asleep, and its processor time stands still from one call to the next.
class StarvationProbe {
 public:
  explicit StarvationProbe(std::uint32_t pid) : pid_(pid) {}

  /// False at the first call, when nothing is known, and when the process cannot be read.
  bool holds();

 private:
  std::uint32_t pid_;
  std::uint64_t last_ran_ns_ = UINT64_MAX;
};

}  // namespace tandem::ha
