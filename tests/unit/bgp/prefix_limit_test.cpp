// SPDX-License-Identifier: BSD-3-Clause
// A neighbour that announces too much, on the primary and over takeovers.
#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

namespace {

const PathAttributes kRoute = route({65001}, "192.0.2.9");

std::vector<Prefix> some(std::size_t first, std::size_t count, Family family = Family::ipv4) {
  std::vector<Prefix> out;
  for (std::size_t i = first; i < first + count; ++i) {
    if (family == Family::ipv4) {
      out.push_back(Prefix::of(Address::from_ipv4(0x0a000000u + static_cast<std::uint32_t>(i << 8)), 24));
      continue;
    }
    Address a = address("2001:db8::");
    a.bytes[5] = static_cast<std::uint8_t>(i);
    out.push_back(Prefix::of(a, 48));
  }
  return out;
}

Configuration limited(const std::string& rest = "") {
  return configuration(65000, {"10.0.0.1 as=65001 passive max-prefix=10" + rest, "10.0.0.2 as=65002 passive"});
}

NeighborStatistics statistics_of(const World& world) { return world.primary->statistics(world.now).neighbors[0]; }

/// Lets time pass without anybody speaking.
void wait(World& world, std::uint64_t ms) {
  world.now += ms;
  world.primary->tick(world.now);
  world.act();
}

void exceed(World& world) {
  world.announce(0, some(0, 11), kRoute);
  world.run();
}

}  // namespace

