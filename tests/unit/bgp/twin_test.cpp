// SPDX-License-Identifier: BSD-3-Clause
// A twin that is shown the bytes has the primary's state, and promotion sends exactly what is missing.
#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

namespace {

Configuration four_neighbors() {
  return configuration(
      65000, {"10.0.0.1 as=65001", "10.0.0.2 as=4200000002", "10.0.0.3 as=65000", "10.0.0.4 as=65004 passive"},
      {"198.51.100.0/24", "2001:db8:ffff::/48"});
}

void set_up_puppets(World& world) {
  world.puppets[3].open.four_octet_as = false;
  world.puppets[3].open.any_multiprotocol = false;
  world.puppets[3].open.family = {};
}

/// One random step with one neighbour, whose number it gives. Small shares, so that messages are often waiting, cut or unwritten.
std::uint32_t step(World& world, std::uint32_t space) {
  auto& random = world.random;
  const auto i = static_cast<std::uint32_t>(random() % world.puppets.size());
  Puppet& p = world.puppets[i];
  world.now += random() % 50;
  if (!p.connected) {
    if (!world.connect(i)) return i;
    p.send(encode_open(p.open));
    p.send(encode_keepalive());
    return i;
  }
  switch (random() % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
      if (p.to_speaker.size() < 20000 && world.primary->neighbor_state(i) == State::established)
        say_something(world, i, space);
      break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
      world.receive(i, random() % 3 == 0 ? random() % 200 : SIZE_MAX);
      break;
    case 9:
      if (random() % 60 == 0) world.disconnect(i);
      break;
    case 10:
      // A malformed attribute, or now and then something worse.
      if (world.primary->neighbor_state(i) != State::established) break;
      if (random() % 20 == 0)
        p.send(random() % 2 == 0 ? encode_notification({6, 4, {}}) : Octets(19, 0));
      else if (p.context.four_octet_as)
        p.send(message(MessageType::update, hex("0000 0014 400101 07 400206 0201 0000fde9 400304 c0000202 18 0a0001")));
      break;
    default:
      world.pull(i, random() % 4 == 0 ? 100 + random() % 400 : kMaxMessageBytes);
  }
  p.read();
  if (const auto d = world.primary->next_deadline_ms(); d && *d <= world.now) {
    world.primary->tick(world.now);
    world.act();
  }
  for (auto& w : world.watchers)
    if (random() % 8 == 0) w.speaker->tick(world.now);
  return i;
}

struct Said {
  std::size_t announced = 0;
  std::size_t withdrawn = 0;
  std::size_t end_of_rib = 0;
  std::size_t keepalives = 0;
  std::set<Prefix> prefixes;
};

/// Everything that the speaker has to say on a puppet's link, in the puppet's words.
Said all_said(World& world, std::size_t i) {
  Puppet& p = world.puppets[i];
  p.read();
  Said said;
  const auto before = p;
  while (world.pull(i)) {
  }
  MalformationCounters counters{};
  std::size_t at = 0;
  for (Frame f = next_frame(p.from_speaker, counters); f.kind == Frame::Kind::message;
       f = next_frame(ByteSpan(p.from_speaker).subspan(at), counters)) {
    at += f.consumed;
    if (f.type != MessageType::update) continue;
    Update u;
    decode_update(f.bytes, p.context, counters, u);
    said.prefixes.insert(u.withdrawn.begin(), u.withdrawn.end());
    said.prefixes.insert(u.announced_ipv4.begin(), u.announced_ipv4.end());
    said.prefixes.insert(u.announced_ipv6.begin(), u.announced_ipv6.end());
  }
  p.read();
  said.announced = p.announced - before.announced;
  said.withdrawn = p.withdrawn - before.withdrawn;
  said.keepalives = p.keepalives - before.keepalives;
  for (const Family f : kAllFamilies)
    said.end_of_rib += static_cast<std::size_t>(p.end_of_rib[index_of(f)] - before.end_of_rib[index_of(f)]);
  return said;
}

}  // namespace

