// SPDX-License-Identifier: BSD-3-Clause
#include "channel/rendezvous.hpp"

#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "node/system.hpp"

using namespace tandem::ha;

namespace {

struct Directory {
  Directory() { REQUIRE(mkdtemp(path) != nullptr); }
  ~Directory() { std::filesystem::remove_all(path); }
  char path[64] = "/tmp/tandem-rendezvous-XXXXXX";
};

}  // namespace

TEST_CASE("the group's lock is one process's, and ends with it") {
  const Directory directory;
  const Rendezvous rendezvous(directory.path, "g");
  Descriptor lock = rendezvous.try_lock();
  REQUIRE(lock.valid());
  CHECK_FALSE(rendezvous.try_lock().valid());
  lock.reset();
  CHECK(rendezvous.try_lock().valid());
}

TEST_CASE(
    "whoever may hold what belongs to a group is found while it lives, also when it stands still, and can be ended") {
  const Directory directory;
  const Rendezvous rendezvous(directory.path, "g");
  CHECK(rendezvous.holders(1).empty());
  const Descriptor own = rendezvous.announce(1);
  CHECK(rendezvous.holders(1).empty());

  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const Descriptor announced = rendezvous.announce(2);
    raise(write(ready[1], "x", 1) == 1 ? SIGSTOP : SIGKILL);
    for (;;) pause();
  }
  char byte = 0;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  int status = 0;
  REQUIRE(waitpid(child, &status, WUNTRACED) == child);
  REQUIRE(WIFSTOPPED(status));

  const auto holders = rendezvous.holders(1);
  REQUIRE(holders.size() == 1);
  if (!holders.front().process.valid()) {
    WARN("not run to its end: this kernel has no SO_PEERPIDFD");
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    return;
  }
  CHECK(system::may_kill(holders.front().process.get()) == Fencing::possible);
  REQUIRE(system::kill_process(holders.front().process.get()));
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WTERMSIG(status) == SIGKILL);
  CHECK(rendezvous.holders(1).empty());
  // Its name has gone with that, and so has one that is withdrawn.
  rendezvous.withdraw(1);
  int names = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(rendezvous.directory())) ++names;
  CHECK(names == 0);
  close(ready[0]);
  close(ready[1]);
}
