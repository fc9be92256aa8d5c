// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include "prefault.hpp"
#include "system.hpp"

using namespace tandem::ha;

TEST_CASE("a predecessor that is set aside runs when nothing else wants the processor") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (;;) pause();
  }
  REQUIRE(sched_getscheduler(child) == SCHED_OTHER);
  int nice = getpriority(PRIO_PROCESS, static_cast<id_t>(child));
  for (int step = 0; step < system::kIdleSteps; ++step) {
    system::make_idle(static_cast<std::uint32_t>(child), step);
    CHECK(sched_getscheduler(child) == SCHED_IDLE);
    // Each step is one down, which is what the kernel acts upon.
    CHECK(getpriority(PRIO_PROCESS, static_cast<id_t>(child)) > nice);
    nice = getpriority(PRIO_PROCESS, static_cast<id_t>(child));
  }
  kill(child, SIGKILL);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  // It may have gone before anybody came to it.
  system::make_idle(static_cast<std::uint32_t>(child), 0);
}

TEST_CASE("the text that a spinning twin walks through is this program's code") {
  const ProgramText text;
  CHECK(text.bytes() >= 64 * 1024);
  CHECK(text.bytes() <= std::size_t{2} << 20);
}
