// SPDX-License-Identifier: BSD-3-Clause
#include "roles/frames_at_work.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <memory>
#include <vector>

#include "roles/deadly_frames.hpp"

using namespace tandem;
using namespace tandem::ha;

namespace {

/// The places of a turn: some of two queues and of the packet socket, as the device shows them.
const std::vector<FramePlace> kTurn = {{500, 0}, {501, 0}, {70, 1}, {71, 1}, {502, 0}, {9, kPacketSource}};
/// From where on who takes over is shown frames: the packet socket has no part in it.
WireMark mark() {
  WireMark mark{500, 0, 1, {}};
  mark.more_rx_indices[0] = 70;
  return mark;
}

/// Takes all but those of `kept`, which come in another order than the dead owner was shown them, and behind new ones.
std::vector<FramePlace> taken(FramesLeft left, const std::vector<FramePlace>& shown) {
  std::vector<FramePlace> list;
  for (const FramePlace place : shown)
    if (left.take(place)) list.push_back(place);
  return list;
}

const std::vector<FramePlace> kOtherwise = {
    {70, 1}, {71, 1}, {72, 1}, {9, kPacketSource}, {10, kPacketSource}, {500, 0}, {501, 0}, {502, 0}, {503, 0}};

}  // namespace

TEST_CASE("the frame that an owner ended in is known by its place, in whatever order the queues are shown") {
  for (std::size_t last = 0; last < kTurn.size(); ++last) {
    const auto slot = std::make_unique<OwnerSlot>();
    FramesAtWork at_work(slot.get());
    for (std::size_t i = 0; i <= last; ++i) at_work.at(kTurn[i]);
    FramesLeft left = frames_left(*slot);
    left.forget_dealt_with(mark());
    CHECK(left.any());
    CHECK(taken(left, kOtherwise) == std::vector{kTurn[last]});
  }
}

TEST_CASE("an owner that ended behind its frames leaves all of them, of each source, and none that came later") {
  const auto slot = std::make_unique<OwnerSlot>();
  FramesAtWork at_work(slot.get());
  for (const FramePlace place : kTurn) at_work.at(place);
  at_work.behind();
  FramesLeft left = frames_left(*slot);
  left.forget_dealt_with(mark());
  CHECK(taken(left, kOtherwise) ==
        std::vector<FramePlace>{{70, 1}, {71, 1}, {9, kPacketSource}, {500, 0}, {501, 0}, {502, 0}});
}

TEST_CASE("behind a single frame it is still known which it was") {
  const auto slot = std::make_unique<OwnerSlot>();
  FramesAtWork at_work(slot.get());
  at_work.at({70, 1});
  at_work.behind();
  const FramesLeft left = frames_left(*slot);
  REQUIRE(left.one);
  CHECK(*left.one == FramePlace{70, 1});
}

TEST_CASE("nothing of a published turn is left, nor of the turn before") {
  const auto slot = std::make_unique<OwnerSlot>();
  FramesAtWork at_work(slot.get());
  for (const FramePlace place : kTurn) at_work.at(place);
  at_work.behind();
  at_work.published();
  CHECK_FALSE(frames_left(*slot).any());
  at_work.at({503, 0});
  at_work.at({504, 0});
  at_work.behind();
  const FramesLeft left = frames_left(*slot);
  CHECK(left.before[0] == 505U);
  CHECK_FALSE(left.before[1]);
  CHECK_FALSE(left.before[kPacketSource]);
}

TEST_CASE("what the mark counts as dealt with is not left, also where indices wrap") {
  const auto slot = std::make_unique<OwnerSlot>();
  FramesAtWork at_work(slot.get());
  WireMark behind = mark();
  at_work.at({0xffff'ffff, 1});
  at_work.at({0, 1});
  behind.more_rx_indices[0] = 1;
  FramesLeft one = frames_left(*slot);
  one.forget_dealt_with(behind);
  CHECK_FALSE(one.any());
  at_work.behind();
  FramesLeft several = frames_left(*slot);
  several.forget_dealt_with(behind);
  CHECK_FALSE(several.any());
  behind.more_rx_indices[0] = 0xffff'ffff;
  several = frames_left(*slot);
  several.forget_dealt_with(behind);
  CHECK(taken(several, {{0xffff'ffff, 1}, {0, 1}, {1, 1}}) == std::vector<FramePlace>{{0xffff'ffff, 1}, {0, 1}});
}

TEST_CASE("words that no owner wrote are left alone") {
  constexpr std::uint64_t kSet = std::uint64_t{1} << 63, kBehind = std::uint64_t{1} << 62;
  const auto slot = std::make_unique<OwnerSlot>();
  slot->frames.store(UINT64_MAX >> 2 | kSet);
  FramesLeft left = frames_left(*slot);
  left.forget_dealt_with(mark());
  CHECK(taken(left, kTurn).empty());
  // Of a source whose word is not marked as written nothing is left.
  slot->frames.store(kSet | kBehind);
  slot->reached[1].store(75);
  slot->reached[0].store(kSet | 501);
  FramesLeft several = frames_left(*slot);
  CHECK(taken(several, kTurn) == std::vector<FramePlace>{{500, 0}});
  // No source leads to a word outside of its slot.
  for (std::uint32_t source = kFrameSources; source < kFrameSources + 64; ++source) {
    CHECK_FALSE(several.take({1, source}));
    const auto slots = std::make_unique<std::array<OwnerSlot, 4>>();
    FramesAtWork(slots->data()).at({1, source});
    for (const OwnerSlot& one : *slots) {
      CHECK(one.frames.load() == 0);
      CHECK(one.life.word.load() == 0);
      CHECK(one.heartbeat.load() == 0);
      for (const auto& bell : one.bells) CHECK(bell.word.load() == 0);
    }
  }
  FramesAtWork().at({1, 1});
}
