// SPDX-License-Identifier: BSD-3-Clause
#include "deadly_frames.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <vector>

using namespace tandem;
using namespace tandem::ha;
using Verdict = DeadlyFrames::Verdict;

namespace {

using Octets = std::vector<std::uint8_t>;

/// An Ethernet frame with an IPv4 or IPv6 packet of `protocol`, from 10.0.0.2 or fd00::2, port 4000, to ...1, port 7.
Octets packet(bool is_v6, std::uint8_t protocol, std::uint32_t seq, const Octets& payload, std::uint8_t salt = 0) {
  Octets frame(12, 0x02);
  const auto add = [&frame](std::initializer_list<int> bytes) {
    for (const int byte : bytes) frame.push_back(static_cast<std::uint8_t>(byte));
  };
  const int bytes = 20 + static_cast<int>(payload.size());
  if (is_v6) {
    add({0x86, 0xdd, 0x60, 0, 0, 0, 0, bytes, protocol, 64});
    for (const int last : {2, 1}) add({0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last});
  } else {
    // Identification and checksum differ from one sending to the next.
    add({8, 0, 0x45, 0, 0, 20 + bytes, 0, salt, 0x40, 0, 64, protocol, salt, salt, 10, 0, 0, 2, 10, 0, 0, 1});
  }
  add({4000 >> 8, 4000 & 0xff, 0, 7});
  for (int shift = 24; shift >= 0; shift -= 8) frame.push_back(static_cast<std::uint8_t>(seq >> shift));
  // The acknowledgment number, the flags, the window, the checksum.
  add({0, 0, 0, salt, 0x50, 0x18, salt, 0, salt, 0, 0, 0});
  frame.insert(frame.end(), payload.begin(), payload.end());
  return frame;
}

const FrameIdentity kBad = identify(packet(false, 6, 1000, {1, 2, 3}));
const FrameIdentity kGood = identify(packet(false, 6, 1003, {1, 2, 3}));
constexpr std::uint64_t kNow = 1'000'000'000;

/// A group and the owners that it has one after the other.
struct Owners {
  std::unique_ptr<SharedGroup> group = std::make_unique<SharedGroup>();
  DeadlyFrames frames;
  std::uint32_t index = 100;

  Owners() { frames.begin(*group, 0, true, index, kNow); }
  /// The next frame of the ring.
  Verdict take(const FrameIdentity& frame, bool has_twin) {
    const Verdict verdict = frames.is_alert() ? frames.judge(frame, has_twin) : Verdict::process;
    ++index;
    return verdict;
  }
  void publish() { frames.end_turn(kNow); }
  /// The owner dies at its last `count` frames; who takes over finds them in the ring.
  void die(std::uint32_t count = 1, bool died = true) {
    index -= count;
    frames = DeadlyFrames();
    frames.begin(*group, frames_word(index, count), died, index, kNow);
  }
};

}  // namespace

TEST_CASE("a segment is known again by its ends and its sequence number, whatever else its sender has changed") {
  for (const bool is_v6 : {false, true}) {
    const FrameIdentity first = identify(packet(is_v6, 6, 77, {1, 2, 3}, 0));
    CHECK(identify(packet(is_v6, 6, 77, {1, 2, 3, 4}, 9)).key == first.key);
    CHECK(identify(packet(is_v6, 6, 78, {1, 2, 3}, 0)).key != first.key);
    // Whoever only acknowledges has one number all the time: dropping the one must not drop all the others.
    CHECK(identify(packet(is_v6, 6, 77, {}, 0)).key != identify(packet(is_v6, 6, 77, {}, 9)).key);
    CHECK(identify(packet(is_v6, 6, 77, {}, 9)).key == identify(packet(is_v6, 6, 77, {}, 9)).key);
    REQUIRE(first.segment);
    CHECK(first.segment->seq == 77);
    CHECK(first.segment->source.to_string() == (is_v6 ? "[fd00::2]:4000" : "10.0.0.2:4000"));
    CHECK(first.segment->destination.to_string() == (is_v6 ? "[fd00::1]:7" : "10.0.0.1:7"));
  }
  CHECK(identify(packet(false, 6, 77, {})).key != identify(packet(true, 6, 77, {})).key);
}

TEST_CASE("any other frame is known by its bytes, without what IPv4 counts up") {
  const FrameIdentity first = identify(packet(false, 17, 77, {1, 2, 3}));
  CHECK_FALSE(first.segment);
  Octets later = packet(false, 17, 77, {1, 2, 3});
  later[14 + 5] = 9;   // identification
  later[14 + 10] = 9;  // header checksum
  CHECK(identify(later).key == first.key);
  later.back() = 4;
  CHECK(identify(later).key != first.key);
  // A later fragment has no TCP header.
  Octets fragment = packet(false, 6, 77, {1, 2, 3});
  fragment[14 + 7] = 5;
  CHECK_FALSE(identify(fragment).segment);
}

TEST_CASE("a frame of any length is identified") {
  const Octets whole = packet(true, 6, 77, {1, 2, 3});
  for (std::size_t bytes = 0; bytes <= whole.size(); ++bytes) {
    const Octets part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes));
    CHECK(identify(part).key != 0);
    CHECK(identify(part).segment.has_value() == (bytes >= 14 + 40 + 12));
  }
}

