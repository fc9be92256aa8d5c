// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "conversation.hpp"

using namespace tandem::oracle;
using namespace tandem::oracle::test;

namespace {

Segment peer_syn(Conversation& talk) {
  Segment syn = talk.from_peer({}, SYN);
  syn.ack = syn.tsecr = 0;
  syn.more_options = talk.setting.peer_offers.bytes();
  return syn;
}

Segment our_syn(Conversation& talk) {
  Segment syn = talk.from_us({}, SYN);
  syn.ack = syn.tsecr = 0;
  syn.more_options = talk.setting.our_offers.bytes();
  return syn;
}

Segment answer(Conversation& talk) {
  Segment segment = talk.from_us({}, SYN | ACK);
  segment.more_options = talk.setting.our_offers.bytes();
  return segment;
}

/// Both sides end, and the ports are free.
void close(Conversation& talk) {
  talk.we_send(talk.from_us({}, FIN | ACK));
  talk.peer_sends(talk.from_peer({}, FIN | ACK));
  talk.we_send();
}

}  // namespace

TEST_CASE("the judged host may open as well") {
  Setting setting;
  if (GENERATE(false, true)) setting.our_isn = setting.peer_isn = 0xffffffff;
  Conversation talk(setting);
  const Segment syn = our_syn(talk);
  talk.we_send(syn);
  SECTION("repeating its SYN") {
    talk.we_send(syn);
    Segment both = talk.from_peer({}, SYN | ACK);
    both.more_options = talk.setting.peer_offers.bytes();
    talk.peer_sends(both);
    talk.we_send();
    talk.we_send("data");
    talk.peer_sends();
    CHECK(talk.broken() == "");
  }
  SECTION("but not with another number") {
    Segment other = syn;
    other.seq += 77;
    talk.we_send(other);
    CHECK(talk.broken() == "handshake");
  }
  SECTION("unless it was refused") {
    Segment refusal = talk.from_peer({}, RST | ACK);
    refusal.seq = 0;
    talk.peer_sends(refusal);
    Segment other = syn;
    other.seq += 77;
    talk.we_send(other);
    CHECK(talk.broken() == "");
  }
  SECTION("at the same time as the peer") {
    talk.peer_sends(peer_syn(talk));
    Segment both = syn;
    both.flags = SYN | ACK;
    both.ack = talk.peer_nxt;
    both.tsecr = talk.peer_ts;
    talk.we_send(both);
    Segment theirs = talk.from_peer({}, SYN | ACK);
    theirs.seq = talk.setting.peer_isn;
    theirs.more_options = talk.setting.peer_offers.bytes();
    talk.peer_sends(theirs);
    talk.we_send("data");
    CHECK(talk.broken() == "");
  }
}

TEST_CASE("a SYN-ACK answers the peer's SYN") {
  Conversation talk;
  SECTION("with its number") {
    talk.peer_sends(peer_syn(talk));
    Segment segment = answer(talk);
    talk.we_send(segment);
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
  SECTION("and no other") {
    talk.peer_sends(peer_syn(talk));
    Segment segment = answer(talk);
    segment.ack -= 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "handshake");
  }
  SECTION("always with the same one of its own") {
    talk.peer_sends(peer_syn(talk));
    Segment segment = answer(talk);
    talk.we_send(segment);
    segment.seq += 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "handshake");
  }
  SECTION("with no option that the SYN had not") {
    Segment syn = peer_syn(talk);
    syn.timestamps = false;
    syn.more_options = {2, 4, 5, 0xb4};
    talk.peer_sends(syn);
    talk.we_send(answer(talk));
    CHECK(talk.broken() == "handshake handshake handshake");
  }
  SECTION("with a possible MSS") {
    talk.peer_sends(peer_syn(talk));
    talk.setting.our_offers.mss = 0;
    talk.we_send(answer(talk));
    CHECK(talk.broken() == "handshake");
  }
  SECTION("with a possible scale") {
    talk.peer_sends(peer_syn(talk));
    talk.setting.our_offers.scale = 15;
    talk.we_send(answer(talk));
    CHECK(talk.broken() == "handshake");
  }
}

TEST_CASE("a SYN-ACK of a host that keeps nothing of a SYN has a number of its own each time, until one is taken") {
  Setting setting;
  setting.options.stateless_answers = true;
  Conversation talk(setting);
  Segment again = peer_syn(talk);
  talk.peer_sends(again);
  Segment segment = answer(talk);
  talk.we_send(segment);
  segment.seq += 100;
  SECTION("not taken yet") {
    // Asked again, a second later by the peer's clock.
    again.tsval += 1000;
    talk.peer_sends(again);
    segment.tsecr = again.tsval;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
    // And what it says is judged as before.
    segment.seq += 100;
    segment.ack -= 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "handshake");
  }
  SECTION("taken") {
    talk.peer_sends();
    talk.we_send();
    talk.we_send(segment);
    CHECK(talk.broken() == "handshake");
  }
}

TEST_CASE("a SYN echoes nothing") {
  Conversation talk;
  Segment syn = our_syn(talk);
  syn.tsecr = 1;
  talk.we_send(syn);
  CHECK(talk.broken() == "handshake");
}

