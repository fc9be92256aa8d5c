// SPDX-License-Identifier: BSD-3-Clause
//
// A program that has robust mutexes and fatal-signal handlers of its own keeps them.
#include <catch2/catch.hpp>

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <new>
#include <thread>

#include "group_fixture.hpp"
#include "members/crash_notice.hpp"
#include "members/owner_claim.hpp"

using namespace tandem::ha;

namespace {

constexpr std::uint64_t kNode = 5;

struct RobustMutex {
  RobustMutex() {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&mutex, &attributes);
  }
  pthread_mutex_t mutex;
};

/// In memory that a child shares.
template <typename T>
T& shared() {
  void* const memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return *new (memory) T;
}

template <typename Act>
int run_child(Act act) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(10);
    act();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

std::atomic<int>* handled = nullptr;

extern "C" void counts_and_ends(int number) {
  handled->fetch_add(1);
  signal(number, SIG_DFL);
  raise(number);
}
extern "C" void counts_and_goes_on(int) { handled->fetch_add(1); }

}  // namespace

TEST_CASE("robust mutexes of the program and claims of a node end with the same thread, each in its own word",
          "[robust_futex]") {
  GroupFixture fixture;
  auto& before = shared<RobustMutex>();
  auto& between = shared<RobustMutex>();
  auto& after = shared<RobustMutex>();
  auto& released = shared<RobustMutex>();
  const auto hold_all = [&] {
    pthread_mutex_lock(&before.mutex);
    pthread_mutex_lock(&released.mutex);
    OwnerSlot& slot = claim_ownership(fixture.group, kNode, 1);
    pthread_mutex_lock(&between.mutex);
    // The library unlinks its own ones beside ours, and ours are unlinked beside its.
    pthread_mutex_unlock(&released.mutex);
    ReaderSlot& place = fixture.group.readers[0];
    place.identity.store(kNode);
    if (!hold_place(place, kNode)) _exit(9);
    pthread_mutex_lock(&after.mutex);
    leave_place(place);
    hand_over_ownership(slot);
    if (!reclaim_ownership(slot, kNode)) _exit(8);
  };
  SECTION("killed") {
    const int status = run_child([&] {
      hold_all();
      raise(SIGKILL);
    });
    CHECK(WIFSIGNALED(status));
  }
  SECTION("a thread that returns") {
    const int status = run_child([&] {
      std::thread thread(hold_all);
      thread.join();
    });
    CHECK(status == 0);
  }
  const OwnerSlot& owner = fixture.group.owners[fixture.group.owner.load()];
  CHECK(owner_fate(owner) == OwnerFate::died);
  for (const LifeWord& bell : owner.bells) CHECK(owner_fate(bell.word.load()) == OwnerFate::died);
  for (RobustMutex* mutex : {&before, &between, &after}) CHECK(pthread_mutex_trylock(&mutex->mutex) == EOWNERDEAD);
  CHECK(pthread_mutex_trylock(&released.mutex) == 0);
  pthread_mutex_unlock(&released.mutex);
  for (RobustMutex* mutex : {&before, &between, &after}) {
    pthread_mutex_consistent(&mutex->mutex);
    pthread_mutex_unlock(&mutex->mutex);
  }
}

TEST_CASE("a program's own handler of a fatal signal runs, and what it decides holds") {
  GroupFixture fixture;
  handled = &shared<std::atomic<int>>();
  int status = 0;
  SECTION("it ends the process: the claim ends with that") {
    status = run_child([&] {
      signal(SIGSEGV, counts_and_ends);
      install_crash_notice();
      OwnerSlot& slot = claim_ownership(fixture.group, kNode, 1);
      set_crash_notice(&slot);
      raise(SIGSEGV);
      _exit(7);
    });
    CHECK(handled->load() == 1);
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
    CHECK(owner_fate(fixture.group.owners[fixture.group.owner.load()]) == OwnerFate::died);
  }
  SECTION("it mends what was wrong: nothing has ended") {
    status = run_child([&] {
      signal(SIGSEGV, counts_and_goes_on);
      install_crash_notice();
      OwnerSlot& slot = claim_ownership(fixture.group, kNode, 1);
      set_crash_notice(&slot);
      raise(SIGSEGV);
      _exit(owner_fate(slot) == OwnerFate::alive ? 7 : 8);
    });
    CHECK(handled->load() == 1);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 7));
  }
  SECTION("a stack that the program has made for its handlers is left to it") {
    status = run_child([&] {
      stack_t own{};
      own.ss_size = 65536;
      own.ss_sp = mmap(nullptr, own.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      sigaltstack(&own, nullptr);
      install_crash_notice();
      stack_t now{};
      sigaltstack(nullptr, &now);
      _exit(now.ss_sp == own.ss_sp ? 7 : 8);
    });
    CHECK(WEXITSTATUS(status) == 7);
  }
}
