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

TEST_CASE("the text that a spinning twin walks through is this program's code") {
  const ProgramText text;
  CHECK(text.bytes() >= 64 * 1024);
  CHECK(text.bytes() <= std::size_t{2} << 20);
}
