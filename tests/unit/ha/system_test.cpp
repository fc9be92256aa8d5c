// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include "system.hpp"

using namespace tandem::ha;

TEST_CASE("a predecessor that is set aside runs when nothing else wants the processor") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (;;) pause();
  }
  REQUIRE(sched_getscheduler(child) == SCHED_OTHER);
  system::make_idle(static_cast<std::uint32_t>(child));
  CHECK(sched_getscheduler(child) == SCHED_IDLE);
  CHECK(getpriority(PRIO_PROCESS, static_cast<id_t>(child)) == 19);
  kill(child, SIGKILL);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  // It may have gone before anybody came to it.
  system::make_idle(static_cast<std::uint32_t>(child));
}
