// SPDX-License-Identifier: BSD-3-Clause
// Sessions as a peer sees them: opening, refusing, timers, collisions.
#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

namespace {

const Link kOut{0, Direction::outgoing};
const Link kIn{0, Direction::incoming};

std::vector<Action> actions_of(Speaker& s) {
  std::vector<Action> out;
  for (Action a; s.next_action(a);) out.push_back(a);
  return out;
}

/// What is to be written on a link, by type; NOTIFICATIONs as text.
std::string pulled(Speaker& s, Link link) {
  std::string text;
  Octets room(kMaxMessageBytes);
  std::size_t n = 0;
  for (Pulled p = s.next_message(link, room, n); p == Pulled::message || p == Pulled::busy;
       p = s.next_message(link, room, n)) {
    if (p == Pulled::busy) continue;
    if (!text.empty()) text += ' ';
    static constexpr const char* kNames[] = {"?", "open", "update", "notification", "keepalive", "refresh"};
    text += kNames[room[18]];
    if (room[18] == 3) text += std::to_string(room[19]) + "/" + std::to_string(room[20]);
  }
  return text;
}

Open peer_open(std::uint32_t as = 65001, std::uint32_t router_id = 0x0a000001) {
  Open open;
  open.as = as;
  open.hold_time_s = 30;
  open.router_id = router_id;
  open.family.fill(true);
  open.any_multiprotocol = true;
  open.four_octet_as = true;
  open.route_refresh = true;
  return open;
}

Endpoints endpoints() {
  Endpoints e;
  e.local = address("192.0.2.1");
  e.remote = address("10.0.0.1");
  return e;
}

}  // namespace

TEST_CASE("a session comes up both ways round", "[session]") {
  for (const Link link : {kOut, kIn}) {
    Speaker s(configuration(65000, {"10.0.0.1 as=65001"}), Speaker::Mode::active);
    s.start(1000);
    auto actions = actions_of(s);
    REQUIRE(actions.size() == 1);
    CHECK(actions[0].kind == Action::Kind::connect);
    CHECK(actions[0].link == kOut);
    if (link == kIn) CHECK(s.accept(address("10.0.0.1"), 1000) == kIn);
    s.transport_connected(link, endpoints(), 1000);
    CHECK(s.state(link) == State::open_sent);
    CHECK(pulled(s, link) == "open");
    const auto open = encode_open(peer_open());
    CHECK(s.receive(link, ByteSpan(open).first(open.size() - 1), 1000) == 0);
    CHECK(s.receive(link, open, 1000) == open.size());
    CHECK(s.state(link) == State::open_confirm);
    CHECK(pulled(s, link) == "keepalive");
    s.receive(link, encode_keepalive(), 1000);
    CHECK(s.state(link) == State::established);
    CHECK(pulled(s, link) == "update update");  // two End-of-RIB
    actions = actions_of(s);
    REQUIRE(!actions.empty());
    CHECK(actions[0].kind == Action::Kind::session_up);
    const auto agreed = s.negotiated(link).value();
    CHECK(agreed.hold_time_s == 30);
    CHECK(agreed.four_octet_as);
    CHECK(agreed.family == std::array<bool, kFamilies>{true, true});
    CHECK(s.statistics(1500).neighbors[0].uptime_ms == 500);
    // The other machine rests, and another connection is refused.
    CHECK(s.state(link == kOut ? kIn : kOut) == State::idle);
    CHECK_FALSE(s.accept(address("10.0.0.1"), 1000).has_value());
  }
}

TEST_CASE("strangers are refused, and a passive neighbour is never called", "[session]") {
  Speaker s(configuration(65000, {"10.0.0.1 as=65001 passive"}), Speaker::Mode::active);
  s.start(0);
  CHECK(actions_of(s).empty());
  CHECK_FALSE(s.next_deadline_ms().has_value());
  CHECK_FALSE(s.accept(address("10.0.0.9"), 0).has_value());
  CHECK(s.accept(address("10.0.0.1"), 0) == kIn);
}

