// SPDX-License-Identifier: BSD-3-Clause
//
// Processes of several pid namespaces, in which numbers are equal: real ones, made with unshare(2).
#include <catch2/catch.hpp>

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <new>
#include <thread>

#include "channel/attach_protocol.hpp"
#include "group_fixture.hpp"
#include "members/owner_claim.hpp"
#include "node/system.hpp"

using namespace tandem::ha;

namespace {

/// What processes of different namespaces tell each other.
struct Shared {
  std::atomic<int> claimed{0};
  std::atomic<int> number{0};
};

/// A process that is number 1 of a pid namespace below this one's, and sends a descriptor of itself.
class Contained {
 public:
  template <typename Act>
  explicit Contained(Act act) {
    int sockets[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) == 0);
    near_ = Descriptor(sockets[0]);
    const Descriptor far(sockets[1]);
    // The namespace is for children to come, so a child of a child is the first in it.
    outer_ = fork();
    REQUIRE(outer_ >= 0);
    if (outer_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (unshare(CLONE_NEWPID) != 0) _exit(77);
      const pid_t inner = fork();
      if (inner == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        const Descriptor self = system::own_process();
        const int passed[] = {self.get()};
        const std::uint8_t byte = 0;
        if (!system::send_packet(far.get(), {&byte, 1}, passed)) _exit(1);
        act();
        for (;;) pause();
      }
      int status = 0;
      waitpid(inner, &status, 0);
      _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    }
    std::vector<Descriptor> descriptors;
    std::uint8_t byte = 0;
    for (int i = 0; i < 1000 && descriptors.empty(); ++i) {
      system::wait_readable(near_.get(), 10);
      system::receive_packet(near_.get(), {&byte, 1}, descriptors);
    }
    REQUIRE(descriptors.size() == 1);
    process_ = std::move(descriptors.front());
  }
  ~Contained() {
    system::kill_process(process_.get());
    waitpid(outer_, nullptr, 0);
  }
  Contained(const Contained&) = delete;
  Contained& operator=(const Contained&) = delete;
  [[nodiscard]] int process() const { return process_.get(); }
  /// How the contained process ended: 128 and its signal, or its exit code.
  int end() {
    int status = 0;
    waitpid(outer_, &status, 0);
    return WEXITSTATUS(status);
  }

 private:
  Descriptor near_, process_;
  pid_t outer_ = -1;
};

Shared& shared_memory() {
  void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return *new (memory) Shared;
}

bool may_make_namespaces() {
  const pid_t child = fork();
  if (child == 0) _exit(unshare(CLONE_NEWPID) == 0 ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status) == 0;
}

template <typename Condition>
bool comes_true(Condition condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    system::sleep(10'000'000);
  }
  return false;
}

}  // namespace

TEST_CASE("a process of a namespace below is ended by the descriptor that it made of itself, and nobody else is") {
  if (!may_make_namespaces()) {
    WARN("not run: pid namespaces take root");
    return;
  }
  Contained victim([] {});
  Contained bystander([] {});
  CHECK(system::may_kill(victim.process()) == Fencing::possible);
  CHECK_FALSE(system::has_ended(victim.process()));
  REQUIRE(system::kill_process(victim.process()));
  CHECK(victim.end() == 128 + SIGKILL);
  CHECK(system::has_ended(victim.process()));
  CHECK_FALSE(system::has_ended(bystander.process()));
  // It has gone, which is as good as killed.
  CHECK(system::kill_process(victim.process()));
}

TEST_CASE("into a namespace beside or above no signal reaches, and that is known beforehand") {
  if (!may_make_namespaces()) return;
  Shared& shared = shared_memory();
  Contained first([] {});
  const Descriptor self = system::own_process();
  Contained second([&shared, beside = first.process(), above = self.get()] {
    const bool right = system::may_kill(beside) == Fencing::other_namespace &&
                       system::may_kill(above) == Fencing::other_namespace && !system::kill_process(beside);
    shared.number.store(getpid());
    shared.claimed.store(right ? 1 : 2);
  });
  CHECK(comes_true([&] { return shared.claimed.load() != 0; }));
  CHECK(shared.claimed.load() == 1);
  CHECK(shared.number.load() == 1);
  CHECK_FALSE(system::has_ended(first.process()));
}

TEST_CASE("claims of two processes that are both number 1 are told apart, and the end of each is seen in its own",
          "[robust_futex]") {
  if (!may_make_namespaces()) return;
  GroupFixture fixture;
  Shared& shared = shared_memory();
  const auto claim = [&](std::uint64_t identity) {
    return [&fixture, &shared, identity] {
      OwnerSlot& slot = claim_ownership(fixture.group, identity, static_cast<std::uint32_t>(getpid()));
      if (identity == 1) hand_over_ownership(slot);
      shared.claimed.fetch_add(1);
    };
  };
  Contained first(claim(1));
  REQUIRE(comes_true([&] { return shared.claimed.load() == 1; }));
  const std::uint32_t first_index = fixture.group.owner.load();
  REQUIRE(take_handed_over(fixture.group.owners[first_index]));
  Contained second(claim(2));
  REQUIRE(comes_true([&] { return shared.claimed.load() == 2; }));
  OwnerSlot& owner = fixture.group.owners[fixture.group.owner.load()];
  CHECK(owner.number.load() == 1);
  CHECK(owner.identity.load() == 2);
  CHECK(owner_fate(owner) == OwnerFate::alive);
  // The word holds the same number for both; the first one's end is none of the second's.
  REQUIRE(system::kill_process(first.process()));
  CHECK(first.end() == 128 + SIGKILL);
  CHECK(owner_fate(owner) == OwnerFate::alive);
  REQUIRE(system::kill_process(second.process()));
  CHECK(second.end() == 128 + SIGKILL);
  CHECK(owner_fate(owner) == OwnerFate::died);
}