TEST_CASE("the frame that an owner died at is dropped, and those around it are not") {
  Owners owners;
  CHECK(owners.take(kBad, true) == Verdict::process);
  owners.die();
  CHECK(owners.frames.is_alert());
  CHECK(owners.take(kBad, false) == Verdict::first_drop);
  CHECK(owners.take(kGood, false) == Verdict::process);
}

TEST_CASE("what has ended one process is tried again only by one that has a twin, and forgotten when it does no harm") {
  Owners owners;
  owners.take(kBad, true);
  owners.die();
  CHECK(owners.take(kBad, false) == Verdict::first_drop);
  owners.publish();
  // Fast retransmissions come many in a second: they are no reason to give the connection up.
  for (int i = 0; i < 100; ++i) CHECK(owners.take(kBad, false) == Verdict::drop);
  CHECK(owners.take(kBad, true) == Verdict::process);
  owners.publish();
  CHECK_FALSE(owners.frames.is_alert());
  CHECK(owners.frames.deaths_by(kBad.key) == 0);
  CHECK(owners.take(kBad, false) == Verdict::process);
}

TEST_CASE("who was stopped at a frame costs that frame once, and its sender's repetition is taken") {
  Owners owners;
  for (int hang = 0; hang < 3; ++hang) {
    owners.take(kBad, true);
    owners.die(1, false);
    CHECK(owners.take(kBad, false) == Verdict::first_drop);
    owners.publish();
    CHECK(owners.take(kBad, false) == Verdict::process);
    owners.publish();
    CHECK_FALSE(owners.frames.is_alert());
  }
}

TEST_CASE("what has ended two processes is dropped whenever it comes, by every owner that follows") {
  Owners owners;
  owners.take(kBad, true);
  owners.die();
  owners.take(kBad, false);
  owners.publish();
  CHECK(owners.take(kBad, true) == Verdict::process);
  owners.die();
  CHECK(owners.take(kBad, false) == Verdict::first_drop);
  CHECK(owners.frames.deaths_by(kBad.key) == 2);
  owners.publish();
  for (std::uint32_t i = 1; i < DeadlyFrames::kMostDropsOfDeadly; ++i) CHECK(owners.take(kBad, true) == Verdict::drop);
  CHECK(owners.take(kBad, true) == Verdict::give_up);
  CHECK(owners.take(kGood, true) == Verdict::process);
  owners.frames = DeadlyFrames();
  owners.frames.begin(*owners.group, 0, true, owners.index, kNow);  // a death of another kind
  CHECK(owners.take(kBad, true) == Verdict::drop);
  // Until it has not come for long.
  owners.publish();
  CHECK(owners.frames.is_alert());
  owners.frames.end_turn(kNow + DeadlyFrames::kForgetAfter_ns + 1);
  CHECK_FALSE(owners.frames.is_alert());
}

TEST_CASE(
    "an owner that died behind a batch leaves all of it, and its successor names the next one by taking one a turn") {
  Owners owners;
  owners.take(kGood, true);
  owners.take(kBad, true);
  owners.take(kGood, true);
  owners.die(3);
  CHECK(owners.frames.is_careful(kNow));
  for (const FrameIdentity& frame : {kGood, kBad, kGood}) CHECK(owners.take(frame, false) == Verdict::first_drop);
  owners.publish();
  CHECK(owners.frames.is_careful(kNow));
  CHECK(owners.take(kGood, true) == Verdict::process);
  owners.publish();
  CHECK(owners.take(kBad, true) == Verdict::process);
  owners.die();
  CHECK_FALSE(owners.frames.is_careful(kNow));
  CHECK(owners.take(kBad, false) == Verdict::first_drop);
  CHECK(owners.frames.deaths_by(kBad.key) == 1);
  CHECK_FALSE(owners.frames.is_careful(kNow + DeadlyFrames::kCareful_ns));
}

TEST_CASE("an owner that died behind its publication leaves nothing to drop") {
  Owners owners;
  owners.take(kGood, true);
  DeadlyFrames next;
  next.begin(*owners.group, frames_word(owners.index - 1, 1), true, owners.index, kNow);
  CHECK_FALSE(next.is_alert());
  CHECK(next.judge(kGood, false) == Verdict::process);
  // Also where indices wrap.
  next.begin(*owners.group, frames_word(1, 2), true, 0xffff'ffff, kNow);
  for (const Verdict verdict :
       {Verdict::process, Verdict::process, Verdict::first_drop, Verdict::first_drop, Verdict::process})
    CHECK(next.judge(kGood, false) == verdict);
}

TEST_CASE("there is room for the two worst, and words of another process do no harm") {
  Owners owners;
  for (std::uint32_t seq = 0; seq < 5; ++seq) {
    const FrameIdentity frame = identify(packet(false, 6, seq, {1}));
    owners.take(frame, true);
    owners.die();
    CHECK(owners.take(frame, false) == Verdict::first_drop);
    CHECK(owners.frames.deaths_by(frame.key) == 1);
    owners.publish();
  }
}