TEST_CASE("an OPEN that does not fit is answered and the connection closed", "[session]") {
  struct Row {
    const char* what;
    Open open;
    std::string answer;
    Malformation counter;
  };
  auto held = peer_open();
  held.hold_time_s = 2;
  const std::vector<Row> rows{
      {"another AS", peer_open(65002), "notification2/2", Malformation::open_peer_as},
      {"hold time 2", held, "notification2/6", Malformation::open_hold_time},
      {"identifier 0", peer_open(65001, 0), "notification2/3", Malformation::open_identifier},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    Speaker s(configuration(65000, {"10.0.0.1 as=65001"}), Speaker::Mode::active);
    s.start(0);
    actions_of(s);
    s.transport_connected(kOut, endpoints(), 0);
    pulled(s, kOut);
    s.receive(kOut, encode_open(row.open), 0);
    CHECK(s.state(kOut) == State::idle);
    const auto actions = actions_of(s);
    REQUIRE(actions.size() == 2);
    CHECK(actions[0].kind == Action::Kind::close);
    CHECK(actions[1].kind == Action::Kind::attempt_failed);
    CHECK(actions[1].reason == s.statistics(0).neighbors[0].last_down);
    CHECK(pulled(s, kOut) == row.answer);
    CHECK(malformed(s, 0, row.counter) == 1);
    CHECK_FALSE(s.statistics(0).neighbors[0].last_down.empty());
  }
  // An internal neighbour must not have our identifier.
  Speaker s(configuration(65000, {"10.0.0.1 as=65000"}), Speaker::Mode::active);
  s.start(0);
  s.transport_connected(kOut, endpoints(), 0);
  pulled(s, kOut);
  s.receive(kOut, encode_open(peer_open(65000, 0xc0000201)), 0);
  CHECK(pulled(s, kOut) == "notification2/3");
}

TEST_CASE("a message that the state does not allow is answered with its state", "[session]") {
  struct Row {
    const char* what;
    Octets bytes;
    std::string answer;
  };
  const std::vector<Row> rows{
      {"KEEPALIVE in OpenSent", encode_keepalive(), "notification5/1"},
      {"UPDATE in OpenSent", encode_end_of_rib(Family::ipv4), "notification5/1"},
      {"ROUTE-REFRESH in OpenSent", encode_route_refresh(Family::ipv4), "notification5/1"},
      {"UPDATE in OpenConfirm", encode_open(peer_open()) + encode_end_of_rib(Family::ipv4),
       "keepalive notification5/2"},
      {"OPEN in OpenConfirm", encode_open(peer_open()) + encode_open(peer_open()), "keepalive notification5/2"},
      {"OPEN in Established", encode_open(peer_open()) + encode_keepalive() + encode_open(peer_open()),
       "keepalive notification5/3"},
      {"bad marker in OpenSent", Octets(19, 0), "notification1/1"},
      {"bad length in Established", encode_open(peer_open()) + encode_keepalive() + Octets(16, 0xff) + Octets{0, 1, 2},
       "keepalive notification1/2"},
      {"NOTIFICATION", encode_open(peer_open()) + encode_notification({6, 2, {}}), "keepalive"},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    Speaker s(configuration(65000, {"10.0.0.1 as=65001"}), Speaker::Mode::active);
    s.start(0);
    s.transport_connected(kOut, endpoints(), 0);
    pulled(s, kOut);
    const Octets bytes = row.bytes + Octets(40, 0xab);
    const auto consumed = s.receive(kOut, bytes, 0);
    CHECK(consumed == row.bytes.size());
    CHECK(s.state(kOut) == State::idle);
    CHECK(pulled(s, kOut) == row.answer);
    CHECK(s.receive(kOut, bytes, 0) == bytes.size());  // nobody listens any more
  }
}

TEST_CASE("timers keep a session, and end it when the peer is silent", "[session]") {
  Speaker s(configuration(65000, {"10.0.0.1 as=65001"}), Speaker::Mode::active);
  s.start(0);
  actions_of(s);
  s.transport_connected(kOut, endpoints(), 0);
  s.receive(kOut, encode_open(peer_open()) + encode_keepalive(), 0);
  pulled(s, kOut);
  actions_of(s);
  std::uint64_t now = 0;
  int keepalives = 0;
  while (s.state(kOut) == State::established) {
    const auto deadline = s.next_deadline_ms();
    REQUIRE(deadline.has_value());
    REQUIRE(*deadline >= now);
    now = *deadline;
    s.tick(now);
    if (s.state(kOut) == State::established) {
      CHECK(pulled(s, kOut) == "keepalive");
      ++keepalives;
    }
  }
  CHECK(now == 30000);
  CHECK(keepalives >= 3);
  CHECK(keepalives <= 4);
  CHECK(pulled(s, kOut) == "notification4/0");
  const auto actions = actions_of(s);
  REQUIRE(actions.size() == 2);
  CHECK(actions[1].kind == Action::Kind::session_down);
  CHECK(actions[1].reason == "sent Hold Timer Expired (4/0)");
}

