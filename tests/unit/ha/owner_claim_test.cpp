// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <thread>

#include "group_fixture.hpp"
#include "members/crash_notice.hpp"
#include "members/owner_claim.hpp"

using namespace tandem::ha;

namespace {

constexpr std::uint64_t kChild = 0x1234;

/// Waits for the word to change, at most ten seconds, as a twin does.
OwnerFate await_end(OwnerSlot& slot) {
  for (int i = 0; i < 1000; ++i) {
    const std::uint32_t word = slot.life.word.load();
    if (owner_fate(word) != OwnerFate::alive) return owner_fate(word);
    const timespec pause{0, 10'000'000};
    syscall(SYS_futex, &slot.life.word, FUTEX_WAIT, word, &pause, nullptr, 0);
  }
  return OwnerFate::alive;
}

/// Runs `act` in a child that holds the claim, and tells how the claim ended.
template <typename Act>
OwnerFate fate_of_child(GroupFixture& fixture, int& status, Act act) {
  const std::uint32_t before = fixture.group.owner.load();
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    OwnerSlot& slot = claim_ownership(fixture.group, kChild, 1);
    act(slot);
    _exit(0);
  }
  while (fixture.group.owner.load() == before && waitpid(child, &status, WNOHANG) == 0) std::this_thread::yield();
  OwnerSlot& slot = fixture.group.owners[fixture.group.owner.load()];
  const OwnerFate fate = await_end(slot);
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return fate;
}

/// The same, seen when the child has ended and not on the way there.
template <typename Act>
OwnerFate fate_after(GroupFixture& fixture, int& status, Act act) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    act(claim_ownership(fixture.group, kChild, 1));
    _exit(0);
  }
  waitpid(child, &status, 0);
  return owner_fate(fixture.group.owners[fixture.group.owner.load() % kOwnerSlots].life.word.load());
}

}  // namespace

TEST_CASE("the end of the owner thread is seen, whatever ends it", "[robust_futex]") {
  GroupFixture fixture;
  int status = 0;
  SECTION("kill -9") {
    CHECK(fate_of_child(fixture, status, [](OwnerSlot&) { raise(SIGKILL); }) == OwnerFate::died);
  }
  SECTION("exit") {
    CHECK(fate_of_child(fixture, status, [](OwnerSlot&) { _exit(3); }) == OwnerFate::died);
  }
  SECTION("exec of something else") {
    CHECK(fate_of_child(fixture, status, [](OwnerSlot&) { execl("/bin/true", "true", nullptr); }) == OwnerFate::died);
  }
}

TEST_CASE("a claim that is given away is told from one that was lost") {
  GroupFixture fixture;
  int status = 0;
  CHECK(fate_of_child(fixture, status, [](OwnerSlot& slot) {
          hand_over_ownership(slot);
          for (;;) pause();
        }) == OwnerFate::handed_over);
}

TEST_CASE("what was given away can be had back until it is taken", "[robust_futex]") {
  GroupFixture fixture;
  int status = 0;
  SECTION("had back: its owner's end is seen again") {
    CHECK(fate_after(fixture, status, [](OwnerSlot& slot) {
            hand_over_ownership(slot);
            if (!reclaim_ownership(slot, kChild) || take_handed_over(slot)) _exit(1);
            raise(SIGKILL);
          }) == OwnerFate::died);
    CHECK(WIFSIGNALED(status));
  }
  SECTION("taken: nobody's end is seen in it any more") {
    CHECK(fate_after(fixture, status, [](OwnerSlot& slot) {
            hand_over_ownership(slot);
            if (!take_handed_over(slot) || reclaim_ownership(slot, kChild) || take_handed_over(slot)) _exit(1);
            _exit(0);
          }) == OwnerFate::handed_over);
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(fixture.group.owners[fixture.group.owner.load() % kOwnerSlots].life.word.load() == kOwnerTaken);
  }
  SECTION("what was never given away is not to be taken") {
    CHECK(fate_after(fixture, status, [](OwnerSlot& slot) {
            if (take_handed_over(slot) || reclaim_ownership(slot, kChild)) _exit(1);
            raise(SIGKILL);
          }) == OwnerFate::died);
    CHECK(WIFSIGNALED(status));
  }
}

TEST_CASE("a crash is declared before the core is dumped, and the process still ends by its signal") {
  GroupFixture fixture;
  for (const int number : {SIGSEGV, SIGABRT, SIGBUS}) {
    int status = 0;
    const OwnerFate fate = fate_of_child(fixture, status, [number](OwnerSlot& slot) {
      // Catch2's own handlers were inherited, and would report a failure here.
      signal(number, SIG_DFL);
      install_crash_notice();
      set_crash_notice(&slot);
      raise(number);
    });
    CHECK(fate == OwnerFate::died);
    CHECK(WIFSIGNALED(status));
  }
}

TEST_CASE("claims follow one another through the slots", "[robust_futex]") {
  GroupFixture fixture;
  std::uint32_t last = fixture.group.owner.load();
  for (int round = 0; round < 9; ++round) {
    int status = 0;
    CHECK(fate_of_child(fixture, status, [](OwnerSlot&) { raise(SIGKILL); }) == OwnerFate::died);
    CHECK(fixture.group.owner.load() == (last + 1) % kOwnerSlots);
    last = fixture.group.owner.load();
  }
}
