// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "conversation.hpp"

using namespace tandem::oracle;
using namespace tandem::oracle::test;

namespace {

Setting numbers(bool wrap) {
  Setting setting;
  if (wrap) {
    setting.our_isn = 0xfffffff0;
    setting.peer_isn = 0xfffffffa;
  }
  return setting;
}

/// The peer's window is open by 128 bytes, one unit of its scale, from where we stand.
void open_with_small_window(Conversation& talk) {
  talk.setting.peer_offers = {};
  Segment syn = talk.from_peer({}, SYN);
  syn.ack = syn.tsecr = 0;
  syn.window = 128;
  syn.more_options = talk.setting.peer_offers.bytes();
  talk.peer_sends(syn);
  Segment answer = talk.from_us({}, SYN | ACK);
  answer.more_options = talk.setting.our_offers.bytes();
  talk.we_send(answer);
  Segment last = talk.from_peer();
  last.window = 1;
  talk.peer_sends(last);
}

}  // namespace

TEST_CASE("data stays within the peer's window") {
  Conversation talk(numbers(GENERATE(false, true)));
  open_with_small_window(talk);
  SECTION("up to the edge") {
    talk.we_send(std::string(128, 'x'));
    CHECK(talk.broken() == "");
  }
  SECTION("not one byte further") {
    talk.we_send(std::string(129, 'x'));
    CHECK(talk.broken() == "beyond-window");
  }
  SECTION("one byte at the edge probes a shut window") {
    talk.we_send(std::string(128, 'x'));
    Segment shut = talk.from_peer();
    shut.window = 0;
    talk.peer_sends(shut);
    talk.we_send("p");
    CHECK(talk.broken() == "");
    SECTION("and an empty ACK behind the probe is not accepted") {
      talk.we_send();
      CHECK(talk.broken() == "beyond-window");
    }
    SECTION("unless the peer took the byte") {
      shut = talk.from_peer();
      shut.window = 0;
      talk.peer_sends(shut);
      talk.we_send();
      CHECK(talk.broken() == "");
    }
  }
  SECTION("two bytes are no probe") {
    talk.we_send(std::string(128, 'x'));
    talk.we_send("pp");
    CHECK(talk.broken() == "beyond-window");
  }
  SECTION("a FIN may stand right behind the edge") {
    talk.we_send(talk.from_us(std::string(128, 'x'), FIN | ACK));
    talk.we_send();
    CHECK(talk.broken() == "");
  }
}

