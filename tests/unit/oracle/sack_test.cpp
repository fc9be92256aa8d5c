// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "conversation.hpp"

using namespace tandem::oracle;
using namespace tandem::oracle::test;

namespace {

/// The peer has sent ten segments of ten bytes from `base` on, of which we tell what we hold.
struct Lossy : Conversation {
  static Setting numbers(bool wrap) {
    Setting setting;
    setting.options.vantage = Vantage::elsewhere;
    if (wrap) setting.peer_isn = 0xffffffd0;
    return setting;
  }
  explicit Lossy(bool wrap) : Conversation(numbers(wrap)) {
    open();
    base = peer_nxt;
    for (int i = 0; i < 10; ++i) peer_sends("0123456789");
  }
  /// Acknowledges `segments`, and lists blocks given in segments.
  void tell(std::uint32_t segments, std::vector<Block> blocks = {}) {
    Segment segment = from_us();
    segment.ack = base + 10 * segments;
    for (const Block& block : blocks) segment.sack.push_back({base + 10 * block.left, base + 10 * block.right});
    we_send(segment);
  }
  std::uint32_t base;
};

}  // namespace

TEST_CASE("SACK blocks lie within what the peer has sent, above the ACK, apart") {
  Lossy talk(GENERATE(false, true));
  SECTION("well") {
    talk.tell(1, {{2, 3}});
    talk.tell(1, {{5, 6}, {2, 3}});
    talk.tell(1, {{2, 4}, {5, 6}});
    talk.tell(1, {{8, 10}, {2, 4}, {5, 6}});
    talk.tell(4, {{8, 10}, {5, 6}});
    talk.tell(10);
    CHECK(talk.broken() == "");
  }
  SECTION("touching one another") {
    talk.tell(1, {{3, 5}, {5, 6}});
    CHECK(talk.broken() == "");
  }
  SECTION("beyond what was sent") {
    talk.tell(1, {{9, 11}});
    CHECK(talk.broken() == "sack-unsent");
  }
  SECTION("turned round") {
    talk.tell(1, {{5, 4}});
    CHECK(talk.broken() == "sack-block");
  }
  SECTION("empty") {
    talk.tell(1, {{5, 5}});
    CHECK(talk.broken() == "sack-block");
  }
  SECTION("touching the ACK") {
    talk.tell(1, {{1, 3}});
    CHECK(talk.broken() == "sack-block");
  }
  SECTION("around the ACK") {
    talk.tell(2, {{1, 3}});
    CHECK(talk.broken() == "sack-block");
  }
  SECTION("below the ACK, but not first") {
    talk.tell(2, {{4, 5}, {0, 1}});
    CHECK(talk.broken() == "sack-block");
  }
  SECTION("overlapping") {
    talk.tell(1, {{3, 5}, {4, 6}});
    CHECK(talk.broken() == "sack-block");
  }
}

TEST_CASE("the first block may report what came twice") {
  Lossy talk(GENERATE(false, true));
  SECTION("below the ACK") {
    talk.tell(3, {{1, 2}});
    talk.tell(3, {{1, 3}, {5, 6}});
    CHECK(talk.broken() == "");
  }
  SECTION("below the ACK, and behind it others that the ACK has passed") {
    talk.tell(3, {{2, 3}, {0, 1}});
    CHECK(talk.broken() == "");
  }
  SECTION("within the second block") {
    talk.tell(1, {{4, 5}, {3, 6}});
    talk.tell(1, {{3, 6}, {3, 6}});
    CHECK(talk.broken() == "");
  }
  SECTION("and is not taken for held data") {
    talk.tell(3, {{1, 2}});
    talk.tell(3);
    CHECK(talk.broken() == "");
  }
}

TEST_CASE("what was SACKed is not forgotten") {
  Lossy talk(GENERATE(false, true));
  talk.tell(1, {{2, 4}});
  SECTION("the ACK jumps over it") {
    talk.tell(4);
    CHECK(talk.broken() == "");
  }
  SECTION("the ACK does not stop at it") {
    talk.tell(2);
    CHECK(talk.broken() == "sack-reneged");
  }
  SECTION("nor within it") {
    talk.tell(3);
    CHECK(talk.broken() == "sack-reneged");
  }
  SECTION("an empty ACK goes on to mention it") {
    talk.tell(1);
    CHECK(talk.broken() == "sack-reneged");
  }
  SECTION("beside others") {
    talk.tell(1, {{6, 7}});
    CHECK(talk.broken() == "sack-reneged");
  }
  SECTION("one that shrinks is forgotten in part") {
    talk.tell(1, {{2, 3}});
    CHECK(talk.broken() == "sack-reneged");
  }
  SECTION("data need not carry it") {
    Segment data = talk.from_us("data");
    data.ack = talk.base + 10;
    talk.we_send(data);
    CHECK(talk.broken() == "");
  }
  SECTION("with more ranges than an ACK has room for, not all are mentioned") {
    talk.tell(1, {{6, 7}, {2, 4}});
    talk.tell(1, {{8, 9}, {6, 7}, {2, 4}});
    talk.tell(1, {{8, 9}, {6, 7}});
    CHECK(talk.broken() == "");
    SECTION("but the ACK jumps over them all the same") {
      talk.tell(2, {{8, 9}, {6, 7}});
      CHECK(talk.broken() == "sack-reneged");
    }
  }
}