TEST_CASE("one prefix more than max-prefix ends the session, as RFC 4486 says", "[prefix_limit]") {
  World world(limited());
  world.establish(0);
  world.establish(1);
  world.announce(0, some(0, 10), kRoute);
  world.run();
  REQUIRE(world.puppets[0].notifications.empty());
  CHECK(world.puppets[1].view.size() == 10);
  // The same prefixes again, and others in place of withdrawn ones, are no more of them.
  world.announce(0, some(0, 10), route({65001, 7}, "192.0.2.9"));
  world.withdraw(0, some(0, 5));
  world.announce(0, some(20, 5), kRoute);
  world.run();
  REQUIRE(world.puppets[0].notifications.empty());

  world.announce(0, some(40, 1), kRoute);
  world.run();
  REQUIRE(world.puppets[0].notifications.size() == 1);
  CHECK(world.puppets[0].notifications[0] == Notification{6, 1, hex("0001 01 0000000a")});
  CHECK(world.puppets[0].closed_by_speaker);
  REQUIRE(world.downs.size() == 1);
  CHECK(world.downs[0] == "announced more than max-prefix=10 IPv4 prefixes; no session for 300 s");
  CHECK(world.puppets[1].view.empty());
  CHECK(statistics_of(world).last_down == world.downs[0]);
  CHECK(statistics_of(world).max_prefix_hits == 1);
  CHECK(statistics_of(world).held_down_ms == 300'000);
}

TEST_CASE("each family has its count", "[prefix_limit]") {
  World world(limited());
  world.establish(0);
  PathAttributes v6 = kRoute;
  v6.next_hop = address("2001:db8::9");
  world.announce(0, some(0, 10), kRoute);
  world.announce(0, some(0, 10, Family::ipv6), v6);
  world.run();
  REQUIRE(world.puppets[0].notifications.empty());
  world.announce(0, some(10, 1, Family::ipv6), v6);
  world.run();
  REQUIRE(world.puppets[0].notifications.size() == 1);
  CHECK(world.puppets[0].notifications[0] == Notification{6, 1, hex("0002 01 0000000a")});
  CHECK(world.downs[0].find("IPv6") != std::string::npos);
}

TEST_CASE("at four fifths there is one warning a session and family", "[prefix_limit]") {
  World world(limited());
  world.establish(0);
  world.announce(0, some(0, 7), kRoute);
  world.run();
  CHECK(world.warnings.empty());
  world.announce(0, some(7, 1), kRoute);
  world.run();
  REQUIRE(world.warnings.size() == 1);
  CHECK(world.warnings[0] == "announces 8 IPv4 prefixes, of max-prefix=10: at one more than that the session ends");
  world.withdraw(0, some(0, 8));
  world.announce(0, some(0, 9), kRoute);
  world.run();
  CHECK(world.warnings.size() == 1);
  world.disconnect(0);
  wait(world, 5000);
  world.establish(0);
  world.announce(0, some(0, 9), kRoute);
  world.run();
  CHECK(world.warnings.size() == 2);
}

TEST_CASE("who announced too much is held off, by both ways to a session, and let in again afterwards",
          "[prefix_limit]") {
  World world(configuration(65000, {"10.0.0.1 as=65001 max-prefix=10 restart=60"}));
  world.connects.clear();
  world.establish(0);
  exceed(world);
  CHECK_FALSE(world.connect(0));
  wait(world, 59'000);
  CHECK_FALSE(world.connect(0));
  CHECK(world.connects.empty());
  CHECK(statistics_of(world).held_down);
  wait(world, 1000);
  CHECK_FALSE(statistics_of(world).held_down);
  CHECK(world.connects.size() == 1);
  world.establish(0);
  world.announce(0, some(0, 10), kRoute);
  world.run();
  CHECK(world.puppets[0].notifications.size() == 1);
}

TEST_CASE("with restart=0 there is no session again", "[prefix_limit]") {
  World world(limited(" restart=0"));
  world.establish(0);
  exceed(world);
  CHECK(world.downs.at(0) ==
        "announced more than max-prefix=10 IPv4 prefixes; no session until this program is started again");
  CHECK_FALSE(world.primary->next_deadline_ms() == std::uint64_t{0});
  wait(world, 10ull * 365 * 24 * 3600 * 1000);
  CHECK_FALSE(world.connect(0));
  CHECK(statistics_of(world).held_down);
  CHECK(statistics_of(world).held_down_ms == 0);
}

TEST_CASE("a takeover neither forgets a limit that was reached nor tells it again", "[prefix_limit][twin]") {
  const bool joins_late = GENERATE(false, true);
  const std::string rest = GENERATE(std::string(" restart=60"), std::string(" restart=0"));
  World world(limited(rest));
  const auto join = [&] {
    Speaker& twin = world.twin(limited(rest));
    SaveCursor cursor;
    Octets piece;
    while (world.primary->save(cursor, Speaker::kMinPieceBytes, piece, world.now))
      REQUIRE(twin.restore(piece, world.now).empty());
  };
  if (!joins_late) join();
  world.establish(0);
  world.announce(0, some(0, 9), kRoute);
  world.run();
  REQUIRE(world.warnings.size() == 1);
  world.announce(0, some(9, 2), kRoute);
  world.run();
  REQUIRE(world.puppets[0].notifications.size() == 1);
  world.now += 10'000;
  if (joins_late) join();
  world.take_over(0);
  world.run();
  CHECK_FALSE(world.connect(0));
  CHECK(world.downs.size() == 1);
  CHECK(world.warnings.size() == 1);
  CHECK(statistics_of(world).max_prefix_hits == 1);
  CHECK(statistics_of(world).held_down);
  wait(world, 49'999);
  CHECK_FALSE(world.connect(0));
  wait(world, 1);
  CHECK(world.connect(0) == (rest == " restart=60"));
}

TEST_CASE("a takeover in a session neither forgets the count nor the warning", "[prefix_limit][twin]") {
  const bool joins_late = GENERATE(false, true);
  World world(limited());
  const auto join = [&] {
    Speaker& twin = world.twin(limited());
    SaveCursor cursor;
    Octets piece;
    while (world.primary->save(cursor, Speaker::kMinPieceBytes, piece, world.now))
      REQUIRE(twin.restore(piece, world.now).empty());
  };
  if (!joins_late) join();
  world.establish(0);
  world.announce(0, some(0, 9), kRoute);
  world.run();
  if (joins_late) join();
  world.take_over(0);
  world.withdraw(0, some(0, 1));
  world.announce(0, some(20, 2), kRoute);
  world.run();
  CHECK(world.warnings.size() == 1);
  REQUIRE(world.puppets[0].notifications.empty());
  world.announce(0, some(30, 1), kRoute);
  world.run();
  REQUIRE(world.puppets[0].notifications.size() == 1);
  CHECK(world.puppets[0].notifications[0].subcode == 1);
}

TEST_CASE("a decision whose NOTIFICATION was not written yet is told by the twin", "[prefix_limit][twin]") {
  World world(limited());
  world.twin(limited());
  world.establish(0);
  world.watchers[0].sees_writes = false;
  world.announce(0, some(0, 11), kRoute);
  // The primary dies with what it says.
  Puppet& p = world.puppets[0];
  const std::size_t taken = world.primary->receive(p.link, p.to_speaker, world.now);
  world.show_bytes(
      ByteSpan(p.to_speaker).first(taken), [&](Speaker& s, ByteSpan b) { s.observe_received(p.link, b, world.now); },
      false);
  p.to_speaker.clear();
  world.take_over(0);
  p.read();
  REQUIRE(p.notifications.size() == 1);
  CHECK(p.notifications[0] == Notification{6, 1, hex("0001 01 0000000a")});
  CHECK_FALSE(world.connect(0));
}

TEST_CASE("a limit is changed by restarting one process after the other", "[prefix_limit][twin]") {
  World world(limited());
  const Configuration narrower =
      configuration(65000, {"10.0.0.1 as=65001 passive max-prefix=5", "10.0.0.2 as=65002 passive"});
  Speaker& twin = world.twin(narrower);
  SaveCursor cursor;
  Octets piece;
  while (world.primary->save(cursor, Speaker::kMinPieceBytes, piece, world.now))
    REQUIRE(twin.restore(piece, world.now).empty());
  world.establish(0);
  world.announce(0, some(0, 8), kRoute);
  world.run();
  // The primary's limit goes while there is a primary.
  CHECK(mirrored_state(twin) == mirrored_state(*world.primary));
  CHECK(twin.statistics(world.now).neighbors[0].max_prefix == 10);
  world.take_over(0);
  world.run();
  REQUIRE(world.puppets[0].notifications.size() == 1);
  CHECK(world.puppets[0].notifications[0] == Notification{6, 1, hex("0001 01 00000005")});
}
