// SPDX-License-Identifier: BSD-3-Clause
#include "membership.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "group_fixture.hpp"

using namespace tandem::ha;

TEST_CASE("a twin is removed only where it stands as joiner or member") {
  struct Row {
    ReaderState before, after;
  };
  const Row row =
      GENERATE(Row{ReaderState::free, ReaderState::free}, Row{ReaderState::joining, ReaderState::ineligible},
               Row{ReaderState::member, ReaderState::ineligible}, Row{ReaderState::ineligible, ReaderState::ineligible},
               Row{ReaderState::promoted, ReaderState::promoted});
  ReaderSlot slot{};
  slot.state.store(row.before);
  CHECK(withdraw_eligibility(slot) == row.after);
  CHECK(slot.state.load() == row.after);
}

TEST_CASE("only a member begins a takeover, and only a joiner becomes a member") {
  for (const ReaderState state :
       {ReaderState::free, ReaderState::joining, ReaderState::member, ReaderState::ineligible, ReaderState::promoted}) {
    ReaderSlot slot{};
    slot.state.store(state);
    CHECK(begin_promotion(slot) == (state == ReaderState::member));
    CHECK(slot.state.load() == (state == ReaderState::member ? ReaderState::promoted : state));
    slot.state.store(state);
    CHECK(make_member(slot) == (state == ReaderState::joining));
    CHECK(slot.state.load() == (state == ReaderState::joining ? ReaderState::member : state));
  }
}

TEST_CASE("of a removal and a takeover that meet, one wins") {
  ReaderSlot slot{};
  slot.state.store(ReaderState::member);
  SECTION("the takeover") {
    CHECK(begin_promotion(slot));
    CHECK(withdraw_eligibility(slot) == ReaderState::promoted);
  }
  SECTION("the removal") {
    CHECK(withdraw_eligibility(slot) == ReaderState::ineligible);
    CHECK_FALSE(begin_promotion(slot));
  }
}

TEST_CASE("the slot of a removed twin is given to nobody else while its process runs") {
  GroupFixture fixture;
  std::set<std::uint32_t> running = {100, 200, 300};
  std::set<std::uint32_t> served;
  const auto slot_for = [&](std::uint32_t pid) {
    return usable_slot(
        fixture.group, pid, [&](std::uint32_t index) { return served.count(index) != 0; },
        [&](std::uint32_t holder) { return running.count(holder) != 0; });
  };
  fixture.attach(0).pid.store(100);
  CHECK(slot_for(200) == 1U);
  CHECK(withdraw_eligibility(fixture.group.readers[0]) == ReaderState::ineligible);
  fixture.attach(1).pid.store(200);
  CHECK(begin_promotion(fixture.group.readers[1]));
  free_readers(fixture.group);
  CHECK(fixture.group.readers[1].state.load() == ReaderState::free);
  CHECK(fixture.group.readers[0].state.load() == ReaderState::ineligible);
  CHECK(slot_for(300) == 1U);

  SECTION("it attaches anew") { CHECK(slot_for(100) == 0U); }
  SECTION("it has ended") {
    running.erase(100);
    CHECK(slot_for(300) == 0U);
  }
  SECTION("its end has not been seen by the primary that served it") {
    running.erase(100);
    served.insert(0);
    CHECK(slot_for(300) == 1U);
  }
  SECTION("all are taken") {
    for (std::uint32_t i = 1; i < kMaxReaders; ++i) fixture.attach(i).pid.store(200);
    CHECK_FALSE(slot_for(300).has_value());
  }
}
