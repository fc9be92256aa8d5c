// SPDX-License-Identifier: BSD-3-Clause
// No call takes time in the size of a table: work on one is cut in shares, and whoever looks meanwhile sees the end of it.
#include "harness.hpp"
#include "rib.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

namespace {

constexpr std::uint32_t kMany = 20'000;
/// More than any call may look at.
constexpr std::uint32_t kMostACall = 1'000;

std::vector<Prefix> many() {
  std::vector<Prefix> out;
  for (std::uint32_t i = 0; i < kMany; ++i) out.push_back(Prefix::of(Address::from_ipv4(0x0b000000 + (i << 8)), 24));
  return out;
}

Configuration three_neighbors() {
  return configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002", "10.0.0.3 as=65003"});
}

/// All are up, and the first has announced a table that the others have not been told.
struct Full {
  Full() : world(three_neighbors()) {
    for (std::size_t i = 0; i < 3; ++i) world.establish(i);
    world.announce(0, many(), route({65001}, "10.0.0.1"));
    while (world.receive(0)) {
    }
  }
  /// Ticks until nothing is left over.
  int ticks() {
    int count = 0;
    for (; world.primary->next_deadline_ms() == std::uint64_t{0}; ++count) world.primary->tick(world.now);
    return count;
  }
  World world;
};

}  // namespace

TEST_CASE("what a neighbour has to be told is looked up in shares", "[slices]") {
  Full full;
  std::array<std::uint8_t, kMaxMessageBytes> room;
  std::size_t written = 0;
  std::uint32_t calls = 1;
  while (full.world.primary->next_message(full.world.puppets[1].link, room, written) == Pulled::busy) ++calls;
  CHECK(written > 0);
  // The first batch is 8,192 prefixes.
  CHECK(calls > 8'192 / kMostACall);
}

TEST_CASE("a session that ends while much is queued for it leaves work that is done in shares", "[slices]") {
  Full full;
  full.world.disconnect(1);
  CHECK(full.ticks() > static_cast<int>(kMany / kMostACall));
  full.world.withdraw(0, many());
  full.world.run();
  CHECK(full.world.primary->statistics(full.world.now).best == 0);
}

TEST_CASE("a session's routes are withdrawn in shares when it ends", "[slices]") {
  Full full;
  full.world.run();
  REQUIRE(full.world.puppets[2].routes.size() == kMany);
  full.world.disconnect(0);
  std::uint64_t received = 0;
  full.world.primary->for_each_received(0, Family::ipv4, [&](const auto&, const auto&) { ++received; });
  CHECK(received == 0);
  CHECK(full.ticks() > static_cast<int>(kMany / kMostACall));
  full.world.run();
  CHECK(full.world.puppets[2].routes.empty());
}

TEST_CASE("to have a table told again touches no route of it", "[slices]") {
  Rib rib(three_neighbors());
  const auto a = rib.attributes().intern(route({65001}, "192.0.2.9"));
  const auto prefixes = many();
  for (const Prefix& p : prefixes) rib.set_told(1, p, a);
  const auto told = [&](std::size_t i) {
    return rib.told(1, Family::ipv4, rib.prefixes(Family::ipv4).find(prefixes[i]).value());
  };
  rib.tell_again(1, Family::ipv4);
  CHECK(told(0) == (a | kAttributeTag));
  CHECK(told(kMany - 1) == (a | kAttributeTag));
  // One that was told again is due no longer, its neighbours in the table still are; and what is told for the first time is not.
  rib.set_told(1, prefixes[1], a);
  CHECK(told(0) == (a | kAttributeTag));
  CHECK(told(1) == a);
  CHECK(told(2) == (a | kAttributeTag));
  const auto fresh = Prefix::of(Address::from_ipv4(0xc6336400), 24);
  rib.set_told(1, fresh, a);
  CHECK(rib.told(1, Family::ipv4, rib.prefixes(Family::ipv4).find(fresh).value()) == a);
  rib.set_told(1, prefixes[2], kNoRoute);
  CHECK(rib.told_count(1, Family::ipv4) == kMany);
  rib.detach(1);
  while (rib.sweep(1000)) {
  }
  rib.attributes().unref(a);
  CHECK(rib.attributes().size() == 2);  // those of own networks
}

TEST_CASE("a promoted speaker comes to its neighbours one after the other, and to one that speaks at once",
          "[slices]") {
  std::vector<std::string> lines;
  for (int i = 1; i <= 200; ++i) lines.push_back("10.0.0." + std::to_string(i) + " as=65001");
  World world(configuration(65000, lines));
  Speaker& twin = world.twin(configuration(65000, lines));
  world.establish(3);
  world.establish(199);
  twin.begin_promotion(world.now);
  Action action;
  CHECK_FALSE(twin.next_action(action));
  CHECK(twin.next_deadline_ms() == std::uint64_t{0});
  // It speaks: its session lives, and says its KEEPALIVE.
  const auto keepalive = encode_keepalive();
  CHECK(twin.receive(world.puppets[199].link, keepalive, world.now) == keepalive.size());
  std::array<std::uint8_t, kMaxMessageBytes> room;
  std::size_t written = 0;
  REQUIRE(twin.next_message(world.puppets[199].link, room, written) == Pulled::message);
  CHECK(room[kHeaderBytes - 1] == static_cast<std::uint8_t>(MessageType::keepalive));
  int ticks = 0, connects = 0;
  for (; twin.next_deadline_ms() == std::uint64_t{0}; ++ticks) twin.tick(world.now);
  CHECK(ticks > 3);
  while (twin.next_action(action)) connects += action.kind == Action::Kind::connect ? 1 : 0;
  CHECK(connects == 198);
  REQUIRE(twin.next_message(world.puppets[3].link, room, written) == Pulled::message);
  CHECK(twin.neighbor_state(3) == State::established);
  CHECK(twin.neighbor_state(199) == State::established);
}

TEST_CASE("the next deadline follows timers that are stopped and started anew", "[slices]") {
  World world(three_neighbors());
  world.establish(0);
  const auto first = world.primary->next_deadline_ms().value();
  world.now += 20'000;
  world.puppets[0].send(encode_keepalive());
  world.run();
  CHECK(world.primary->next_deadline_ms().value() == first);
  world.primary->tick(first);
  CHECK(world.primary->next_deadline_ms().value() > first);
  world.primary->stop(first);
  CHECK_FALSE(world.primary->next_deadline_ms().has_value());
}