TEST_CASE("a written UPDATE puts the next KEEPALIVE off", "[session]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002 hold=0"}));
  world.establish(0);
  world.establish(1);
  const auto keepalives = world.puppets[0].keepalives;
  for (std::uint32_t i = 0; i < 100; ++i) {
    world.now += 20000;
    world.announce(1, {prefix("203.0.113.0/24")}, route({65002, i + 1}, "10.0.0.2"));
    world.puppets[0].send(encode_keepalive());
    world.run();
    world.primary->tick(world.now);
    world.run();
  }
  CHECK(world.puppets[0].announced == 100);
  CHECK(world.puppets[0].keepalives == keepalives);
}

TEST_CASE("anything that arrives puts the hold timer off, and hold time 0 means no timers", "[session]") {
  Speaker s(configuration(65000, {"10.0.0.1 as=65001"}), Speaker::Mode::active);
  s.start(0);
  s.transport_connected(kOut, endpoints(), 0);
  s.receive(kOut, encode_open(peer_open()) + encode_keepalive(), 0);
  const std::vector<Octets> signs{encode_keepalive(), encode_end_of_rib(Family::ipv4),
                                  encode_route_refresh(Family::ipv4)};
  for (std::uint64_t now = 29000; now < 600000; now += 29000) {
    s.receive(kOut, signs[now / 29000 % signs.size()], now);
    s.tick(now);
    REQUIRE(s.state(kOut) == State::established);
    pulled(s, kOut);
  }

  Speaker silent(configuration(65000, {"10.0.0.1 as=65001 hold=0"}), Speaker::Mode::active);
  silent.start(0);
  silent.transport_connected(kOut, endpoints(), 0);
  silent.receive(kOut, encode_open(peer_open()) + encode_keepalive(), 0);
  CHECK(silent.state(kOut) == State::established);
  CHECK(silent.negotiated(kOut)->hold_time_s == 0);
  CHECK_FALSE(silent.next_deadline_ms().has_value());
}

TEST_CASE("attempts that fail are repeated, more and more seldom", "[session]") {
  auto c = configuration(65000, {"10.0.0.1 as=65001"});
  c.connect_retry_min_ms = 1000;
  c.connect_retry_max_ms = 16000;
  Speaker s(c, Speaker::Mode::active);
  s.start(0);
  std::uint64_t now = 0;
  std::vector<std::uint64_t> pauses;
  for (int i = 0; i < 8; ++i) {
    const auto actions = actions_of(s);
    // That it failed is told once; what is new is told again.
    const std::size_t told = i == 1 || i == 5 ? 1 : 0;
    REQUIRE(actions.size() == 1 + told);
    if (told != 0) CHECK(actions[0].reason == (i == 1 ? "nobody listens there" : "it does not answer"));
    REQUIRE(actions[told].kind == Action::Kind::connect);
    s.transport_closed(kOut, now, i < 4 ? "nobody listens there" : "it does not answer");
    CHECK(s.state(kOut) == State::idle);
    CHECK(s.accept(address("10.0.0.1"), now).has_value());  // the peer may call meanwhile
    const auto deadline = s.next_deadline_ms().value();
    pauses.push_back(deadline - now);
    now = deadline;
    s.tick(now);
  }
  for (std::size_t i = 0; i < pauses.size(); ++i) {
    const std::uint64_t full = std::min<std::uint64_t>(1000u << i, 16000);
    CHECK(pauses[i] <= full);
    CHECK(pauses[i] >= full - full / 4);
  }
  // An attempt that nobody answers is given up and repeated.
  s.tick(now + 20000);
  const auto actions = actions_of(s);
  REQUIRE(actions.size() == 3);
  CHECK(actions[1].kind == Action::Kind::close);
  CHECK(actions[2].kind == Action::Kind::connect);
}

TEST_CASE("of two connections the one opened by the higher identifier survives", "[session]") {
  // Ours is 192.0.2.1.
  for (const std::uint32_t theirs : {0x0a000001u, 0xdf000001u}) {
    for (const bool outgoing_first : {true, false}) {
      INFO(theirs << " outgoing first " << outgoing_first);
      Speaker s(configuration(65000, {"10.0.0.1 as=65001"}), Speaker::Mode::active);
      s.start(0);
      s.transport_connected(kOut, endpoints(), 0);
      REQUIRE(s.accept(address("10.0.0.1"), 0) == kIn);
      s.transport_connected(kIn, endpoints(), 0);
      pulled(s, kOut);
      pulled(s, kIn);
      actions_of(s);
      const auto open = encode_open(peer_open(65001, theirs));
      s.receive(outgoing_first ? kOut : kIn, open, 0);
      s.receive(outgoing_first ? kIn : kOut, open, 0);
      const Link survivor = theirs < 0xc0000201 ? kOut : kIn;
      const Link loser = survivor == kOut ? kIn : kOut;
      CHECK(s.state(survivor) == State::open_confirm);
      CHECK(s.state(loser) < State::open_sent);
      const auto actions = actions_of(s);
      REQUIRE(actions.size() == 1);
      CHECK(actions[0].kind == Action::Kind::close);
      CHECK(actions[0].link == loser);
      const bool loser_was_first = (loser == kOut) == outgoing_first;
      CHECK(pulled(s, loser) == (loser_was_first ? "keepalive notification6/7" : "notification6/7"));
      s.receive(survivor, encode_keepalive(), 0);
      CHECK(s.state(survivor) == State::established);
      CHECK(s.state(loser) == State::idle);
    }
  }
}

