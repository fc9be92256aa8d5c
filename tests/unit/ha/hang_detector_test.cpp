// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <ctime>
#include <fstream>
#include <string>

#include "members/hang_detector.hpp"
#include "members/starvation_probe.hpp"

using tandem::ha::HangDetector;

namespace {
constexpr std::uint64_t kMs = 1'000'000;

struct Probe {
  bool starved = false;
  int begun = 0;
  std::uint64_t elapsed_ns = 0;
  std::uint64_t ran_ns = UINT64_MAX;
  void begin() { ++begun; }
  bool is_starved(std::uint64_t work) {
    elapsed_ns = work;
    return starved || ran_ns < work;
  }
} never;

}  // namespace

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
  Probe probe;
  probe.starved = true;
  CHECK_FALSE(detector.sample(now, 1, probe));
  SECTION("it never gets one") {
    while (!detector.sample(now = detector.next_sample_ns(), 1, probe)) REQUIRE(now < 2000 * kMs);
    CHECK(now - 1000 * kMs == 500 * kMs);
  }
  SECTION("it gets one and still does not turn") {
    for (int i = 0; i < 10; ++i) CHECK_FALSE(detector.sample(now = detector.next_sample_ns(), 1, probe));
    CHECK(probe.begun == 1);
    CHECK(probe.elapsed_ns > 0);
    probe.starved = false;
    CHECK(detector.sample(detector.next_sample_ns(), 1, probe));
  }
}

TEST_CASE("where others want the processor too, the primary's work counts and not the time that it takes") {
  // A turn of 25 ms: one in ten of a processor, so that it takes a quarter of a second.
  HangDetector detector(50);
  std::uint64_t now = 1000 * kMs;
  Probe probe;
  probe.ran_ns = 0;
  CHECK_FALSE(detector.sample(now, 1, probe));
  while (now < 1250 * kMs) {
    now = detector.next_sample_ns();
    probe.ran_ns = (now - 1000 * kMs) / 10;
    CHECK_FALSE(detector.sample(now, 1, probe));
  }
  SECTION("it has turned") { CHECK_FALSE(detector.sample(now += 10 * kMs, 2, probe)); }
  SECTION("it runs in circles") {
    bool hung = false;
    while (!hung && now < 2000 * kMs) {
      now = detector.next_sample_ns();
      probe.ran_ns += 5 * kMs;
      hung = detector.sample(now, 1, probe);
    }
    CHECK(hung);
    // As soon as it has had as much of a processor as a hang on a quiet machine has.
    CHECK(probe.ran_ns < 40 * kMs);
  }
}

TEST_CASE("a process that runs in circles or sleeps is not starved") {
  const bool runs = GENERATE(true, false);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::atomic<int> circles = 0;
    for (;;) {
      ++circles;
      if (!runs) pause();
    }
  }
  const auto ran_ns = [child] {
    std::ifstream file("/proc/" + std::to_string(child) + "/schedstat");
    std::uint64_t ns = 0;
    file >> ns;
    return ns;
  };
  const std::string directory = "/proc/" + std::to_string(child) + "/";
  const int stat = open((directory + "stat").c_str(), O_RDONLY | O_CLOEXEC);
  const int schedstat = open((directory + "schedstat").c_str(), O_RDONLY | O_CLOEXEC);
  tandem::ha::StarvationProbe probe(stat, schedstat);
  probe.begin();
  const std::uint64_t from = ran_ns();
  // It has run for 20 ms, however long the machine takes for that; or it has had the chance to fall asleep.
  for (int i = 0; i < (runs ? 100'000 : 100) && ran_ns() - from < 20 * kMs; ++i) {
    const timespec pause{0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
  CHECK_FALSE(probe.is_starved(20 * kMs));
  // Had it been given a whole minute, 20 ms would be little: then the one that is ready to run is starved.
  CHECK(probe.is_starved(60'000 * kMs) == runs);
  // Neither is it stopped, until somebody stops it.
  CHECK_FALSE(probe.is_stopped());
  kill(child, SIGSTOP);
  int status = 0;
  REQUIRE(waitpid(child, &status, WUNTRACED) == child);
  CHECK(probe.is_stopped());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  // Where there is no /proc, or its process has gone, nothing is known of it, and it is not starved.
  CHECK_FALSE(probe.is_starved(60'000 * kMs));
  CHECK_FALSE(tandem::ha::StarvationProbe(-1, -1).is_starved(60'000 * kMs));
  CHECK_FALSE(tandem::ha::StarvationProbe(-1, -1).is_stopped());
  close(stat);
  close(schedstat);
}
