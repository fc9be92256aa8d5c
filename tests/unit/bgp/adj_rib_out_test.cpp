// SPDX-License-Identifier: BSD-3-Clause
// What neighbours are told: policy, packing, coalescing.
#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

namespace {

std::vector<Prefix> many(std::uint32_t count, std::uint32_t from = 0) {
  std::vector<Prefix> out;
  for (std::uint32_t i = 0; i < count; ++i)
    out.push_back(Prefix::of(Address::from_ipv4(0x0b000000 + ((from + i) << 8)), 24));
  return out;
}

}  // namespace

TEST_CASE("an external neighbour hears our AS and our address, and nothing that is ours alone", "[adj_rib_out]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002", "10.0.0.3 as=65000"},
                            {"198.51.100.0/24", "2001:db8:5::/48"}));
  for (std::size_t i = 0; i < 3; ++i) world.establish(i);
  auto a = route({65001, 7}, "10.0.0.1");
  a.med = 5;
  a.communities = {0x00010002};
  a.unknown = {{0xc0, 99, {1}}};
  world.announce(0, {prefix("203.0.113.0/24")}, a);
  auto a6 = route({65001}, "2001:db8::77");
  world.announce(0, {prefix("2001:db8:7::/48")}, a6);
  world.run();

  const auto& outside = world.puppets[1].view;
  CHECK(outside.at(prefix("203.0.113.0/24")) == "origin 0 path [65000 65001 7] via 192.0.2.1 c65538 u99/224x1");
  CHECK(outside.at(prefix("2001:db8:7::/48")) == "origin 0 path [65000 65001] via 2001:db8::1");
  CHECK(outside.at(prefix("198.51.100.0/24")) == "origin 0 path [65000] via 192.0.2.1");
  CHECK(outside.at(prefix("2001:db8:5::/48")) == "origin 0 path [65000] via 2001:db8::1");
  CHECK(outside.size() == 4);
  const auto& inside = world.puppets[2].view;
  CHECK(inside.at(prefix("203.0.113.0/24")) == "origin 0 path [65001 7] via 10.0.0.1 med 5 pref 100 c65538 u99/224x1");
  CHECK(inside.at(prefix("2001:db8:7::/48")) == "origin 0 path [65001] via 2001:db8::77 pref 100");
  CHECK(inside.at(prefix("198.51.100.0/24")) == "origin 0 path [] via 192.0.2.1 pref 100");
  // Nobody hears his own route.
  CHECK(world.puppets[0].view.size() == 2);
}

TEST_CASE("an internal neighbour's routes go to external ones only, without what is internal", "[adj_rib_out]") {
  World world(configuration(65000, {"10.0.0.1 as=65000", "10.0.0.2 as=65000", "10.0.0.3 as=65003"}));
  for (std::size_t i = 0; i < 3; ++i) world.establish(i);
  auto a = route({}, "10.0.0.1");
  a.local_pref = 300;
  a.med = 4;
  a.originator_id = 9;
  a.cluster_list = {8};
  world.announce(0, {prefix("203.0.113.0/24")}, a);
  world.run();
  CHECK(world.puppets[1].view.empty());
  CHECK(world.puppets[2].view.at(prefix("203.0.113.0/24")) == "origin 0 path [65000] via 192.0.2.1");
}

TEST_CASE("well-known communities are obeyed", "[adj_rib_out]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002", "10.0.0.3 as=65000"}));
  for (std::size_t i = 0; i < 3; ++i) world.establish(i);
  const auto say = [&](const char* p, std::uint32_t community) {
    auto a = route({65001}, "10.0.0.1");
    a.communities = {community};
    world.announce(0, {prefix(p)}, a);
  };
  say("10.1.0.0/16", kNoExport);
  say("10.2.0.0/16", kNoAdvertise);
  say("10.3.0.0/16", kNoExportSubconfed);
  say("10.4.0.0/16", 0x00010001);
  world.run();
  CHECK(world.puppets[1].view.size() == 1);
  CHECK(world.puppets[1].view.count(prefix("10.4.0.0/16")) == 1);
  CHECK(world.puppets[2].view.size() == 3);
  CHECK(world.puppets[2].view.count(prefix("10.2.0.0/16")) == 0);
}

TEST_CASE("a family without an own next hop is not announced outside", "[adj_rib_out]") {
  const auto c = configuration(65000, {"10.0.0.1 as=65001"}, {"2001:db8:5::/48", "198.51.100.0/24"});
  Speaker s(c, Speaker::Mode::active);
  s.start(0);
  const auto link = s.accept(address("10.0.0.1"), 0).value();
  Endpoints e;
  e.local = address("192.0.2.1");
  e.remote = address("10.0.0.1");
  s.transport_connected(link, e, 0);
  Open open;
  open.as = 65001;
  open.router_id = 5;
  open.family.fill(true);
  open.any_multiprotocol = true;
  open.four_octet_as = true;
  s.receive(link, encode_open(open) + encode_keepalive(), 0);
  REQUIRE(s.neighbor_state(0) == State::established);
  const auto wanted = wanted_by(s, 0);
  CHECK(wanted.size() == 1);
  CHECK(wanted.count(prefix("198.51.100.0/24")) == 1);
}

