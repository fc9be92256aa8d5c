// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "conversation.hpp"

using namespace tandem::oracle;
using namespace tandem::oracle::test;

namespace {

/// Every rule about numbers is tried in the middle of the number space and across its end.
Setting numbers(bool wrap) {
  Setting setting;
  if (wrap) {
    setting.our_isn = 0xfffffff8;
    setting.peer_isn = 0xfffffffa;
    setting.our_time = 0xffffffff;
    setting.peer_time = 0xfffffffe;
  }
  return setting;
}

}  // namespace

TEST_CASE("a request, its answer and their acknowledgements break no rule") {
  Setting setting = numbers(GENERATE(false, true));
  setting.v6 = GENERATE(false, true);
  Conversation talk(setting);
  talk.open();
  for (int i = 0; i < 10; ++i) {
    talk.peer_sends("a question");
    talk.we_send();
    talk.we_send("an answer");
    talk.peer_sends();
  }
  talk.peer_sends(talk.from_peer({}, FIN | ACK));
  talk.we_send(talk.from_us("the last", FIN | ACK));
  talk.peer_sends();
  CHECK(talk.broken() == "");
  CHECK(talk.oracle.counts().connections == 1);
  CHECK(talk.oracle.counts().tcp_packets == 46);
}

TEST_CASE("nothing is acknowledged that the peer has not sent") {
  Conversation talk(numbers(GENERATE(false, true)));
  talk.open();
  talk.peer_sends("0123456789");
  Segment segment = talk.from_us();
  SECTION("all of it may be acknowledged") {
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("one byte more may not") {
    segment.ack += 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "ack-unsent");
  }
}

TEST_CASE("what arrives with its last hop is taken, as it is without a checksum that covers it") {
  constexpr std::size_t kHopLimitAt = 14 + 7;
  Setting setting;
  setting.v6 = true;
  setting.options.arrivals = true;
  Conversation talk(setting);
  Segment syn = talk.from_peer({}, SYN);
  syn.ack = syn.tsecr = 0;
  syn.more_options = setting.peer_offers.bytes();
  talk.peer_sends(syn);
  auto frame = frame_of(talk.peer, talk.us, syn);
  frame[kHopLimitAt] = 0;
  const bool otherwise_broken = GENERATE(false, true);
  if (otherwise_broken) frame.back() ^= 1;
  talk.oracle.arrived(talk.now_ns, frame);
  Segment answer = talk.from_us({}, SYN | ACK);
  answer.more_options = setting.our_offers.bytes();
  talk.we_send(answer);
  CHECK(talk.broken() == (otherwise_broken ? "ack-unreceived" : ""));
}

TEST_CASE("nothing is acknowledged or SACKed that has not arrived") {
  Setting setting = numbers(GENERATE(false, true));
  setting.options.arrivals = true;
  Conversation talk(setting);
  Segment syn = talk.from_peer({}, SYN);
  syn.ack = syn.tsecr = 0;
  syn.more_options = setting.peer_offers.bytes();
  talk.peer_sends(syn);
  talk.reaches_us(syn);
  Segment answer = talk.from_us({}, SYN | ACK);
  answer.more_options = setting.our_offers.bytes();
  talk.we_send(answer);
  talk.peer_sends();
  const Segment first = talk.from_peer("first"), second = talk.from_peer("first");
  const std::uint32_t start = talk.peer_nxt;
  talk.peer_sends(first);
  talk.peer_sends(talk.from_peer("second"));
  Segment got = talk.from_us();
  SECTION("what has arrived is acknowledged") {
    talk.reaches_us(first);
    got.ack = start + 5;
    talk.we_send(got);
    CHECK(talk.broken() == "");
  }
  SECTION("what is under way is not") {
    talk.reaches_us(first);
    got.ack = start + 11;
    talk.we_send(got);
    CHECK(talk.broken() == "ack-unreceived");
  }
  SECTION("what was corrupted on the way has not arrived") {
    Segment broken = first;
    broken.break_checksum = true;
    talk.reaches_us(broken);
    got.ack = start + 5;
    talk.we_send(got);
    CHECK(talk.broken() == "ack-unreceived");
  }
  SECTION("a SACK block must have arrived whole") {
    Segment later = first;
    later.seq = start + 5;
    later.payload = "secon";
    talk.reaches_us(later);
    got.ack = start;
    got.sack = {{start + 5, start + 10}};
    talk.we_send(got);
    CHECK(talk.broken() == "");
    got.sack = {{start + 5, start + 11}};
    talk.we_send(got);
    CHECK(talk.broken() == "sack-unreceived");
  }
}

