// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "conversation.hpp"

using namespace tandem::oracle;
using namespace tandem::oracle::test;

namespace {

Setting numbers(bool wrap) {
  Setting setting;
  if (wrap) setting.our_isn = 0xfffffff0;
  return setting;
}

}  // namespace

TEST_CASE("a sequence number never carries other bytes") {
  Setting setting = numbers(GENERATE(false, true));
  setting.options.vantage = Vantage::elsewhere;
  Conversation talk(setting);
  talk.open();
  const Segment first = talk.from_us("abcdefghijklmnopqrstuvwxyz");
  talk.we_send(first);
  Segment again = talk.from_us();
  SECTION("the same ones may be repeated, cut as one likes") {
    again.seq = first.seq + 3;
    again.payload = "defghi";
    talk.we_send(again);
    again.seq = first.seq + 20;
    again.payload = "uvwxyz and more";
    talk.we_send(again);
    CHECK(talk.broken() == "");
  }
  SECTION("another one is seen") {
    again.seq = first.seq + 3;
    again.payload = "defgHi";
    talk.we_send(again);
    CHECK(talk.broken() == "bytes-changed");
    CHECK(talk.oracle.violations()[0].words.find("0x48") != std::string::npos);
  }
  SECTION("also when the peer has acknowledged it") {
    talk.peer_sends();
    again = talk.from_us("Z");
    again.seq -= 1;
    talk.we_send(again);
    CHECK(talk.broken() == "bytes-changed");
  }
  SECTION("what was never seen is not judged") {
    again.seq = talk.our_nxt + 10;
    again.payload = "later";
    talk.we_send(again);
    again.seq -= 10;
    again.payload = "0123456789";
    talk.we_send(again);
    CHECK(talk.broken() == "");
    again.payload = "0123456789lateR";
    talk.we_send(again);
    CHECK(talk.broken() == "bytes-changed");
  }
}

TEST_CASE("megabytes in flight are remembered") {
  Setting setting = numbers(GENERATE(false, true));
  Conversation talk(setting);
  talk.open();
  Segment wide = talk.from_peer();
  wide.window = 0xffff;
  talk.peer_sends(wide);
  std::string payload(1448, ' ');
  const std::uint32_t start = talk.our_nxt;
  const auto piece = [&](std::uint32_t i) {
    for (std::size_t k = 0; k < payload.size(); ++k) payload[k] = static_cast<char>(i * 7 + k * 13);
    return payload;
  };
  for (std::uint32_t i = 0; i < 3000; ++i) talk.we_send(piece(i));
  CHECK(talk.broken() == "");
  Segment again = talk.from_us(piece(0));
  again.seq = start;
  talk.we_send(again);
  CHECK(talk.broken() == "");
  again.payload[0] ^= 1;
  talk.we_send(again);
  CHECK(talk.broken() == "bytes-changed");
}

TEST_CASE("a FIN stays where it is, and nothing follows it") {
  Conversation talk(numbers(GENERATE(false, true)));
  talk.open();
  talk.we_send("0123456789");
  const Segment fin = talk.from_us("end", FIN | ACK);
  talk.we_send(fin);
  talk.we_send(fin);
  talk.we_send();
  CHECK(talk.broken() == "");
  Segment segment = fin;
  segment.tsval = talk.our_ts;
  SECTION("its repetition may carry less") {
    segment.payload.clear();
    segment.seq += 3;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("it does not move back") {
    segment.payload = "en";
    talk.we_send(segment);
    CHECK(talk.broken() == "fin-moved");
  }
  SECTION("nor on") {
    segment.payload = "end.";
    talk.we_send(segment);
    CHECK(talk.broken() == "fin-moved");
  }
  SECTION("nothing is sent behind it") {
    segment.flags = ACK;
    segment.payload = "end.";
    talk.we_send(segment);
    CHECK(talk.broken() == "data-after-fin");
  }
}

TEST_CASE("a FIN does not cut off what was sent") {
  Conversation talk;
  talk.open();
  talk.we_send("0123456789");
  Segment fin = talk.from_us({}, FIN | ACK);
  fin.seq -= 1;
  talk.we_send(fin);
  CHECK(talk.broken() == "fin-moved");
}

TEST_CASE("an empty segment may overtake the FIN before it") {
  Setting setting = numbers(GENERATE(false, true));
  setting.options.in_order = false;
  setting.options.vantage = Vantage::elsewhere;
  Conversation talk(setting);
  talk.open();
  const Segment fin = talk.from_us("end", FIN | ACK);
  Segment after = talk.from_us();
  after.seq += 4;
  talk.we_send(after);
  talk.we_send(fin);
  CHECK(talk.broken() == "");
}

TEST_CASE("checksums and lengths are right") {
  Setting setting;
  setting.v6 = GENERATE(false, true);
  Conversation talk(setting);
  talk.open();
  auto frame = frame_of(talk.us, talk.peer, talk.from_us("odd"));
  SECTION("the TCP checksum") {
    Segment segment = talk.from_us("odd");
    segment.break_checksum = true;
    talk.we_send(segment);
    CHECK(talk.broken() == "checksum");
  }
  SECTION("each byte of it counts") {
    for (std::size_t i = setting.v6 ? 54 : 34; i < frame.size(); ++i) {
      auto broken = frame;
      broken[i] ^= 0x10;
      talk.oracle.observe(talk.now_ns, broken);
    }
    CHECK(talk.oracle.counts().violations >= 20);
    for (const Violation& violation : talk.oracle.violations()) {
      CHECK((violation.rule == "checksum" || violation.rule == "length"));
    }
  }
  SECTION("a length beyond the frame") {
    frame.pop_back();
    talk.oracle.observe(talk.now_ns, frame);
    CHECK(talk.broken() == "length");
  }
  SECTION("a frame that was cut when it was captured is no fault") {
    const std::size_t wire_length = frame.size();
    frame.resize(frame.size() - 2);
    talk.oracle.observe(talk.now_ns, frame, wire_length);
    CHECK(talk.broken() == "");
  }
  SECTION("padding of a short frame is no fault") {
    frame.resize(frame.size() + 7);
    talk.oracle.observe(talk.now_ns, frame);
    CHECK(talk.broken() == "");
  }
  SECTION("a time to live of 0") {
    frame[setting.v6 ? 21 : 22] = 0;
    if (!setting.v6) frame[24] = static_cast<std::uint8_t>(frame[24] + 0x40);
    talk.oracle.observe(talk.now_ns, frame);
    CHECK(talk.broken() == "length");
  }
  SECTION("a peer's broken segment has not arrived") {
    Segment lost = talk.from_peer("lost");
    lost.break_checksum = true;
    talk.peer_sends(lost);
    Segment segment = talk.from_us();
    segment.tsecr -= 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "ack-unsent");
  }
}
