// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "hang_detector.hpp"

using tandem::ha::HangDetector;

namespace {
constexpr std::uint64_t kMs = 1'000'000;
}

TEST_CASE("a heartbeat that stands still for the detection time is a hang") {
  HangDetector detector(50);
  std::uint64_t now = 1000 * kMs;
  CHECK_FALSE(detector.sample(now, 5));
  int samples = 0;
  bool hung = false;
  while (!hung && samples < 20) {
    now = detector.next_sample_ns();
    hung = detector.sample(now, 5);
    ++samples;
  }
  CHECK(hung);
  CHECK(now - 1000 * kMs == 50 * kMs);
}

TEST_CASE("a heartbeat that moves is none") {
  HangDetector detector(50);
  std::uint64_t now = 1000 * kMs;
  for (std::uint64_t beat = 0; beat < 100; ++beat) {
    CHECK_FALSE(detector.sample(now, beat / 4));
    now += 10 * kMs;
  }
}

TEST_CASE("a pause of the whole machine does not look like a hang") {
  HangDetector detector(50);
  std::uint64_t now = 1000 * kMs;
  for (int round = 0; round < 10; ++round) {
    // Four samples in time, then the watcher itself was not run for a second.
    for (int i = 0; i < 5; ++i) {
      CHECK_FALSE(detector.sample(now, 1));
      now += 10 * kMs;
    }
    now += 1000 * kMs;
  }
}

TEST_CASE("calls between the samples count for nothing") {
  HangDetector detector(50);
  std::uint64_t now = 1000 * kMs;
  for (int i = 0; i < 40; ++i) {
    CHECK_FALSE(detector.sample(now, 1));
    now += kMs;
  }
}