TEST_CASE("a session that is up silences what is still being opened", "[session]") {
  Speaker s(configuration(65000, {"10.0.0.1 as=65001"}), Speaker::Mode::active);
  s.start(0);
  actions_of(s);  // connecting
  REQUIRE(s.accept(address("10.0.0.1"), 0) == kIn);
  s.transport_connected(kIn, endpoints(), 0);
  s.receive(kIn, encode_open(peer_open()) + encode_keepalive(), 0);
  CHECK(s.state(kIn) == State::established);
  CHECK(s.state(kOut) == State::idle);
  const auto actions = actions_of(s);
  REQUIRE(actions.size() == 2);
  CHECK(actions[1].kind == Action::Kind::close);
  CHECK(actions[1].link == kOut);
  // The attempt succeeds after all: it is closed again.
  s.transport_connected(kOut, endpoints(), 0);
  const auto late = actions_of(s);
  REQUIRE(late.size() == 1);
  CHECK(late[0].kind == Action::Kind::close);
  CHECK(s.state(kIn) == State::established);
}

TEST_CASE("a peer that forgot its connection may open another", "[session]") {
  Speaker s(configuration(65000, {"10.0.0.1 as=65001 passive"}), Speaker::Mode::active);
  s.start(0);
  REQUIRE(s.accept(address("10.0.0.1"), 0) == kIn);
  s.transport_connected(kIn, endpoints(), 0);
  pulled(s, kIn);
  REQUIRE(s.accept(address("10.0.0.1"), 0) == kIn);
  const auto actions = actions_of(s);
  REQUIRE(actions.size() == 1);
  CHECK(actions[0].kind == Action::Kind::close);
  CHECK(pulled(s, kIn) == "notification6/7");
  s.transport_connected(kIn, endpoints(), 0);
  CHECK(pulled(s, kIn) == "open");
}

TEST_CASE("who makes errors is not accepted again at once", "[session]") {
  Speaker s(configuration(65000, {"10.0.0.1 as=65001 passive"}), Speaker::Mode::active);
  s.start(0);
  REQUIRE(s.accept(address("10.0.0.1"), 0) == kIn);
  s.transport_connected(kIn, endpoints(), 0);
  s.receive(kIn, Octets(19, 0), 0);
  CHECK_FALSE(s.accept(address("10.0.0.1"), 0).has_value());
  const auto deadline = s.next_deadline_ms().value();
  CHECK(deadline >= 750);
  s.tick(deadline);
  CHECK(s.accept(address("10.0.0.1"), deadline).has_value());
}

TEST_CASE("stop ends sessions with Cease and starts nothing again", "[session]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}, {"198.51.100.0/24"}));
  world.establish(0);
  world.primary->stop(world.now);
  world.act();
  world.run();
  world.puppets[0].read();
  REQUIRE(world.puppets[0].notifications.size() == 1);
  CHECK(world.puppets[0].notifications[0].to_string() == "Cease/Administrative Shutdown (6/2)");
  CHECK(world.puppets[0].closed_by_speaker);
  CHECK(world.downs == std::vector<std::string>{"stopped by the operator"});
  CHECK_FALSE(world.primary->next_deadline_ms().has_value());
  CHECK_FALSE(world.connect(0));
}

TEST_CASE("a session that ends takes its routes with it, and the next one starts afresh", "[session]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}, {"198.51.100.0/24"}));
  world.establish(0);
  world.establish(1);
  world.announce(0, {prefix("203.0.113.0/24")}, route({65001}, "10.0.0.1"));
  world.run();
  CHECK(world.puppets[1].view.size() == 2);
  world.disconnect(0);
  world.run();
  CHECK(world.puppets[1].view.size() == 1);
  CHECK(world.downs == std::vector<std::string>{"the connection was closed"});
  world.establish(0);
  CHECK(world.puppets[0].view.size() == 1);
  CHECK(world.puppets[0].end_of_rib == std::array<int, kFamilies>{1, 1});
  CHECK(world.primary->statistics(world.now).neighbors[0].times_established == 2);
}
