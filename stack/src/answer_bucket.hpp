// SPDX-License-Identifier: BSD-3-Clause
//
// How many answers may leave: `at_once`, and one more each interval. One number a bucket, no timer.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tandem/stack.hpp"

namespace tandem {

class AnswerBucket {
 public:
  /// Takes one answer out; false when there is none.
  bool take(std::uint64_t now_ns, const AnswerRate& rate) {
    const std::uint64_t full_ns = rate.interval_ns * rate.at_once;
    const std::uint64_t empty_at_ns = std::max(paid_until_ns_, now_ns);
    if (empty_at_ns + rate.interval_ns > now_ns + full_ns) {
      return false;
    }
    paid_until_ns_ = empty_at_ns + rate.interval_ns;
    return true;
  }

 private:
  std::uint64_t paid_until_ns_ = 0;  ///< what was taken has come back by then
};

}  // namespace tandem
