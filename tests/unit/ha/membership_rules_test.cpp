// SPDX-License-Identifier: BSD-3-Clause
//
// What the model of two boxes does not have: several twins, twins in shared memory, connections that break and are there again.
#include "members/membership.hpp"

#include <catch2/catch.hpp>

using namespace tandem::ha;

namespace {

using Outcome = Membership::Outcome;
constexpr MemberId kOwner = 1, kLeft = 2, kRight = 3, kLocal = 4;
constexpr LeaseTimes kTimes{100, 10};

/// The arbiter: compares the revision and nothing else.
struct Arbiter {
  ArbiterRegister value;
  bool swap(const Swap& swap) {
    if (swap.expected != value.revision) return false;
    const std::uint64_t revision = value.revision + 1;
    value = swap.value;
    value.revision = revision;
    return true;
  }
};

struct Owner {
  Arbiter arbiter;
  Membership node{kOwner, kTimes};

  Owner() {
    arbiter.value.revision = 7;  // of other keys
    REQUIRE(node.register_seen(arbiter.value) == Outcome::nothing);
    REQUIRE(arbiter.swap(node.start_anew({}).value()));
    REQUIRE(node.register_seen(arbiter.value) == Outcome::started_anew);
  }
  void register_twin(MemberId id, std::uint64_t session) {
    REQUIRE(node.joined(id, Acknowledgement::received, session));
    REQUIRE(node.gate_on(id));
    REQUIRE(node.acknowledged(session, node.length()));
    REQUIRE(arbiter.swap(node.register_member(id).value()));
    REQUIRE(node.register_seen(arbiter.value) == Outcome::registered);
  }
};

}  // namespace

TEST_CASE("of several twins the one that holds least decides what is committed") {
  Owner owner;
  owner.register_twin(kLeft, 1);
  owner.register_twin(kRight, 2);
  owner.node.published(100);
  CHECK(owner.node.committed() == 0);
  CHECK(owner.node.acknowledged(1, 100));
  CHECK(owner.node.committed() == 0);
  CHECK(owner.node.acknowledged(2, 60));
  CHECK(owner.node.committed() == 60);
}

TEST_CASE("an owner speaks only while every twin that may be promoted has granted a lease") {
  Owner owner;
  owner.register_twin(kLeft, 1);
  owner.register_twin(kRight, 2);
  CHECK_FALSE(owner.node.may_speak(0));
  CHECK(owner.node.lease_granted(1, 0));
  CHECK_FALSE(owner.node.may_speak(0));
  CHECK(owner.node.lease_granted(2, 50));
  CHECK(owner.node.may_speak(99));
  CHECK_FALSE(owner.node.may_speak(100));
  // A grant that comes late shortens nothing.
  CHECK(owner.node.lease_granted(1, 80));
  CHECK(owner.node.lease_granted(1, 20));
  CHECK(owner.node.may_speak(149));
  CHECK_FALSE(owner.node.may_speak(150));
}

TEST_CASE("nothing waits for a twin that is joining, nor ever for one that is async") {
  Owner owner;
  REQUIRE(owner.node.joined(kLeft, Acknowledgement::async, 1));
  REQUIRE(owner.node.joined(kRight, Acknowledgement::applied, 2));
  owner.node.published(100);
  CHECK(owner.node.committed() == 100);
  CHECK_FALSE(owner.node.gate_on(kLeft));
  CHECK_FALSE(owner.node.register_member(kLeft));
  CHECK(owner.node.gate_on(kRight));
  CHECK(owner.node.committed() == 0);
  CHECK_FALSE(owner.node.register_member(kRight));
  CHECK(owner.node.acknowledged(2, 100));
  CHECK(owner.node.register_member(kRight));
}

TEST_CASE("outputs never go back, whoever joins behind them") {
  Owner owner;
  owner.node.published(100);
  CHECK(owner.node.clear(0) == 100);
  REQUIRE(owner.node.joined(kLeft, Acknowledgement::received, 1));
  REQUIRE(owner.node.gate_on(kLeft));
  CHECK(owner.node.committed() == 0);
  CHECK(owner.node.clear(0) == 100);
}

