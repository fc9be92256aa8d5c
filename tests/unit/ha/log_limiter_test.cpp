// SPDX-License-Identifier: BSD-3-Clause
#include "say/log_limiter.hpp"

#include <catch2/catch.hpp>

using tandem::ha::LogLimiter;

TEST_CASE("log lines come in a burst and then at their pace, and those left out are counted once") {
  LogLimiter limiter;
  std::uint64_t now = 1'000'000'000'000;
  for (std::uint64_t i = 0; i < LogLimiter::kBurstLines; ++i) CHECK(limiter.admits(now));
  CHECK_FALSE(limiter.admits(now));
  CHECK_FALSE(limiter.admits(now));
  CHECK(limiter.take_left_out() == 2);
  CHECK(limiter.take_left_out() == 0);

  now += LogLimiter::kLineEvery_ns;
  CHECK(limiter.admits(now));
  CHECK_FALSE(limiter.admits(now));

  // A quiet time gives the burst back, and no more than that.
  now += 1000 * LogLimiter::kBurstLines * LogLimiter::kLineEvery_ns;
  for (std::uint64_t i = 0; i < LogLimiter::kBurstLines; ++i) CHECK(limiter.admits(now));
  CHECK_FALSE(limiter.admits(now));
}