TEST_CASE("a neighbour that knows no four-octet numbers and no families gets what it can read", "[adj_rib_out]") {
  World world(
      configuration(4200000000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}, {"198.51.100.0/24", "2001:db8:5::/48"}));
  world.puppets[1].open.four_octet_as = false;
  world.puppets[1].open.any_multiprotocol = false;
  world.puppets[1].open.family = {};
  world.establish(0);
  world.establish(1);
  world.announce(0, {prefix("203.0.113.0/24")}, route({65001, 4200000007}, "10.0.0.1"));
  world.run();
  const auto& view = world.puppets[1].view;
  CHECK(view.size() == 2);
  CHECK(view.at(prefix("203.0.113.0/24")) == "origin 0 path [4200000000 65001 4200000007] via 192.0.2.1");
  CHECK(world.puppets[1].end_of_rib[0] == 1);
  CHECK(world.puppets[1].end_of_rib[1] == 0);
}

TEST_CASE("End-of-RIB follows the initial table, once in each family", "[adj_rib_out]") {
  World world(configuration(65000, {"10.0.0.1 as=65001"}, {"198.51.100.0/24"}));
  world.establish(0);
  Puppet& p = world.puppets[0];
  CHECK(p.end_of_rib == std::array<int, kFamilies>{1, 1});
  world.announce(0, {prefix("203.0.113.0/24")}, route({65001}, "10.0.0.1"));
  world.run();
  CHECK(p.end_of_rib == std::array<int, kFamilies>{1, 1});
}

TEST_CASE("prefixes with equal attributes share UPDATEs", "[adj_rib_out]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}));
  world.establish(0);
  world.establish(1);
  Puppet& p = world.puppets[1];
  const auto before = p.updates;
  // One after the other in the table, so that neighbours in it differ.
  for (std::uint32_t i = 0; i < 5000; ++i) world.announce(0, many(1, i), route({65001, i % 5 + 1}, "10.0.0.1"));
  while (world.receive(0)) {
  }
  world.run();
  CHECK(p.view.size() == 5000);
  // 1,000 of them take just under 4,096 bytes and fit one or two messages.
  CHECK(p.updates - before <= 10);
  CHECK(p.announced == 5000);
}

TEST_CASE("changes that follow one another before they are told become one, and none when nothing is left of them",
          "[adj_rib_out]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}));
  world.establish(0);
  world.establish(1);
  Puppet& p = world.puppets[1];
  const auto x = prefix("203.0.113.0/24");
  for (std::uint32_t i = 0; i < 20; ++i) world.announce(0, {x}, route({65001, i + 1}, "10.0.0.1"));
  while (world.receive(0)) {
  }
  world.run();
  CHECK(p.announced == 1);
  CHECK(p.view.at(x) == "origin 0 path [65000 65001 20] via 192.0.2.1");

  world.withdraw(0, {x});
  world.announce(0, {x}, route({65001, 20}, "10.0.0.1"));
  world.announce(0, {prefix("10.9.0.0/16")}, route({65001}, "10.0.0.1"));
  world.withdraw(0, {prefix("10.9.0.0/16")});
  while (world.receive(0)) {
  }
  world.run();
  CHECK(p.announced == 1);
  CHECK(p.withdrawn == 0);
}

TEST_CASE("withdrawals go first", "[adj_rib_out]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}));
  world.establish(0);
  world.establish(1);
  world.announce(0, many(20), route({65001}, "10.0.0.1"));
  world.run();
  Puppet& p = world.puppets[1];
  world.announce(0, many(10), route({65001, 7}, "10.0.0.1"));
  world.withdraw(0, many(10, 10));
  while (world.receive(0)) {
  }
  REQUIRE(world.pull(1));
  p.read();
  CHECK(p.withdrawn == 10);
  CHECK(p.announced == 20);
  world.run();
  CHECK(p.announced == 30);
}

TEST_CASE("room that is too small is not used, and nothing is lost", "[adj_rib_out]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}));
  world.establish(0);
  world.establish(1);
  world.announce(0, many(100), route({65001}, "10.0.0.1"));
  while (world.receive(0)) {
  }
  Octets room(4096);
  std::size_t n = 1;
  const Link link = world.puppets[1].link;
  for (std::size_t size = 0; size < 52; ++size) {
    CHECK(world.primary->next_message(link, std::span(room).first(size), n) == Pulled::no_room);
    CHECK(n == 0);
  }
  while (world.pull(1, 80)) {
  }
  world.puppets[1].read();
  CHECK(world.puppets[1].view.size() == 100);
}