TEST_CASE("an empty ACK stands where the peer takes it") {
  Setting setting = numbers(GENERATE(false, true));
  setting.options.vantage = Vantage::elsewhere;
  Conversation talk(setting);
  open_with_small_window(talk);
  Segment segment = talk.from_us();
  SECTION("at the right edge") {
    segment.seq += 128;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("not beyond it") {
    segment.seq += 129;
    talk.we_send(segment);
    CHECK(talk.broken() == "beyond-window");
  }
  SECTION("a keepalive stands one before, and tells nothing") {
    talk.we_send();
    segment = talk.from_us();
    segment.seq -= 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("what tells something does not stand there") {
    talk.peer_sends("news");
    segment = talk.from_us();
    segment.seq -= 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "ack-ignored");
  }
  SECTION("unless the peer has taken a probe and the news of that is under way") {
    talk.we_send(std::string(128, 'x'));
    talk.we_send("p");
    Segment taken = talk.from_peer("news");
    taken.window = 0;
    talk.peer_sends(taken);
    segment = talk.from_us();
    segment.seq -= 1;
    SECTION("not for long") {
      talk.wait(300'000'000);
      talk.we_send(segment);
      CHECK(talk.broken() == "ack-ignored");
    }
    SECTION("at first") {
      talk.we_send(segment);
      CHECK(talk.broken() == "");
    }
  }
  SECTION("nor where the window was shut by rounding it down") {
    talk.we_send(std::string(100, 'x'));
    Segment shut = talk.from_peer();
    shut.window = 0;
    talk.peer_sends(shut);
    talk.we_send("p");
    Segment taken = talk.from_peer("news");
    taken.window = 0;
    talk.peer_sends(taken);
    segment = talk.from_us();
    segment.seq -= 1;
    SECTION("for long") {
      talk.wait(300'000'000);
      talk.we_send(segment);
      CHECK(talk.broken() == "ack-ignored");
    }
    SECTION("at first") {
      talk.we_send(segment);
      CHECK(talk.broken() == "");
    }
  }
  SECTION("what no longer mentions a duplicate tells nothing") {
    const Segment twice = talk.from_peer("twice");
    talk.peer_sends(twice);
    talk.peer_sends(twice);
    segment = talk.from_us();
    segment.sack = {{twice.seq, twice.seq + 5}};
    talk.we_send(segment);
    segment = talk.from_us();
    segment.seq -= 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("one old byte makes the peer take it") {
    talk.we_send("0123456789");
    talk.peer_sends("news");
    segment = talk.from_us("9");
    segment.seq -= 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
}

TEST_CASE("at the judged host no number is passed over") {
  Setting setting = numbers(GENERATE(false, true));
  SECTION("seen there") {
    Conversation talk(setting);
    talk.open();
    talk.we_send("one");
    Segment segment = talk.from_us("three");
    segment.seq += 3;
    talk.we_send(segment);
    CHECK(talk.broken() == "seq-skipped");
  }
  SECTION("elsewhere a segment may have been lost before") {
    setting.options.vantage = Vantage::elsewhere;
    Conversation talk(setting);
    talk.open();
    talk.we_send("one");
    Segment segment = talk.from_us("three");
    segment.seq += 3;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
}

TEST_CASE("an RST stands exactly where the peer takes it") {
  Conversation talk(numbers(GENERATE(false, true)));
  talk.open();
  talk.we_send("0123456789");
  Segment reset = talk.from_us({}, RST | ACK);
  reset.timestamps = false;
  SECTION("at the end of what was sent") {
    talk.we_send(reset);
    CHECK(talk.broken() == "");
  }
  SECTION("at what the peer has acknowledged") {
    reset.seq -= 10;
    reset.flags = RST;
    talk.we_send(reset);
    CHECK(talk.broken() == "");
  }
  SECTION("not between them") {
    reset.seq -= 1;
    talk.we_send(reset);
    CHECK(talk.broken() == "reset-inexact");
  }
  SECTION("not beyond") {
    reset.seq += 1;
    talk.we_send(reset);
    CHECK(talk.broken() == "reset-inexact");
  }
  SECTION("and nothing follows it") {
    talk.we_send(reset);
    talk.we_send("more");
    CHECK(talk.broken() == "sent-after-reset");
  }
}

TEST_CASE("an RST may answer a segment that was long under way") {
  Setting setting = numbers(GENERATE(false, true));
  setting.options.arrivals = true;
  Conversation talk(setting);
  talk.opening_arrives = true;
  talk.open();
  const Segment late = talk.from_peer();
  talk.peer_sends(late);
  Segment reset = talk.from_us({}, RST);
  reset.timestamps = false;
  reset.seq = late.ack;
  for (int i = 0; i < 150; ++i) {
    talk.we_send("x");
    talk.peer_sends();
  }
  SECTION("once it has arrived") {
    talk.reaches_us(late);
    talk.we_send(reset);
    CHECK(talk.broken() == "");
  }
  SECTION("and not before") {
    talk.we_send(reset);
    CHECK(talk.broken() == "reset-inexact");
  }
}

TEST_CASE("a window that was overtaken by a later one moves the edge back, for those that know no better") {
  Setting setting = numbers(GENERATE(false, true));
  setting.options.arrivals = true;
  Conversation talk(setting);
  talk.opening_arrives = true;
  talk.open();
  talk.we_send(std::string(100, 'x'));
  Segment shut = talk.from_peer();
  shut.window = 0;
  talk.peer_sends(shut);
  talk.peer_sends();
  talk.reaches_us(talk.from_peer());
  talk.we_send(std::string(100, 'y'));
  const Segment news = talk.from_peer("news");
  talk.peer_sends(news);
  talk.reaches_us(news);
  Segment back = talk.from_us();
  back.seq -= 100;
  SECTION("once it has arrived") {
    talk.reaches_us(shut);
    SECTION("at first") {
      talk.we_send(back);
      CHECK(talk.broken() == "");
    }
    SECTION("not for long") {
      talk.wait(300'000'000);
      talk.we_send(back);
      CHECK(talk.broken() == "ack-ignored");
    }
    SECTION("and no further") {
      back.seq -= 1;
      talk.we_send(back);
      CHECK(talk.broken() == "ack-ignored");
    }
  }
  SECTION("and not before") {
    talk.we_send(back);
    CHECK(talk.broken() == "ack-ignored");
  }
}

TEST_CASE("an RST against a closed port acknowledges the SYN") {
  Conversation talk(numbers(GENERATE(false, true)));
  Segment syn = talk.from_peer({}, SYN);
  syn.ack = syn.tsecr = 0;
  syn.more_options = talk.setting.peer_offers.bytes();
  talk.peer_sends(syn);
  Segment refusal;
  refusal.flags = RST | ACK;
  refusal.timestamps = false;
  refusal.ack = talk.peer_nxt;
  SECTION("exactly") {
    talk.we_send(refusal);
    CHECK(talk.broken() == "");
  }
  SECTION("no less than that") {
    refusal.ack -= 1;
    talk.we_send(refusal);
    CHECK(talk.broken() == "reset-inexact");
  }
  SECTION("no more than that") {
    refusal.ack += 1;
    talk.we_send(refusal);
    CHECK(talk.broken() == "reset-inexact");
  }
  SECTION("and has the ACK flag") {
    refusal.flags = RST;
    talk.we_send(refusal);
    CHECK(talk.broken() == "reset-inexact");
  }
}

TEST_CASE("the caller says which ends were asked for") {
  Setting setting;
  bool asked = GENERATE(false, true);
  std::vector<Ending> endings;
  setting.options.may_end = [&](const Ending& ending) {
    endings.push_back(ending);
    return asked;
  };
  Conversation talk(setting);
  talk.open();
  SECTION("a FIN, once") {
    const Segment fin = talk.from_us({}, FIN | ACK);
    talk.we_send(fin);
    talk.we_send(fin);
    CHECK(talk.broken() == (asked ? "" : "unasked-fin"));
    REQUIRE(endings.size() == 1);
    CHECK(endings[0].kind == Ending::Kind::fin);
    CHECK(endings[0].port == 179);
    CHECK(endings[0].other_port == 40000);
  }
  SECTION("an RST") {
    talk.we_send(talk.from_us({}, RST | ACK));
    CHECK(talk.broken() == (asked ? "" : "unasked-reset"));
  }
}

TEST_CASE("a connection that is older than the capture raises no false alarm") {
  Setting setting = numbers(GENERATE(false, true));
  Conversation talk(setting);
  talk.we_send("in the middle");
  Segment late = talk.from_peer("of something");
  late.seq += 5000;
  late.ack -= 5;
  talk.peer_sends(late);
  Segment segment = talk.from_us("that goes on");
  segment.sack = {{segment.ack + 100, segment.ack + 300}};
  talk.we_send(segment);
  segment = talk.from_us();
  segment.ack += 9000;
  segment.window = 3;
  talk.we_send(segment);
  CHECK(talk.broken() == "");
  SECTION("its bytes are judged all the same") {
    segment.seq -= 2;
    segment.payload = "XX";
    talk.we_send(segment);
    CHECK(talk.broken() == "bytes-changed");
  }
  SECTION("its timestamps too") {
    segment.tsval -= 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "timestamp-backwards");
  }
  SECTION("once both have been quiet for a second, ACKs are judged too") {
    talk.peer_nxt = segment.ack;
    talk.peer_sends();
    talk.wait(1'100'000'000);
    talk.peer_sends();
    segment = talk.from_us();
    segment.ack += 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "ack-unsent");
  }
}

TEST_CASE("where frames may be missing, only what was seen is judged") {
  Setting setting;
  setting.options.gaps = true;
  setting.options.vantage = Vantage::elsewhere;
  Conversation talk(setting);
  talk.open();
  Segment segment = talk.from_us(std::string(1000, 'x'));
  segment.seq += 500'000;
  segment.ack += 700'000;
  talk.we_send(segment);
  CHECK(talk.broken() == "");
  segment.payload[3] = 'y';
  talk.we_send(segment);
  CHECK(talk.broken() == "bytes-changed");
}