TEST_CASE("flags that exclude one another") {
  Conversation talk;
  talk.open();
  Segment segment = talk.from_us();
  SECTION("no ACK") {
    segment.flags = PSH;
    talk.we_send(segment);
    CHECK(talk.broken() == "flags");
  }
  SECTION("FIN and RST") {
    segment.flags = FIN | RST | ACK;
    talk.we_send(segment);
    CHECK(talk.broken() == "flags");
  }
}

TEST_CASE("the same ports may be used again") {
  Setting setting;
  if (GENERATE(false, true)) setting.our_isn = setting.peer_isn = 0xfffffff0;
  Conversation talk(setting);
  talk.open();
  talk.we_send(std::string(1000, 'x'));
  close(talk);
  CHECK(talk.broken() == "");
  const std::uint32_t old_isn = setting.our_isn;
  talk.peer_nxt += 100'000;
  talk.peer_sends(peer_syn(talk));
  Segment segment = answer(talk);
  SECTION("with a number beyond the old ones") {
    segment.seq += 5000;
    talk.our_nxt = segment.seq;
    talk.we_send(segment);
    talk.peer_sends();
    talk.we_send(std::string(1000, 'y'));
    CHECK(talk.broken() == "");
    CHECK(talk.oracle.counts().connections == 2);
  }
  SECTION("not with the same one") {
    segment.seq = old_isn;
    talk.we_send(segment);
    CHECK(talk.broken() == "isn-reuse");
  }
  SECTION("not with one of its numbers and an old timestamp") {
    segment.seq = old_isn + 500;
    segment.tsval = talk.our_ts;
    talk.we_send(segment);
    CHECK(talk.broken() == "isn-reuse");
  }
  SECTION("a newer timestamp tells them apart") {
    segment.seq = old_isn + 500;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
}

TEST_CASE("a SYN that meets TIME-WAIT") {
  Conversation talk;
  talk.open();
  talk.we_send(std::string(1000, 'x'));
  close(talk);
  const std::uint32_t before = talk.peer_nxt;
  Segment syn = peer_syn(talk);
  syn.seq = before - 2;
  talk.peer_sends(syn);
  talk.peer_nxt = before;
  SECTION("may be answered with the ACK of the connection that has ended") {
    talk.we_send();
    CHECK(talk.broken() == "");
    CHECK(talk.oracle.counts().connections == 1);
  }
  SECTION("and with no other") {
    Segment wrong = talk.from_us();
    wrong.ack += 1;
    talk.we_send(wrong);
    CHECK(talk.broken() == "ack-unsent");
  }
  SECTION("or opens a new one") {
    Segment segment = answer(talk);
    segment.seq += 5000;
    segment.ack = syn.seq + 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
    CHECK(talk.oracle.counts().connections == 2);
  }
  SECTION("or is refused") {
    Segment segment = talk.from_us({}, RST | ACK);
    segment.timestamps = false;
    segment.seq = 0;
    segment.ack = syn.seq + 1;
    talk.we_send(segment);
    CHECK(talk.broken() == "");
  }
}

TEST_CASE("after a minute all numbers are free") {
  const bool waits = GENERATE(false, true);
  Conversation talk;
  talk.open();
  close(talk);
  if (waits) talk.wait(61'000'000'000);
  talk.peer_sends(peer_syn(talk));
  Segment segment = answer(talk);
  segment.seq = talk.setting.our_isn;
  talk.we_send(segment);
  CHECK(talk.broken() == (waits ? "" : "isn-reuse"));
}

TEST_CASE("a peer that has started anew") {
  Conversation talk;
  talk.open();
  talk.we_send("data");
  Segment syn = peer_syn(talk);
  syn.seq += 1'000'000;
  const std::uint32_t before = talk.peer_nxt;
  talk.peer_sends(syn);
  SECTION("gets a challenge ACK of the connection that lives") {
    talk.peer_nxt = before;
    talk.we_send();
    CHECK(talk.broken() == "");
  }
  SECTION("may be answered at once") {
    Segment segment = answer(talk);
    segment.seq += 100'000;
    talk.our_nxt = segment.seq;
    talk.we_send(segment);
    talk.peer_sends();
    talk.we_send("data");
    CHECK(talk.broken() == "");
    CHECK(talk.oracle.counts().connections == 2);
  }
}

TEST_CASE("the judged host does not start anew within a connection") {
  Conversation talk;
  talk.open();
  Segment syn = our_syn(talk);
  syn.seq += 100'000;
  talk.we_send(syn);
  CHECK(talk.broken() == "handshake");
}

TEST_CASE("cleared, an oracle remembers nothing") {
  Conversation talk;
  talk.open();
  Segment wrong = talk.from_us();
  wrong.ack += 1;
  talk.we_send(wrong);
  CHECK(talk.broken() == "ack-unsent");
  talk.oracle.clear();
  CHECK(talk.broken() == "");
  CHECK(talk.oracle.counts().frames == 0);
  Segment syn = peer_syn(talk);
  talk.peer_sends(syn);
  talk.our_nxt = talk.setting.our_isn;
  talk.we_send(answer(talk));
  CHECK(talk.broken() == "");
}