TEST_CASE("primary and twin agree at every step, however the bytes are cut", "[twin]") {
  int ups = 0;
  std::size_t downs = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    INFO("seed " << seed);
    World world(four_neighbors(), seed);
    set_up_puppets(world);
    Speaker& twin = world.twin(four_neighbors());
    Speaker& other = world.twin(four_neighbors());
    for (int i = 0; i < 600; ++i) {
      const auto n = step(world, 30);
      INFO("step " << i);
      REQUIRE(mirrored_state(twin, n) == mirrored_state(*world.primary, n));
      Action none;
      REQUIRE_FALSE(twin.next_action(none));
      if (i % 50 != 0) continue;
      REQUIRE(mirrored_state(twin) == mirrored_state(*world.primary));
      REQUIRE(mirrored_state(other) == mirrored_state(*world.primary));
      // A view by policy needs no bytes, and is the same too.
      for (std::uint32_t k = 0; k < 4; ++k) REQUIRE(wanted_by(twin, k) == wanted_by(*world.primary, k));
    }
    ups += world.ups;
    downs += world.downs.size();
  }
  CHECK(ups > 16);
  CHECK(downs > 2);
}

TEST_CASE("a promoted twin that lacks nothing says a KEEPALIVE and nothing else", "[twin]") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    INFO("seed " << seed);
    World world(four_neighbors(), seed);
    set_up_puppets(world);
    world.twin(four_neighbors());
    for (int i = 0; i < 400; ++i) step(world, 60);
    for (std::size_t i = 0; i < 4; ++i)
      if (!world.puppets[i].connected && world.connect(i)) {
        world.puppets[i].send(encode_open(world.puppets[i].open));
        world.puppets[i].send(encode_keepalive());
      }
    world.run();
    world.take_over(0);
    for (std::size_t i = 0; i < 4; ++i) {
      if (world.primary->neighbor_state(static_cast<std::uint32_t>(i)) != State::established) continue;
      const Said said = all_said(world, i);
      CHECK(said.keepalives == 1);
      CHECK(said.announced == 0);
      CHECK(said.withdrawn == 0);
      CHECK(said.end_of_rib == 0);
      CHECK(world.puppets[i].view == wanted_by(*world.primary, static_cast<std::uint32_t>(i)));
    }
  }
}

TEST_CASE("a promoted twin sends exactly what its primary did not get out", "[twin]") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    INFO("seed " << seed);
    World world(four_neighbors(), seed);
    set_up_puppets(world);
    world.twin(four_neighbors());
    for (std::size_t i = 0; i < 4; ++i) world.establish(i);
    for (int i = 0; i < 300; ++i) step(world, 200);
    world.run();  // so that no refresh is half done
    const auto say_routes = [&] {
      for (std::size_t i = 0; i < 4; ++i) {
        if (world.primary->neighbor_state(static_cast<std::uint32_t>(i)) != State::established) continue;
        const Puppet& p = world.puppets[i];
        for (int k = 0; k < 5; ++k)
          world.announce(i, random_prefixes(world.random, Family::ipv4, 200, 40),
                         random_route(world.random, p.open.as, p.context.external, Family::ipv4));
        world.receive(i);
      }
    };
    say_routes();
    for (std::size_t i = 0; i < 4; ++i)
      if (world.random() % 2 == 0) world.pull(i);
    for (auto& p : world.puppets) p.read();
    // Whatever comes from here on is consumed, but what is written about it never leaves.
    std::array<Table, 4> before;
    for (std::size_t i = 0; i < 4; ++i) before[i] = world.puppets[i].view;
    world.watchers[0].sees_writes = false;
    std::array<bool, 4> up{};
    for (std::size_t i = 0; i < 4; ++i)
      up[i] = world.primary->neighbor_state(static_cast<std::uint32_t>(i)) == State::established;
    say_routes();
    std::array<Octets, 4> unread;
    for (std::size_t i = 0; i < 4; ++i) unread[i] = world.puppets[i].from_speaker;
    for (std::size_t i = 0; i < 4; ++i)
      for (auto n = world.random() % 4; n > 0; --n) world.pull(i);
    for (std::size_t i = 0; i < 4; ++i) world.puppets[i].from_speaker = unread[i];  // lost with the primary
    world.take_over(0);
    for (std::uint32_t i = 0; i < 4; ++i) {
      if (!up[i]) continue;
      REQUIRE(world.primary->neighbor_state(i) == State::established);
      const Table wanted = wanted_by(*world.primary, i);
      std::set<Prefix> missing;
      for (const auto& [p, text] : wanted)
        if (before[i].count(p) == 0 || before[i].at(p) != text) missing.insert(p);
      for (const auto& [p, text] : before[i])
        if (wanted.count(p) == 0) missing.insert(p);
      const Said said = all_said(world, i);
      CHECK(said.prefixes == missing);
      CHECK(said.announced + said.withdrawn == missing.size());
      CHECK(world.puppets[i].view == wanted);
    }
    // And life goes on.
    for (int i = 0; i < 200; ++i) step(world, 200);
    world.run();
    for (std::uint32_t i = 0; i < 4; ++i)
      if (world.primary->neighbor_state(i) == State::established)
        CHECK(world.puppets[i].view == wanted_by(*world.primary, i));
  }
}

