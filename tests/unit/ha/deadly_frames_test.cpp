// SPDX-License-Identifier: BSD-3-Clause
#include "roles/deadly_frames.hpp"

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

/// A group and the owners that it has one after the other. Frames come through the first queue.
struct Owners {
  using End = DeadlyFrames::End;
  std::unique_ptr<SharedGroup> group = std::make_unique<SharedGroup>();
  FramesAtWork at_work{&group->owners[0]};
  DeadlyFrames frames;
  std::uint32_t index = 100;  ///< of the next frame
  std::uint64_t now = kNow;

  Owners() { frames.begin(*group, {}, End::died, mark(), now); }
  [[nodiscard]] WireMark mark() const { return {index, 0}; }
  /// The next frame of the ring.
  Verdict take(const FrameIdentity& frame, bool has_twin) {
    const FramePlace place{index++, 0};
    const Verdict verdict = frames.is_alert() ? frames.judge(place, frame, has_twin, now) : Verdict::process;
    if (verdict == Verdict::process) at_work.at(place);
    return verdict;
  }
  void publish() {
    at_work.published();
    frames.end_turn(now);
  }
  /// The owner ends at its last `count` frames; who takes over finds them in the ring.
  void die(std::uint32_t count = 1, End end = End::died) {
    at_work.behind();
    const FramesLeft left = frames_left(group->owners[0]);
    group->owners[0].frames.store(0);
    for (auto& reached : group->owners[0].reached) reached.store(0);
    at_work = FramesAtWork(&group->owners[0]);
    index -= count;
    frames = DeadlyFrames();
    frames.begin(*group, left, end, mark(), now);
  }
  void hang(std::uint32_t count = 1) { die(count, End::hung); }
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
  CHECK(owners.frames.ended_by(kBad.key) == 0);
  CHECK(owners.take(kBad, false) == Verdict::process);
}

TEST_CASE("a frame that a process hung at is tried again by one that has a twin, and forgotten when it does no harm") {
  Owners owners;
  for (int hang = 0; hang < 3; ++hang) {
    owners.take(kBad, true);
    owners.hang();
    CHECK(owners.take(kBad, false) == Verdict::first_drop);
    CHECK(owners.frames.last_end() == DeadlyFrames::End::hung);
    owners.publish();
    CHECK(owners.take(kBad, true) == Verdict::process);
    owners.publish();
    CHECK_FALSE(owners.frames.is_alert());
  }
}

TEST_CASE("a frame that two processes in a row hung at is dropped whenever it comes") {
  Owners owners;
  for (int hang = 0; hang < 2; ++hang) {
    CHECK(owners.take(kBad, true) == Verdict::process);
    owners.hang();
    CHECK(owners.take(kBad, true) == Verdict::first_drop);
    owners.publish();
  }
  CHECK(owners.frames.ended_by(kBad.key) == 2);
  owners.now += 2 * DeadlyFrames::kPatience_ns;
  for (std::uint32_t i = 1; i < DeadlyFrames::kMostDropsOfDeadly; ++i) CHECK(owners.take(kBad, true) == Verdict::drop);
  CHECK(owners.take(kBad, true) == Verdict::give_up);
  CHECK(owners.take(kGood, true) == Verdict::process);
}

TEST_CASE("a hang and a death at one frame are two ends") {
  Owners owners;
  owners.take(kBad, true);
  owners.hang();
  owners.take(kBad, false);
  owners.publish();
  CHECK(owners.take(kBad, true) == Verdict::process);
  owners.die();
  CHECK(owners.take(kBad, true) == Verdict::first_drop);
  owners.publish();
  CHECK(owners.take(kBad, true) == Verdict::drop);
}

TEST_CASE("a frame that one process hung at waits for a twin, and not without end; one that a process died at does") {
  for (const DeadlyFrames::End end : {DeadlyFrames::End::hung, DeadlyFrames::End::died}) {
    Owners owners;
    owners.take(kBad, true);
    owners.die(1, end);
    CHECK(owners.take(kBad, false) == Verdict::first_drop);
    owners.publish();
    owners.now = kNow + DeadlyFrames::kPatience_ns - 1;
    CHECK(owners.take(kBad, false) == Verdict::drop);
    owners.publish();
    owners.now = kNow + DeadlyFrames::kPatience_ns;
    CHECK(owners.take(kBad, false) == (end == DeadlyFrames::End::hung ? Verdict::process : Verdict::drop));
  }
}

