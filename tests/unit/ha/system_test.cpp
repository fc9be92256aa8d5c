// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include "prefault.hpp"
#include "system.hpp"

using namespace tandem::ha;

TEST_CASE("a log line never waits for whoever reads standard error") {
  int ends[2];
  const bool is_socket = GENERATE(false, true);
  REQUIRE((is_socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends)) == 0);
  const int before = dup(STDERR_FILENO);
  REQUIRE(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
  // A line that waits is a test that ends here.
  alarm(30);
  std::uint64_t taken = 0;
  bool more = true;
  for (int i = 0; i < 1'000'000 && more; ++i) {
    more = system::write_log_line(6, "primary", std::string(1000, 'x'));
    taken += more ? 1 : 0;
  }
  const bool full = !more;
  const bool shared = (fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0;
  char buffer[65536];
  REQUIRE(read(ends[0], buffer, sizeof buffer) > 0);
  const bool flows_again = system::write_log_line(6, "primary", "here");
  alarm(0);
  dup2(before, STDERR_FILENO);
  close(before);
  close(ends[0]);
  close(ends[1]);
  CHECK(full);
  CHECK(taken > 0);
  CHECK(flows_again);
  // What others have of it is as it was.
  CHECK(shared);
}

TEST_CASE("the text that a spinning twin walks through is this program's code") {
  const ProgramText text;
  CHECK(text.bytes() >= 64 * 1024);
  CHECK(text.bytes() <= std::size_t{2} << 20);
}