TEST_CASE("a twin in shared memory is a member without the arbiter, and outputs do not wait for it") {
  Owner owner;
  REQUIRE(owner.node.joined(kLocal, Acknowledgement::shm, 1));
  owner.node.published(100);
  REQUIRE(owner.node.gate_on(kLocal));
  CHECK(owner.node.committed() == 100);
  CHECK_FALSE(owner.node.register_member(kLocal));
  CHECK_FALSE(owner.node.survives().process);
  CHECK(owner.node.admit(kLocal));
  CHECK(owner.node.survives().process);
  CHECK_FALSE(owner.node.survives().box);
  CHECK(owner.node.may_speak(0));
  CHECK_FALSE(owner.node.remove_member(kLocal, "gone"));
  CHECK(owner.node.left(kLocal));
  CHECK_FALSE(owner.node.survives().process);
}

TEST_CASE("a connection that is there again brings neither a lease nor an acknowledgement with it") {
  Owner owner;
  owner.register_twin(kLeft, 1);
  owner.node.published(100);
  REQUIRE(owner.node.acknowledged(1, 40));
  REQUIRE(owner.node.lease_granted(1, 0));
  CHECK_FALSE(owner.node.resumed(kLeft, 1, 50));  // not a new one
  CHECK(owner.node.resumed(kLeft, 2, 50));
  CHECK(owner.node.committed() == 50);
  CHECK_FALSE(owner.node.may_speak(0));
  CHECK_FALSE(owner.node.acknowledged(1, 100));
  CHECK_FALSE(owner.node.lease_granted(1, 0));
  CHECK(owner.node.lease_granted(2, 0));
  CHECK(owner.node.may_speak(0));
  CHECK(owner.node.survives().box);
}

TEST_CASE(
    "a twin that holds less than it had acknowledged is not taken back, nor one that holds what was never published") {
  Owner owner;
  owner.register_twin(kLeft, 1);
  owner.node.published(100);
  REQUIRE(owner.node.acknowledged(1, 40));
  CHECK_FALSE(owner.node.resumed(kLeft, 2, 39));
  CHECK_FALSE(owner.node.resumed(kLeft, 2, 101));
  CHECK_FALSE(owner.node.acknowledged(1, 101));
  CHECK(owner.node.committed() == 40);
}

TEST_CASE("the gate stays shut until a removal has won, and opens then") {
  Owner owner;
  owner.register_twin(kLeft, 1);
  REQUIRE(owner.node.lease_granted(1, 0));
  owner.node.published(100);
  const Swap removal = owner.node.remove_member(kLeft, "it is silent").value();
  CHECK(owner.node.find(kLeft)->why == "it is silent");
  CHECK(owner.node.clear(0) == 0);
  // Its lease has ended, and nobody answers.
  CHECK_FALSE(owner.node.may_speak(100));
  CHECK(owner.node.repeat_swap()->expected == removal.expected);
  CHECK_FALSE(owner.node.remove_member(kLeft, "once more"));
  REQUIRE(owner.arbiter.swap(removal));
  CHECK_FALSE(owner.arbiter.swap(*owner.node.repeat_swap()));  // repeated, it wins once
  CHECK(owner.node.register_seen(owner.arbiter.value) == Outcome::removed);
  CHECK(owner.node.clear(100) == 100);
  CHECK_FALSE(owner.node.repeat_swap());
}

TEST_CASE("a removal and an add that is open: one of them wins, and the removal is asked for again behind it") {
  Owner owner;
  REQUIRE(owner.node.joined(kLeft, Acknowledgement::received, 1));
  REQUIRE(owner.node.gate_on(kLeft));
  const Swap add = owner.node.register_member(kLeft).value();
  const Swap removal = owner.node.remove_member(kLeft, "it has gone").value();
  REQUIRE(owner.arbiter.swap(add));
  CHECK_FALSE(owner.arbiter.swap(removal));
  CHECK(owner.node.register_seen(owner.arbiter.value) == Outcome::lost);
  CHECK(owner.node.find(kLeft)->state == MemberState::removing);
  CHECK_FALSE(owner.node.may_speak(0));
  REQUIRE(owner.arbiter.swap(owner.node.remove_member(kLeft, "it has gone").value()));
  CHECK(owner.node.register_seen(owner.arbiter.value) == Outcome::removed);
  CHECK(owner.node.may_speak(0));
}