TEST_CASE("an ACK never goes back") {
  Setting setting = numbers(GENERATE(false, true));
  SECTION("at all, where the order is known") {
    Conversation talk(setting);
    talk.open();
    talk.peer_sends("0123456789");
    talk.we_send();
    talk.we_send();
    CHECK(talk.broken() == "");
    Segment segment = talk.from_us();
    segment.ack -= 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "ack-backwards");
  }
  SECTION("by more than a window, where it is not") {
    setting.options.in_order = false;
    Conversation talk(setting);
    talk.open();
    talk.peer_sends("0123456789");
    talk.we_send();
    Segment segment = talk.from_us();
    segment.ack -= 10;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
    segment.ack -= 65536;
    talk.we_send(segment);
    CHECK(talk.broken() == "ack-old");
  }
}

TEST_CASE("the right edge of the window is never withdrawn") {
  Conversation talk(numbers(GENERATE(false, true)));
  talk.open();
  talk.we_send();
  talk.peer_sends(std::string(256, 'x'));
  Segment segment = talk.from_us();
  SECTION("the window shrinks by what came in") {
    segment.window -= 2;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("less than one unit of the scale may be rounded away") {
    segment.ack -= 1;
    segment.window -= 2;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("one unit may not") {
    segment.window -= 3;
    talk.we_send(segment);
    CHECK(talk.broken() == "edge-withdrawn");
  }
  SECTION("after the peer's FIN nobody needs it") {
    talk.peer_sends(talk.from_peer({}, FIN | ACK));
    segment = talk.from_us();
    segment.window = 0;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
}

TEST_CASE("without a scale every byte of the right edge counts") {
  Setting setting;
  setting.our_offers.scale = setting.peer_offers.scale = std::nullopt;
  Conversation talk(setting);
  talk.open();
  Segment segment = talk.from_us();
  segment.window = 64000;
  talk.we_send(segment);
  CHECK(talk.broken() == "");
  segment.window = 63999;
  talk.we_send(segment);
  CHECK(talk.broken() == "edge-withdrawn");
}

TEST_CASE("empty ACKs that answer nothing are limited") {
  Conversation talk;
  talk.open();
  SECTION("each segment of data is worth one") {
    for (int i = 0; i < 50; ++i) {
      Segment same = talk.from_peer("x");
      talk.peer_sends(same);
      talk.peer_sends(same);
      talk.we_send();
      talk.we_send();
    }
    CHECK(talk.broken() == "");
  }
  SECTION("new windows are worth telling") {
    for (std::uint16_t i = 0; i < 50; ++i) {
      Segment segment = talk.from_us();
      segment.window = static_cast<std::uint16_t>(segment.window + i);
      talk.we_send(segment);
    }
    CHECK(talk.broken() == "");
  }
  SECTION("keepalives, two a second, pass") {
    talk.we_send();
    for (int i = 0; i < 50; ++i) {
      talk.wait(500'000'000);
      Segment segment = talk.from_us();
      segment.seq -= 1;
      talk.we_send(segment);
    }
    CHECK(talk.broken() == "");
  }
  SECTION("a storm does not") {
    // The SYN is owed an answer too, and the first ACK tells a window: the eleven that follow them are what is left.
    for (int i = 0; i < 12; ++i) talk.we_send();
    CHECK(talk.broken() == "");
    talk.we_send();
    CHECK(talk.broken() == "ack-storm");
  }
}