TEST_CASE("a route that changes while it waits in a batch is told as it is in the end", "[adj_rib_out]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}));
  world.establish(0);
  world.establish(1);
  for (std::uint32_t round = 0; round < 50; ++round) {
    for (std::uint32_t i = 0; i < 20; ++i) {
      const auto some = many(20, static_cast<std::uint32_t>(world.random() % 100));
      if (world.random() % 3 == 0)
        world.withdraw(0, some);
      else
        world.announce(0, some, route({65001, static_cast<std::uint32_t>(1 + world.random() % 4)}, "10.0.0.1"));
      while (world.receive(0)) {
      }
      if (world.random() % 2 == 0) world.pull(1, 90);
    }
  }
  world.run();
  CHECK(world.puppets[1].view == wanted_by(*world.primary, 1));
  CHECK(told_by(*world.primary, 1) == wanted_by(*world.primary, 1));
}

TEST_CASE("ROUTE-REFRESH brings the whole table of that family again", "[adj_rib_out]") {
  World world(configuration(65000, {"10.0.0.1 as=65001"}, {"198.51.100.0/24", "203.0.113.0/24", "2001:db8:5::/48"}));
  world.establish(0);
  Puppet& p = world.puppets[0];
  CHECK(p.announced == 3);
  p.send(encode_route_refresh(Family::ipv4));
  world.run();
  CHECK(p.announced == 5);
  p.send(encode_route_refresh(Family::ipv6));
  world.run();
  CHECK(p.announced == 6);
  CHECK(p.withdrawn == 0);
  p.send(message(MessageType::route_refresh, hex("0019 00 46")));
  world.run();
  CHECK(p.announced == 6);
  CHECK(malformed(*world.primary, 0, Malformation::refresh_family) == 1);
  CHECK(world.primary->neighbor_state(0) == State::established);
}

TEST_CASE("attributes that fit no message with our AS in front are not announced, and counted", "[adj_rib_out]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}));
  world.establish(0);
  world.establish(1);
  auto a = route({65001}, "10.0.0.1");
  a.unknown = {{0xc0, 99, Octets(4044, 1)}};  // 4,096 bytes with a /32
  const auto messages = updates({prefix("203.0.113.1/32")}, &a, world.puppets[0].context);
  REQUIRE(messages.at(0).size() == kMaxMessageBytes);
  world.puppets[0].send(messages);
  world.run();
  CHECK(received_by(*world.primary, 0).size() == 1);
  CHECK(world.puppets[1].view.empty());
  CHECK(world.primary->statistics(0).neighbors[1].unadvertisable == 1);
}

TEST_CASE("attribute sets are freed when the last route that uses them goes", "[adj_rib_out]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002", "10.0.0.3 as=65000"}));
  for (std::size_t i = 0; i < 3; ++i) world.establish(i);
  const auto before = world.primary->statistics(0).attribute_sets;
  for (std::uint32_t i = 0; i < 50; ++i) world.announce(0, many(3, i * 3), route({65001, i + 1}, "10.0.0.1"));
  world.run();
  CHECK(world.primary->statistics(0).attribute_sets > before + 100);
  for (std::uint32_t i = 0; i < 50; ++i) world.withdraw(0, many(3, i * 3));
  world.run();
  CHECK(world.primary->statistics(0).attribute_sets == before);
}

TEST_CASE("between external neighbours nothing is passed on unless somebody has said so", "[adj_rib_out]") {
  // RFC 8212: 65001 and 65002 are external, 65000 is our own AS.
  for (const bool export_all : {false, true}) {
    INFO("export_all " << export_all);
    auto made =
        configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002", "10.0.0.3 as=65000"}, {"198.51.100.0/24"});
    made.export_all = export_all;
    World world(made);
    for (const std::size_t i : {0u, 1u, 2u}) world.establish(i);
    world.announce(0, {prefix("203.0.113.0/24")}, route({65001}, "10.0.0.1"));
    world.announce(2, {prefix("192.0.2.0/24")}, route({}, "10.0.0.3"));
    world.run();
    const auto hears = [&](std::size_t who, const char* what) {
      return world.puppets[who].view.contains(prefix(what));
    };
    // Our own networks, and what the internal neighbour says, are for all.
    for (const std::size_t external : {0u, 1u}) {
      CHECK(hears(external, "198.51.100.0/24"));
      CHECK(hears(external, "192.0.2.0/24"));
    }
    CHECK(hears(2, "203.0.113.0/24"));
    CHECK(hears(1, "203.0.113.0/24") == export_all);
  }
}