TEST_CASE("twins follow one another", "[twin]") {
  World world(four_neighbors(), 5);
  set_up_puppets(world);
  for (int t = 0; t < 5; ++t) world.twin(four_neighbors());
  for (std::size_t i = 0; i < 4; ++i) world.establish(i);
  for (int t = 0; t < 5; ++t) {
    for (int i = 0; i < 300; ++i) step(world, 60);
    world.take_over(0);
    for (auto& w : world.watchers) REQUIRE(mirrored_state(*w.speaker) == mirrored_state(*world.primary));
  }
  world.run();
  for (std::uint32_t i = 0; i < 4; ++i)
    if (world.primary->neighbor_state(i) == State::established)
      CHECK(world.puppets[i].view == wanted_by(*world.primary, i));
}

TEST_CASE("a session is taken over in whatever state it is", "[twin]") {
  struct Row {
    const char* what;
    Octets received;
    int pulls;
    State state;
    std::string owed;
  };
  Open open;
  open.as = 65001;
  open.router_id = 9;
  open.hold_time_s = 90;
  const Octets hello = encode_open(open);
  const std::vector<Row> rows{
      {"OPEN not written", {}, 0, State::open_sent, "1"},
      {"OPEN written", {}, 1, State::open_sent, ""},
      {"OPEN received, nothing written", hello, 0, State::open_confirm, "14"},
      {"OPEN received, OPEN written", hello, 1, State::open_confirm, "4"},
      {"OPEN received, KEEPALIVE written", hello, 2, State::open_confirm, "4"},
      {"established", hello + encode_keepalive(), 3, State::established, "4"},
      {"established, End-of-RIB owed", hello + encode_keepalive(), 2, State::established, "42"},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    World world(configuration(65000, {"10.0.0.1 as=65001"}));
    world.twin(configuration(65000, {"10.0.0.1 as=65001"}));
    REQUIRE(world.connect(0));
    world.puppets[0].send(row.received);
    world.receive(0);
    for (int i = 0; i < row.pulls; ++i) REQUIRE(world.pull(0));
    world.now += 3600000;  // deadlines of the primary mean nothing to the twin
    world.take_over(0);
    CHECK(world.primary->state(world.puppets[0].link) == row.state);
    const auto deadline = world.primary->next_deadline_ms();
    REQUIRE(deadline.has_value());
    CHECK(*deadline > world.now);
    world.puppets[0].from_speaker.clear();
    std::string owed;
    while (world.pull(0)) {
    }
    for (std::size_t at = 0; at < world.puppets[0].from_speaker.size();) {
      owed += std::to_string(world.puppets[0].from_speaker[at + 18]);
      at += static_cast<std::size_t>(world.puppets[0].from_speaker[at + 16] << 8 |
                                     world.puppets[0].from_speaker[at + 17]);
    }
    CHECK(owed == row.owed);
    // It can be completed.
    if (row.received.empty()) world.puppets[0].send(hello);
    world.puppets[0].send(encode_keepalive());
    world.run();
    CHECK(world.primary->neighbor_state(0) == State::established);
  }
}

TEST_CASE("a NOTIFICATION that the primary could not write is written by the twin, and the connection closed",
          "[twin]") {
  const auto c = configuration(65000, {"10.0.0.1 as=65001"});
  Speaker twin(c, Speaker::Mode::observing);
  const Link link{0, Direction::incoming};
  Endpoints e;
  e.local = address("192.0.2.1");
  e.remote = address("10.0.0.1");
  twin.observe_opened(link, e, 0);
  twin.observe_received(link, Octets(19, 0), 0);
  CHECK(twin.neighbor_state(0) < State::open_sent);
  twin.promote(5);
  std::vector<Action> actions;
  for (Action a; twin.next_action(a);) actions.push_back(a);
  REQUIRE(actions.size() == 2);
  CHECK(actions[0].kind == Action::Kind::close);
  CHECK(actions[0].link == link);
  CHECK(actions[1].kind == Action::Kind::connect);
  Octets room(4096);
  std::size_t n = 0;
  REQUIRE(twin.next_message(link, room, n) == Pulled::message);
  CHECK(room[18] == 1);  // the OPEN was not shown as written either
  REQUIRE(twin.next_message(link, room, n) == Pulled::message);
  CHECK(room[18] == 3);
  CHECK(room[19] == 1);
  CHECK(room[20] == 1);
  CHECK(twin.next_message(link, room, n) == Pulled::idle);
}

