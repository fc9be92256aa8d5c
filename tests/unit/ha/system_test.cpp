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
