// SPDX-License-Identifier: BSD-3-Clause
#include "members/crash_notice.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "members/owner_claim.hpp"

using namespace tandem::ha;

namespace {

/// A child that owns the slot, and what becomes of the slot when `end` ends it.
template <class End>
void check_death(int expected_signal, std::uint32_t expected_fault, bool from_outside, End end) {
  auto* const group = static_cast<SharedGroup*>(
      ::mmap(nullptr, sizeof(SharedGroup), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  REQUIRE(group != MAP_FAILED);
  new (group) SharedGroup{};
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    // The test's own runner has handlers of its own, which are not what is looked at here.
    for (const int number : {SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGBUS}) ::signal(number, SIG_DFL);
    prepare_ownership();
    install_crash_notice();
    set_crash_notice(&claim_ownership(*group, 7, 1));
    if (::write(ready[1], "r", 1) != 1) ::_exit(1);
    if (!from_outside) end(0);
    for (;;) ::pause();
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  if (from_outside) end(child);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == expected_signal);
  const OwnerSlot& slot = group->owners[group->owner.load() % kOwnerSlots];
  CHECK(slot.crashed.load() == expected_fault);
  CHECK(owner_fate(slot.life.word.load()) == OwnerFate::died);
  ::close(ready[0]);
  ::close(ready[1]);
  ::munmap(group, sizeof(SharedGroup));
}

}  // namespace

TEST_CASE("a crash says whether it was the process's own fault", "[robust_futex]") {
  check_death(SIGABRT, SIGABRT, false, [](pid_t) { std::abort(); });
  check_death(SIGSEGV, SIGSEGV, false, [](pid_t) { *static_cast<volatile int*>(nullptr) = 1; });
  check_death(SIGSEGV, 0, true, [](pid_t child) { ::kill(child, SIGSEGV); });
  check_death(SIGABRT, 0, true, [](pid_t child) { ::kill(child, SIGABRT); });
  check_death(SIGKILL, 0, true, [](pid_t child) { ::kill(child, SIGKILL); });
}