TEST_CASE("a stream that ends within a message is not continued", "[twin]") {
  World world(configuration(65000, {"10.0.0.1 as=65001"}));
  Speaker& twin = world.twin(configuration(65000, {"10.0.0.1 as=65001"}));
  world.establish(0);
  twin.observe_written(world.puppets[0].link, ByteSpan(encode_keepalive()).first(7), world.now);
  world.take_over(0);
  CHECK(world.downs == std::vector<std::string>{"the mirrored stream ended within a message"});
  CHECK(world.puppets[0].closed_by_speaker);
}

TEST_CASE("ROUTE-REFRESH that the primary did not finish is finished by the twin", "[twin]") {
  std::vector<std::string> networks;
  for (int i = 0; i < 200; ++i) networks.push_back("10.20." + std::to_string(i) + ".0/24");
  const auto c = configuration(65000, {"10.0.0.1 as=65001"}, networks);
  World world(c);
  world.twin(c);
  world.establish(0);
  world.puppets[0].send(encode_route_refresh(Family::ipv4));
  world.receive(0);
  world.pull(0, 300);
  world.puppets[0].read();
  const auto told_again = world.puppets[0].announced - 200;
  REQUIRE(told_again > 10);
  REQUIRE(told_again < 100);
  world.take_over(0);
  const Said said = all_said(world, 0);
  CHECK(said.announced == 200 - told_again);
  CHECK(said.withdrawn == 0);
}

TEST_CASE("a twin with other networks tells the difference", "[twin]") {
  World world(configuration(65000, {"10.0.0.1 as=65001"}, {"198.51.100.0/24", "203.0.113.0/24"}));
  world.twin(configuration(65000, {"10.0.0.1 as=65001"}, {"203.0.113.0/24", "10.7.0.0/16"}));
  world.establish(0);
  world.take_over(0);
  const Said said = all_said(world, 0);
  CHECK(said.announced == 1);
  CHECK(said.withdrawn == 1);
  CHECK(world.puppets[0].view.count(prefix("10.7.0.0/16")) == 1);
  CHECK(world.puppets[0].view.count(prefix("198.51.100.0/24")) == 0);
}

TEST_CASE("an attempt that was being made goes on after promotion", "[twin]") {
  const auto c = configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002", "10.0.0.3 as=65003 passive"});
  Speaker twin(c, Speaker::Mode::observing);
  twin.observe_connecting({0, Direction::outgoing});
  twin.promote(1000);
  std::vector<Link> connects;
  for (Action a; twin.next_action(a);)
    if (a.kind == Action::Kind::connect) connects.push_back(a.link);
  CHECK(connects == std::vector<Link>{{1, Direction::outgoing}});
  CHECK(twin.state({0, Direction::outgoing}) == State::connect);
  CHECK(twin.accept(address("10.0.0.3"), 1000).has_value());
  Endpoints e;
  e.local = address("192.0.2.1");
  e.remote = address("10.0.0.1");
  twin.transport_connected({0, Direction::outgoing}, e, 1001);
  CHECK(twin.state({0, Direction::outgoing}) == State::open_sent);
}

TEST_CASE("a twin that is not shown the end of a connection is not confused by the next", "[twin]") {
  const auto c = configuration(65000, {"10.0.0.1 as=65001"});
  World world(c);
  world.establish(0);
  world.announce(0, {prefix("203.0.113.0/24")}, route({65001}, "10.0.0.1"));
  Speaker& twin = world.twin(c);
  twin.observe_opened(world.puppets[0].link, world.endpoints(0), world.now);
  twin.observe_written(world.puppets[0].link, encode_keepalive(), world.now);
  world.disconnect(0);
  world.establish(0);
  world.announce(0, {prefix("10.9.0.0/16")}, route({65001}, "10.0.0.1"));
  world.run();
  CHECK(mirrored_state(twin) == mirrored_state(*world.primary));
}