TEST_CASE("who has said that it stands down holds nothing up, and is still to be removed") {
  Owner owner;
  owner.register_twin(kLeft, 1);
  owner.node.published(100);
  CHECK_FALSE(owner.node.stood_down(2));
  CHECK(owner.node.stood_down(1));
  CHECK(owner.node.clear(0) == 100);
  CHECK_FALSE(owner.node.survives().box);
  CHECK_FALSE(owner.node.joined(kLeft, Acknowledgement::received, 2));
  REQUIRE(owner.arbiter.swap(owner.node.remove_member(kLeft, "it stood down").value()));
  CHECK(owner.node.register_seen(owner.arbiter.value) == Outcome::removed);
}

TEST_CASE("a twin that has stood down does not take over, and one that is taking over does not stand down") {
  ArbiterRegister seen{8, 1, kOwner, {kOwner, kLeft}, kOwner, SwapKind::add, 2};
  Membership down{kLeft, kTimes};
  REQUIRE(down.attached(kOwner, 1));
  down.register_seen(seen);
  CHECK(down.stand_down());
  CHECK_FALSE(down.take(0));
  Membership taking{kLeft, kTimes};
  REQUIRE(taking.attached(kOwner, 1));
  taking.register_seen(seen);
  REQUIRE(taking.take(0));
  CHECK_FALSE(taking.stand_down());
}

TEST_CASE("a lease that was granted over an older connection is waited for as well") {
  ArbiterRegister seen{8, 1, kOwner, {kOwner, kLeft}, kOwner, SwapKind::add, 2};
  Membership twin{kLeft, kTimes};
  REQUIRE(twin.attached(kOwner, 1));
  twin.register_seen(seen);
  CHECK(twin.grant_lease(1, 1000));
  CHECK(twin.attached(kOwner, 2));
  CHECK_FALSE(twin.grant_lease(1, 5000));
  CHECK_FALSE(twin.take(1109));
  CHECK(twin.take(1110));
}

TEST_CASE("an answer that is older than what is known changes nothing") {
  Owner owner;
  const ArbiterRegister before = owner.arbiter.value;
  owner.register_twin(kLeft, 1);
  const ArbiterRegister with_left = owner.arbiter.value;
  REQUIRE(owner.arbiter.swap(owner.node.remove_member(kLeft, "slow").value()));
  REQUIRE(owner.node.register_seen(owner.arbiter.value) == Outcome::removed);
  CHECK(owner.node.register_seen(with_left) == Outcome::nothing);
  CHECK(owner.node.register_seen(before) == Outcome::nothing);
  CHECK(owner.node.known_register().members == std::vector<MemberId>{kOwner});
}

TEST_CASE("of two twins that ask for the owner's place one gets it, and the other is over") {
  Owner owner;
  owner.register_twin(kLeft, 1);
  owner.register_twin(kRight, 2);
  Membership left{kLeft, kTimes}, right{kRight, kTimes};
  for (Membership* twin : {&left, &right}) {
    REQUIRE(twin->attached(kOwner, 1));
    twin->register_seen(owner.arbiter.value);
  }
  const Swap first = left.take(0).value(), second = right.take(0).value();
  REQUIRE(owner.arbiter.swap(second));
  CHECK_FALSE(owner.arbiter.swap(first));
  CHECK(right.register_seen(owner.arbiter.value) == Outcome::promoted);
  CHECK(left.register_seen(owner.arbiter.value) == Outcome::lost);
  CHECK(left.role() == Membership::Role::over);
  CHECK(owner.node.register_seen(owner.arbiter.value) == Outcome::stepped_down);
  CHECK_FALSE(owner.node.may_speak(0));
  CHECK(right.epoch() == 2);
}

TEST_CASE("nobody starts a group anew while one is registered that may hold its connections") {
  ArbiterRegister seen{8, 3, kOwner, {kOwner, kLeft}, kOwner, SwapKind::add, 2};
  Membership newcomer{kRight, kTimes};
  newcomer.register_seen(seen);
  CHECK_FALSE(newcomer.start_anew({}));
  CHECK_FALSE(newcomer.start_anew({kOwner}));
  const auto swap = newcomer.start_anew({kOwner, kLeft});
  REQUIRE(swap);
  CHECK(swap->value.epoch == 4);
  CHECK(swap->value.members == std::vector<MemberId>{kRight});
}
