// SPDX-License-Identifier: BSD-3-Clause
#include "members/eligibility_word.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <thread>

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

TEST_CASE("the slot of a removed twin is given to nobody else while its thread holds it") {
  GroupFixture fixture;
  std::set<std::uint32_t> served;
  const auto slot_for_next = [&] {
    return usable_slot(fixture.group, [&](std::uint32_t index) { return served.count(index) != 0; });
  };
  ReaderSlot& removed = fixture.attach(0);
  removed.identity.store(100);
  REQUIRE(hold_place(removed, 100));
  CHECK(withdraw_eligibility(removed) == ReaderState::ineligible);
  fixture.attach(1);
  CHECK(begin_promotion(fixture.group.readers[1]));
  free_readers(fixture.group);
  CHECK(fixture.group.readers[1].state.load() == ReaderState::free);
  CHECK(removed.state.load() == ReaderState::ineligible);
  CHECK(slot_for_next() == 1U);

  SECTION("it leaves") {
    leave_place(removed);
    CHECK(slot_for_next() == 0U);
  }
  SECTION("it leaves, but whoever was to have its place has not come yet") {
    leave_place(removed);
    served.insert(0);
    CHECK(slot_for_next() == 1U);
    leave_place(removed);
  }
  SECTION("all are taken") {
    for (std::uint32_t i = 1; i < kMaxReaders; ++i) fixture.attach(i);
    CHECK_FALSE(slot_for_next().has_value());
    leave_place(removed);
  }
}

TEST_CASE("a place is held only by the one that it was made for, once") {
  GroupFixture fixture;
  ReaderSlot& slot = fixture.group.readers[2];
  slot.identity.store(7);
  CHECK_FALSE(hold_place(slot, 8));
  CHECK_FALSE(place_is_held(slot));
  REQUIRE(hold_place(slot, 7));
  CHECK(place_is_held(slot));
  CHECK_FALSE(hold_place(slot, 7));
  leave_place(slot);
  CHECK_FALSE(place_is_held(slot));
}

TEST_CASE("the end of the thread that holds a place is seen in it", "[robust_futex]") {
  GroupFixture fixture;
  ReaderSlot& slot = fixture.group.readers[3];
  slot.identity.store(7);
  std::thread holder([&slot] { CHECK(hold_place(slot, 7)); });
  holder.join();
  CHECK_FALSE(place_is_held(slot));
}
