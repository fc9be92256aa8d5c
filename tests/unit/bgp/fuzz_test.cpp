// SPDX-License-Identifier: BSD-3-Clause
// Whatever comes, nothing is read out of bounds, nothing throws, and the state stays sound. Worth most under the sanitizers.
#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

namespace {

/// Changes a few bytes, lengths more often than others; sometimes cuts or lengthens.
Octets mutated(Octets bytes, std::mt19937_64& random) {
  for (auto n = 1 + random() % 4; n > 0 && !bytes.empty(); --n) {
    const std::size_t at = random() % bytes.size();
    switch (random() % 6) {
      case 0:
        bytes[at] = static_cast<std::uint8_t>(random());
        break;
      case 1:
        bytes[at] = random() % 2 == 0 ? 0 : 0xff;
        break;
      case 2:
        ++bytes[at];
        break;
      case 3:
        bytes[at] ^= static_cast<std::uint8_t>(1u << random() % 8);
        break;
      case 4:
        bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      default:
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::uint8_t>(random()));
    }
  }
  return bytes;
}

void mend_header(Octets& bytes, std::uint8_t type) {
  if (bytes.size() < kHeaderBytes) bytes.resize(kHeaderBytes);
  std::fill_n(bytes.begin(), 16, std::uint8_t{0xff});
  bytes[16] = static_cast<std::uint8_t>(bytes.size() >> 8);
  bytes[17] = static_cast<std::uint8_t>(bytes.size());
  bytes[18] = type;
}

}  // namespace

TEST_CASE("decoders survive mutated messages", "[fuzz]") {
  std::mt19937_64 random(20240601);
  MalformationCounters counters{};
  Update update;
  Notification error;
  for (int i = 0; i < 20000; ++i) {
    const Family family = random() % 2 == 0 ? Family::ipv4 : Family::ipv6;
    UpdateContext context;
    context.four_octet_as = random() % 2 == 0;
    context.external = random() % 2 == 0;
    context.first_as = context.external && random() % 2 == 0 ? 65001 : 0;
    const auto a = random_route(random, 65001, context.external, family);
    Octets bytes = updates(random_prefixes(random, family, 1000, 6), random() % 5 == 0 ? nullptr : &a, context).at(0);
    bytes = mutated(bytes, random);
    mend_header(bytes, 2);
    const Octets exact(bytes);  // no slack behind the end, for the sanitizer
    decode_update(exact, context, counters, update);
    if (update.handling == ErrorHandling::none && update.announced_ipv4.size() == 1) {
      // What was taken can be said again.
      UpdateContext plain = context;
      plain.check_meaning = false;
      plain.first_as = 0;
      Octets encoded;
      encode_attributes(Family::ipv4, update.attributes, plain, encoded);
      if (UpdateBuilder::fits(Family::ipv4, update.attributes, encoded.size())) {
        const auto again = updates(update.announced_ipv4, &update.attributes, plain).at(0);
        Update second;
        MalformationCounters none{};
        decode_update(again, plain, none, second);
        REQUIRE(second.handling == ErrorHandling::none);
        REQUIRE(second.attributes == update.attributes);
      }
    }
    Open open;
    open.as = 4200000000;
    open.router_id = 1;
    open.family.fill(true);
    open.four_octet_as = true;
    Octets hello = mutated(encode_open(open), random);
    mend_header(hello, 1);
    decode_open(hello, counters, error);
    decode_notification(mutated(encode_notification({3, 1, {1, 2}}), random), counters);
    decode_route_refresh(mutated(encode_route_refresh(family), random), counters, error);
  }
}

TEST_CASE("a speaker and its twin survive mutated streams and stay equal", "[fuzz]") {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    INFO("seed " << seed);
    const auto c =
        configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002", "10.0.0.3 as=65000"}, {"198.51.100.0/24"});
    World world(c, seed);
    Speaker& twin = world.twin(c);
    int sessions = 0;
    for (int i = 0; i < 3000; ++i) {
      const std::size_t n = world.random() % 3;
      Puppet& p = world.puppets[n];
      world.now += 2000;
      if (!p.connected) {
        world.primary->tick(world.now);
        world.act();
        if (!world.connect(n)) continue;
        p.send(encode_open(p.open));
        p.send(encode_keepalive());
        ++sessions;
      } else if (world.random() % 2 == 0) {
        say_something(world, n, 40);
      } else {
        Octets bytes;
        const auto a = random_route(world.random, p.open.as, p.context.external, Family::ipv4);
        bytes = updates(random_prefixes(world.random, Family::ipv4, 40, 6), &a, p.context).at(0);
        bytes = mutated(bytes, world.random);
        if (world.random() % 10 != 0)
          mend_header(bytes, world.random() % 40 == 0 ? static_cast<std::uint8_t>(world.random() % 7) : 2);
        p.send(bytes);
      }
      world.receive(n);
      while (world.random() % 4 != 0 && world.pull(world.random() % 3)) {
      }
      for (auto& puppet : world.puppets) puppet.read();
      if (i % 10 == 0) REQUIRE(mirrored_state(twin) == mirrored_state(*world.primary));
    }
    CHECK(sessions > 10);
    world.run();
    for (std::uint32_t n = 0; n < 3; ++n)
      if (world.primary->neighbor_state(n) == State::established)
        CHECK(world.puppets[n].view == wanted_by(*world.primary, n));
  }
}

TEST_CASE("a joiner survives mutated pieces", "[fuzz]") {
  const auto c = configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}, {"198.51.100.0/24"});
  World world(c, 9);
  world.establish(0);
  world.establish(1);
  for (int i = 0; i < 40; ++i) say_something(world, static_cast<std::size_t>(i % 2), 100);
  world.run();
  std::vector<Octets> pieces;
  SaveCursor cursor;
  for (Octets piece; world.primary->save(cursor, Speaker::kMinPieceBytes, piece);) pieces.push_back(piece);
  int refused = 0;
  for (int i = 0; i < 800; ++i) {
    Speaker joiner(c, Speaker::Mode::observing);
    for (const auto& piece : pieces) {
      auto broken = mutated(piece, world.random);
      std::copy_n(piece.begin(), 16, broken.begin());
      if (!joiner.restore(broken, 0).empty()) ++refused;
    }
    // Whatever it took for true must not hurt it afterwards.
    joiner.observe_received({0, Direction::incoming}, encode_keepalive(), 1);
    joiner.observe_written({0, Direction::incoming}, encode_end_of_rib(Family::ipv4), 1);
    joiner.promote(2);
    Octets room(kMaxMessageBytes);
    std::size_t n = 0;
    for (const Direction d : {Direction::outgoing, Direction::incoming})
      for (int k = 0; k < 20; ++k) joiner.next_message({0, d}, room, n);
    joiner.statistics(3);
  }
  CHECK(refused > 100);
}
