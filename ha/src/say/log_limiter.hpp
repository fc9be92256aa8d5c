// SPDX-License-Identifier: BSD-3-Clause
//
// How many log lines there may be: a burst, then a few a second. What is left out is counted, and said with the next line.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace tandem::ha {

class LogLimiter {
 public:
  static constexpr std::uint64_t kBurstLines = 100;
  static constexpr std::uint64_t kLineEvery_ns = 50'000'000;

  /// Whether a line may be written now. One that may not counts as left out.
  bool admits(std::uint64_t now_ns) {
    // The bucket is a moment: the one at which all that was written will have been paid for.
    const std::uint64_t full_at = now_ns + kBurstLines * kLineEvery_ns;
    const std::uint64_t paid_at = std::max(paid_at_ns_, now_ns) + kLineEvery_ns;
    if (paid_at > full_at) {
      ++left_out_;
      return false;
    }
    paid_at_ns_ = paid_at;
    return true;
  }
  /// How many were left out since this was asked last.
  std::uint64_t take_left_out() { return std::exchange(left_out_, 0); }

 private:
  std::uint64_t paid_at_ns_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace tandem::ha
