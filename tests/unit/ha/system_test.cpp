// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include "node/process.hpp"
#include "node/system.hpp"
#include "roles/prefault.hpp"

using namespace tandem::ha;

TEST_CASE("the text that a spinning twin walks through is this program's code") {
  const ProgramText text;
  CHECK(text.bytes() >= 64 * 1024);
  CHECK(text.bytes() <= std::size_t{2} << 20);
}

TEST_CASE("what each signal asks for is told apart, and none of them ends the process") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(10);
    const Descriptor signals = system::catch_signals();
    // A pending signal is kept once, however often it was sent.
    for (const int number : {SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGPIPE, SIGXFSZ}) raise(number);
    const system::SignalsTaken taken = system::take_signals(signals.get());
    const bool right = taken.stops == 2 && taken.hang_ups == 1 && taken.reports == 1 && taken.switchovers == 1;
    const system::SignalsTaken none = system::take_signals(signals.get());
    _exit(right && none.stops == 0 && none.hang_ups == 0 ? 7 : 8);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("signals that have come are taken when that is asked for, and once", "[io_uring]") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(10);
    Process process;
    process.begin({});
    std::uint32_t switchovers = 0;
    process.catch_signals([&](const system::SignalsTaken& taken) { switchovers += taken.switchovers; });
    raise(SIGUSR2);
    raise(SIGTERM);
    process.take_signals();
    const bool right = switchovers == 1 && process.stops() == 1;
    process.loop().run_once(0);
    _exit(right && switchovers == 1 && process.stops() == 1 ? 7 : 8);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
}
