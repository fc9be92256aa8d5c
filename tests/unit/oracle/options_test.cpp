// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "conversation.hpp"

using namespace tandem::oracle;
using namespace tandem::oracle::test;

namespace {

Setting numbers(bool wrap) {
  Setting setting;
  if (wrap) {
    setting.our_time = 0xfffffffe;
    setting.peer_time = 0xfffffffd;
  }
  return setting;
}

}  // namespace

TEST_CASE("timestamps never run backwards") {
  Conversation talk(numbers(GENERATE(false, true)));
  talk.open();
  talk.we_send("one");
  talk.we_send("two");
  Segment segment = talk.from_us("three");
  SECTION("they may stand still") {
    segment.tsval = talk.our_ts;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("a step back") {
    segment.tsval = talk.our_ts - 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "timestamp-backwards");
  }
  SECTION("an RST needs none") {
    segment = talk.from_us({}, RST | ACK);
    segment.timestamps = false;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("everything else does") {
    segment.timestamps = false;
    talk.we_send(segment);
    CHECK(talk.broken() == "timestamp-missing");
  }
}

TEST_CASE("where packets overtake one another, only new data must have a new timestamp") {
  Setting setting = numbers(GENERATE(false, true));
  setting.options.in_order = false;
  setting.options.vantage = Vantage::elsewhere;
  Conversation talk(setting);
  talk.open();
  const Segment late = talk.from_us("one");
  Segment second = late;
  second.seq += 3;
  second.tsval += 5;
  talk.we_send(second);
  talk.we_send(late);
  CHECK(talk.broken() == "");
  second = talk.from_us("three");
  second.tsval = late.tsval;
  SECTION("but a repetition may overtake it") {
    Segment again = late;
    again.tsval = talk.our_ts + 3;
    talk.we_send(again);
    second.tsval = talk.our_ts - 2;
    talk.we_send(second);
    CHECK(talk.broken() == "");
    return;
  }
  talk.we_send(second);
  CHECK(talk.broken() == "timestamp-backwards");
}

TEST_CASE("only timestamps that the peer has sent are echoed") {
  Conversation talk(numbers(GENERATE(false, true)));
  talk.open();
  Segment segment = talk.from_us("x");
  SECTION("the newest") {
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("the oldest") {
    segment.tsecr = talk.setting.peer_time + 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("none that is newer") {
    segment.tsecr += 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "timestamp-echo");
  }
  SECTION("none that is older") {
    segment.tsecr = talk.setting.peer_time;
    talk.we_send(segment);
    CHECK(talk.broken() == "timestamp-echo");
  }
}

TEST_CASE("only what was negotiated is used") {
  Setting setting;
  SECTION("timestamps") {
    setting.peer_offers.timestamps = false;
    Conversation talk(setting);
    talk.open();
    Segment segment = talk.from_us("x");
    talk.we_send(segment);
    CHECK(talk.broken() == "");
    segment = talk.from_us("y");
    segment.timestamps = true;
    talk.we_send(segment);
    CHECK(talk.broken() == "option");
  }
  SECTION("SACK") {
    setting.peer_offers.sack = false;
    Conversation talk(setting);
    talk.open();
    Segment segment = talk.from_peer("a hole");
    segment.seq += 10;
    talk.peer_sends(segment);
    Segment answer = talk.from_us();
    answer.ack = segment.seq - 10;
    answer.sack = {{segment.seq, segment.seq + 6}};
    talk.we_send(answer);
    CHECK(talk.broken() == "option");
  }
  SECTION("the scale") {
    // 64000 is the largest window without one, and 500 the next: with a scale that would be the same window.
    setting.peer_offers.scale.reset();
    Conversation talk(setting);
    talk.open();
    Segment segment = talk.from_us("x");
    segment.window = 64000;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
    talk.we_send();
    CHECK(talk.broken() == "edge-withdrawn");
  }
}

TEST_CASE("options stand where they belong and are well formed") {
  Conversation talk;
  talk.open();
  Segment segment = talk.from_us("x");
  SECTION("an MSS outside of a SYN") {
    segment.more_options = {2, 4, 5, 0xb4};
    talk.we_send(segment);
    CHECK(talk.broken() == "option");
  }
  SECTION("a window scale outside of a SYN") {
    segment.more_options = {3, 3, 7, 1};
    talk.we_send(segment);
    CHECK(talk.broken() == "option");
  }
  SECTION("SACK-permitted outside of a SYN") {
    segment.more_options = {4, 2, 1, 1};
    talk.we_send(segment);
    CHECK(talk.broken() == "option");
  }
  SECTION("an unknown one is skipped") {
    segment.more_options = {0xfd, 4, 1, 2};
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("a length of 0") {
    segment.timestamps = false;
    segment.more_options = {0xfd, 0, 1, 1};
    talk.we_send(segment);
    CHECK(talk.broken() == "option timestamp-missing");
  }
  SECTION("a length beyond the header") {
    segment.timestamps = false;
    segment.more_options = {0xfd, 5, 1, 1};
    talk.we_send(segment);
    CHECK(talk.broken() == "option timestamp-missing");
  }
}

TEST_CASE("data and its options fit into the peer's MSS") {
  Setting setting;
  setting.v6 = GENERATE(false, true);
  SECTION("as it said") {
    Conversation talk(setting);
    talk.open();
    talk.we_send(std::string(1448, 'x'));
    CHECK(talk.broken() == "");
    talk.we_send(std::string(1449, 'x'));
    CHECK(talk.broken() == "mss");
  }
  SECTION("or as hosts assume that said nothing") {
    setting.peer_offers.mss.reset();
    Conversation talk(setting);
    talk.open();
    const std::size_t most = setting.v6 ? 1220 : 536;
    talk.we_send(std::string(most - 12, 'x'));
    CHECK(talk.broken() == "");
    talk.we_send(std::string(most - 11, 'x'));
    CHECK(talk.broken() == "mss");
  }
}
