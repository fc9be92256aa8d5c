// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "hang_detector.hpp"

using tandem::ha::HangDetector;

namespace {
constexpr std::uint64_t kMs = 1'000'000;
constexpr auto never = [] { return false; };
}

TEST_CASE("a heartbeat that stands still for the detection time is a hang") {
  HangDetector detector(50);
  std::uint64_t now = 1000 * kMs;
  CHECK_FALSE(detector.sample(now, 5, never));
  int samples = 0;
  bool hung = false;
  while (!hung && samples < 20) {
    now = detector.next_sample_ns();
    hung = detector.sample(now, 5, never);
    ++samples;
  }
  CHECK(hung);
  CHECK(now - 1000 * kMs == 50 * kMs);
}

TEST_CASE("a heartbeat that moves is none") {
  HangDetector detector(50);
  std::uint64_t now = 1000 * kMs;
  for (std::uint64_t beat = 0; beat < 100; ++beat) {
    CHECK_FALSE(detector.sample(now, beat / 4, never));
    now += 10 * kMs;
  }
}

TEST_CASE("a pause of the whole machine does not look like a hang") {
  HangDetector detector(50);
  std::uint64_t now = 1000 * kMs;
  for (int round = 0; round < 10; ++round) {
    // Four samples in time, then the watcher itself was not run for a second.
    for (int i = 0; i < 5; ++i) {
      CHECK_FALSE(detector.sample(now, 1, never));
      now += 10 * kMs;
    }
    now += 1000 * kMs;
  }
}

TEST_CASE("calls between the samples count for nothing") {
  HangDetector detector(50);
  std::uint64_t now = 1000 * kMs;
  for (int i = 0; i < 40; ++i) {
    CHECK_FALSE(detector.sample(now, 1, never));
    now += kMs;
  }
}

TEST_CASE("a primary that waits for a processor is given longer, but not for ever") {
  HangDetector detector(50);
  std::uint64_t now = 1000 * kMs;
  bool starved = true;
  const auto is_starved = [&] { return starved; };
  CHECK_FALSE(detector.sample(now, 1, is_starved));
  SECTION("it never gets one") {
    while (!detector.sample(now = detector.next_sample_ns(), 1, is_starved)) REQUIRE(now < 2000 * kMs);
    CHECK(now - 1000 * kMs == 500 * kMs);
  }
  SECTION("it gets one and still does not turn") {
    for (int i = 0; i < 10; ++i) CHECK_FALSE(detector.sample(now = detector.next_sample_ns(), 1, is_starved));
    starved = false;
    CHECK(detector.sample(detector.next_sample_ns(), 1, is_starved));
  }
}
