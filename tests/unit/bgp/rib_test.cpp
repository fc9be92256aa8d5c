// SPDX-License-Identifier: BSD-3-Clause
#include "rib.hpp"

#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

TEST_CASE("a linear index finds what was put in and not what was taken out, through all its splits", "[rib]") {
  LinearIndex index;
  std::mt19937_64 random(7);
  std::map<std::uint32_t, std::uint64_t> in;  // id, hash; few hashes, so that chains grow
  const auto hash_of = [&](std::uint32_t id) { return in.at(id); };
  std::uint32_t next = 0;
  for (int i = 0; i < 20000; ++i) {
    if (in.empty() || random() % 3 != 0) {
      const std::uint64_t hash = random() % 4000 * 0x9e3779b97f4a7c15ull;
      in[next] = hash;
      index.insert(hash, next, hash_of);
      ++next;
    } else {
      const auto victim =
          std::next(in.begin(), static_cast<std::ptrdiff_t>(random() % std::min<std::size_t>(in.size(), 50)));
      index.erase(victim->second, victim->first);
      CHECK_FALSE(index.find(victim->second, [&](std::uint32_t id) { return id == victim->first; }).has_value());
      in.erase(victim);
    }
  }
  for (const auto& [id, hash] : in)
    REQUIRE(index.find(hash, [&, wanted = id](std::uint32_t found) { return found == wanted; }) == id);
}

TEST_CASE("equal attribute sets are one, and freed with their last user", "[rib]") {
  AttributeTable table(1);
  std::vector<AttributeId> released;
  table.on_release([&](AttributeId id) { released.push_back(id); });
  const auto a = table.intern(route({1, 2}, "192.0.2.1"));
  CHECK(table.intern(route({1, 2}, "192.0.2.1")) == a);
  const auto b = table.intern(route({1, 2}, "192.0.2.2"));
  CHECK(b != a);
  CHECK(table.size() == 2);
  CHECK(table.entry(a).path_length == 2);
  CHECK(table.entry(a).neighbor_as == 1);
  table.unref(a);
  CHECK(released.empty());
  table.unref(a);
  CHECK(released == std::vector<AttributeId>{a});
  CHECK(table.size() == 1);
  CHECK(table.intern(route({9}, "192.0.2.9")) == a);  // the number is used again
}

TEST_CASE("the best of several neighbours' routes is kept, and the next best takes its place", "[rib]") {
  Rib rib(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002", "10.0.0.3 as=65003"}));
  const auto p = prefix("203.0.113.0/24");
  const auto way = [&](std::size_t length) {
    return rib.attributes().intern(route(std::vector<std::uint32_t>(length, 65009), "192.0.2.9"));
  };
  const auto source = [&]() -> int {
    const auto id = rib.prefixes(Family::ipv4).find(p);
    if (!id) return -1;
    const auto s = rib.best(Family::ipv4, *id).source;
    return s == Rib::kNoSource ? -1 : s;
  };
  rib.announce(0, p, way(3));
  CHECK(source() == 0);
  rib.announce(1, p, way(2));
  CHECK(source() == 1);
  rib.announce(2, p, way(4));
  CHECK(source() == 1);
  rib.announce(1, p, way(5));
  CHECK(source() == 0);
  rib.withdraw(0, p);
  CHECK(source() == 2);
  rib.withdraw(2, p);
  CHECK(source() == 1);
  CHECK(rib.best_count() == 1);
  rib.withdraw(1, p);
  CHECK(source() == -1);
  CHECK(rib.best_count() == 0);
  CHECK_FALSE(rib.prefixes(Family::ipv4).find(p).has_value());
}

TEST_CASE("a route that has been here before is kept but not used", "[rib]") {
  Rib rib(configuration(65000, {"10.0.0.1 as=65001"}));
  const auto p = prefix("203.0.113.0/24");
  const auto loop = rib.attributes().intern(route({65001, 65000, 65002}, "192.0.2.9"));
  rib.announce(0, p, loop);
  CHECK(rib.received_count(0, Family::ipv4) == 1);
  CHECK(rib.best_count() == 0);
  const auto fine = rib.attributes().intern(route({65001}, "192.0.2.9"));
  rib.announce(0, p, fine);
  CHECK(rib.best_count() == 1);
  rib.announce(0, p, loop);
  CHECK(rib.best_count() == 0);
  auto reflected = route({65001}, "192.0.2.9");
  reflected.originator_id = 0xc0000201;
  rib.announce(0, p, rib.attributes().intern(reflected));
  CHECK(rib.best_count() == 0);
}

TEST_CASE("an own network is best whatever a neighbour says", "[rib]") {
  Rib rib(configuration(65000, {"10.0.0.1 as=65001"}, {"203.0.113.0/24", "2001:db8:1::/48"}));
  CHECK(rib.best_count() == 2);
  const auto p = prefix("203.0.113.0/24");
  rib.announce(0, p, rib.attributes().intern(route({65001}, "192.0.2.9")));
  const auto id = rib.prefixes(Family::ipv4).find(p).value();
  CHECK(rib.best(Family::ipv4, id).source == Rib::kOwnNetwork);
  rib.withdraw(0, p);
  CHECK(rib.best(Family::ipv4, id).source == Rib::kOwnNetwork);
}

TEST_CASE("an ended session's routes are gone at once and cleared away in shares", "[rib]") {
  Rib rib(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}));
  const auto a = rib.attributes().intern(route({65001}, "192.0.2.9"));
  const auto b = rib.attributes().intern(route({65002, 7}, "192.0.2.8"));
  for (std::uint32_t i = 0; i < 10000; ++i) {
    const auto p = Prefix::of(Address::from_ipv4(i << 12), 24);
    rib.announce(0, p, a);
    if (i % 2 == 0) rib.announce(1, p, b);
  }
  CHECK(rib.best_count() == 10000);
  rib.detach(0);
  CHECK(rib.received_count(0, Family::ipv4) == 0);
  // The neighbour is back before the sweep is done.
  rib.announce(0, Prefix::of(Address::from_ipv4(1 << 12), 24), a);
  // Whoever asks before the sweep hears the next best.
  CHECK(rib.best(Family::ipv4, rib.prefixes(Family::ipv4).find(Prefix::of(Address::from_ipv4(0), 24)).value()).source ==
        1);
  int shares = 0;
  while (rib.sweep(1000)) ++shares;
  CHECK(shares >= 9);
  CHECK(rib.best_count() == 5001);
  CHECK_FALSE(rib.has_leftovers());
  CHECK(rib.received_count(0, Family::ipv4) == 1);
  rib.detach(0);
  rib.detach(1);
  while (rib.sweep(1000)) {
  }
  CHECK(rib.best_count() == 0);
  rib.attributes().unref(a);
  rib.attributes().unref(b);
  CHECK(rib.attributes().size() == 2);  // those of own networks
}