TEST_CASE(
    "a hang behind a turn's frames is looked into like a death: dropped, and one frame a turn until one is named") {
  Owners owners;
  owners.take(kGood, true);
  owners.take(kBad, true);
  owners.hang(2);
  CHECK(owners.frames.is_careful(kNow));
  for (const FrameIdentity& frame : {kGood, kBad}) CHECK(owners.take(frame, false) == Verdict::first_drop);
  CHECK(owners.frames.ended_by(kBad.key) == 0);
  owners.publish();
  for (std::uint32_t hangs = 1; hangs < 3; ++hangs) {
    CHECK(owners.take(kBad, true) == Verdict::process);
    owners.hang();
    CHECK(owners.take(kBad, false) == Verdict::first_drop);
    CHECK(owners.frames.ended_by(kBad.key) == hangs);
    owners.publish();
  }
  CHECK(owners.take(kBad, true) == Verdict::drop);
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
  CHECK(owners.frames.ended_by(kBad.key) == 2);
  owners.publish();
  for (std::uint32_t i = 1; i < DeadlyFrames::kMostDropsOfDeadly; ++i) CHECK(owners.take(kBad, true) == Verdict::drop);
  CHECK(owners.take(kBad, true) == Verdict::give_up);
  CHECK(owners.take(kGood, true) == Verdict::process);
  owners.frames = DeadlyFrames();
  owners.frames.begin(*owners.group, {}, DeadlyFrames::End::died, owners.mark(), kNow);  // a death of another kind
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
  CHECK(owners.frames.ended_by(kBad.key) == 1);
  CHECK_FALSE(owners.frames.is_careful(kNow + DeadlyFrames::kCareful_ns));
}

TEST_CASE("an owner that died behind its publication leaves nothing to drop") {
  Owners owners;
  owners.take(kGood, true);
  owners.die(0);
  CHECK_FALSE(owners.frames.is_alert());
  CHECK(owners.frames.judge({owners.index, 0}, kGood, false, kNow) == Verdict::process);
}

TEST_CASE("frames that were dropped together wait for a twin when they come again, and not without end") {
  for (const DeadlyFrames::End end : {DeadlyFrames::End::hung, DeadlyFrames::End::died}) {
    Owners owners;
    owners.take(kGood, true);
    owners.take(kBad, true);
    owners.die(2, end);
    for (const FrameIdentity& frame : {kGood, kBad}) CHECK(owners.take(frame, false) == Verdict::first_drop);
    owners.publish();
    CHECK(owners.take(kBad, false) == Verdict::drop);
    CHECK(owners.take(identify(packet(false, 6, 7, {1})), false) == Verdict::process);
    CHECK(owners.take(kBad, true) == Verdict::process);
    // It did no harm.
    CHECK(owners.take(kBad, false) == Verdict::process);
    owners.now = kNow + DeadlyFrames::kPatience_ns;
    CHECK(owners.take(kGood, false) == Verdict::process);
  }
}

TEST_CASE("a frame that is tried again among others, and not survived, has ended two") {
  Owners owners;
  owners.take(kBad, true);
  owners.die();
  owners.take(kBad, false);
  owners.publish();
  CHECK(owners.take(kGood, true) == Verdict::process);
  CHECK(owners.take(kBad, true) == Verdict::process);
  owners.die(2);
  for (const FrameIdentity& frame : {kGood, kBad}) CHECK(owners.take(frame, false) == Verdict::first_drop);
  CHECK(owners.frames.ended_by(kGood.key) == 0);
  CHECK(owners.frames.ended_by(kBad.key) == 2);
}

TEST_CASE("what was left and is never shown keeps nobody alert") {
  Owners owners;
  owners.take(kGood, true);
  owners.die();
  // Passed by what came behind it.
  CHECK(owners.frames.judge({owners.index + 1, 0}, kGood, false, kNow) == Verdict::process);
  owners.publish();
  CHECK_FALSE(owners.frames.is_alert());
  // Or nothing comes any more.
  owners.take(kGood, true);
  owners.die();
  CHECK(owners.frames.is_alert());
  owners.now += DeadlyFrames::kCareful_ns + 1;
  owners.publish();
  CHECK_FALSE(owners.frames.is_alert());
  // The interface was made anew, and the rings with it.
  owners.take(kGood, true);
  owners.die();
  owners.frames.forget_left();
  CHECK(owners.frames.judge({owners.index, 0}, kGood, false, owners.now) == Verdict::process);
}

TEST_CASE("there is room for the two worst, and words of another process do no harm") {
  Owners owners;
  for (std::uint32_t seq = 0; seq < 5; ++seq) {
    const FrameIdentity frame = identify(packet(false, 6, seq, {1}));
    owners.take(frame, true);
    owners.die();
    CHECK(owners.take(frame, false) == Verdict::first_drop);
    CHECK(owners.frames.ended_by(frame.key) == 1);
    owners.publish();
  }
}
