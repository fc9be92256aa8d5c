// SPDX-License-Identifier: BSD-3-Clause
// A late joiner: pieces while life goes on, in any order, and never trusted.
#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

namespace {

Configuration three_neighbors() {
  return configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002", "10.0.0.3 as=65000"}, {"198.51.100.0/24"});
}

std::vector<Octets> pieces_of(const Speaker& s, std::size_t max_bytes = Speaker::kMinPieceBytes) {
  std::vector<Octets> pieces;
  SaveCursor cursor;
  for (Octets piece; s.save(cursor, max_bytes, piece);) {
    CHECK(piece.size() <= max_bytes);
    pieces.push_back(piece);
    cursor = SaveCursor::unpacked(cursor.packed());
    REQUIRE(pieces.size() < 10000);
  }
  return pieces;
}

/// Fills the tables: some thousand routes, with traffic that was not read or written yet.
void fill(World& world) {
  for (std::size_t i = 0; i < 3; ++i) world.establish(i);
  for (int round = 0; round < 400; ++round) {
    say_something(world, static_cast<std::size_t>(round % 3), 4000);
    world.receive(static_cast<std::size_t>(round % 3));
    if (round % 4 == 0) world.pull(world.random() % 3);
  }
}

}  // namespace

TEST_CASE("restored from pieces in any order, a speaker is what it was", "[snapshot]") {
  World world(three_neighbors(), 3);
  fill(world);
  world.puppets[1].send(encode_route_refresh(Family::ipv4));
  world.receive(1);
  world.pull(1, 300);  // a refresh that is half done
  auto pieces = pieces_of(*world.primary);
  REQUIRE(pieces.size() >= 3);
  for (int order = 0; order < 3; ++order) {
    Speaker joiner(three_neighbors(), Speaker::Mode::observing);
    for (const auto& piece : pieces) REQUIRE(joiner.restore(piece, world.now).empty());
    CHECK(mirrored_state(joiner) == mirrored_state(*world.primary));
    CHECK(best_of(joiner) == best_of(*world.primary));
    const auto a = joiner.statistics(world.now);
    const auto b = world.primary->statistics(world.now);
    CHECK(a.received == b.received);
    CHECK(a.best == b.best);
    CHECK(a.advertised == b.advertised);
    for (std::size_t n = 0; n < 3; ++n) {
      CHECK(a.neighbors[n].messages_in == b.neighbors[n].messages_in);
      CHECK(a.neighbors[n].messages_out == b.neighbors[n].messages_out);
      CHECK(a.neighbors[n].uptime_ms == b.neighbors[n].uptime_ms);
    }
    // Its pieces are as good as the first one's.
    Speaker second(three_neighbors(), Speaker::Mode::observing);
    for (const auto& piece : pieces_of(joiner)) REQUIRE(second.restore(piece, world.now).empty());
    CHECK(mirrored_state(second) == mirrored_state(*world.primary));
    std::shuffle(pieces.begin(), pieces.end(), world.random);
  }
}

TEST_CASE("a joiner that is restored while life goes on ends up equal, and takes over without a word too many",
          "[snapshot]") {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    INFO("seed " << seed);
    World world(three_neighbors(), seed);
    fill(world);
    Speaker& joiner = world.twin(three_neighbors());
    SaveCursor cursor;
    std::size_t pieces = 0;
    for (Octets piece; world.primary->save(cursor, Speaker::kMinPieceBytes, piece); ++pieces) {
      REQUIRE(joiner.restore(piece, world.now).empty());
      for (int k = 0; k < 6; ++k) {
        const std::size_t i = world.random() % 3;
        say_something(world, i, 4000);
        world.receive(i);
        while (world.random() % 2 == 0 && world.pull(world.random() % 3)) {
        }
      }
      // A session that goes and comes back meanwhile.
      if (pieces == 1) {
        world.disconnect(2);
        world.establish(2);
      }
    }
    REQUIRE(pieces >= 3);
    REQUIRE(mirrored_state(joiner) == mirrored_state(*world.primary));
    for (auto& w : world.watchers)
      while (w.speaker->next_deadline_ms() == std::uint64_t{0}) w.speaker->tick(world.now);
    while (world.primary->next_deadline_ms() == std::uint64_t{0}) world.primary->tick(world.now);
    CHECK(best_of(joiner) == best_of(*world.primary));

    world.run();
    std::array<std::size_t, 3> said{};
    for (std::size_t i = 0; i < 3; ++i) said[i] = world.puppets[i].announced + world.puppets[i].withdrawn;
    world.take_over(0);
    world.run();
    for (std::uint32_t i = 0; i < 3; ++i) {
      CHECK(world.puppets[i].announced + world.puppets[i].withdrawn == said[i]);
      CHECK(world.puppets[i].view == wanted_by(*world.primary, i));
    }
  }
}

TEST_CASE("a joiner finishes a ROUTE-REFRESH that was half answered when it joined", "[snapshot]") {
  std::vector<std::string> networks;
  for (int i = 0; i < 200; ++i) networks.push_back("10.20." + std::to_string(i) + ".0/24");
  const auto c = configuration(65000, {"10.0.0.1 as=65001"}, networks);
  World world(c);
  world.establish(0);
  world.puppets[0].send(encode_route_refresh(Family::ipv4));
  world.receive(0);
  world.pull(0, 300);
  world.puppets[0].read();
  const auto told_again = world.puppets[0].announced - 200;
  REQUIRE(told_again > 10);
  Speaker& joiner = world.twin(c);
  for (const auto& piece : pieces_of(*world.primary)) REQUIRE(joiner.restore(piece, world.now).empty());
  world.take_over(0);
  world.run();
  CHECK(world.puppets[0].announced == 400);
}

TEST_CASE("what is owed to a peer is part of a session's record", "[snapshot]") {
  World world(three_neighbors());
  REQUIRE(world.connect(0));
  Speaker& joiner = world.twin(three_neighbors());
  REQUIRE(joiner.restore(world.primary->save_neighbor(0), world.now).empty());
  world.take_over(0);
  world.run();
  CHECK(world.puppets[0].opens.size() == 1);
  world.handshake(0);
}

TEST_CASE("of two records under one key the later counts", "[snapshot]") {
  World world(three_neighbors());
  world.establish(0);
  world.establish(1);
  const auto p = prefix("203.0.113.0/24");
  world.announce(0, {p}, route({65001}, "10.0.0.1"));
  world.announce(1, {p}, route({65002, 7}, "10.0.0.2"));
  world.run();
  Speaker joiner(three_neighbors(), Speaker::Mode::observing);
  for (const auto& piece : pieces_of(*world.primary)) REQUIRE(joiner.restore(piece, world.now).empty());
  // Neighbour 1 withdraws, and is told the other's route: one side of its record goes, the other stays.
  world.withdraw(1, {p});
  world.run();
  for (const auto& piece : pieces_of(*world.primary)) REQUIRE(joiner.restore(piece, world.now).empty());
  CHECK(received_by(*world.primary, 1).empty());
  CHECK(mirrored_state(joiner) == mirrored_state(*world.primary));
}

TEST_CASE("the beginnings of messages are part of a session's record", "[snapshot]") {
  World world(three_neighbors());
  Speaker& twin = world.twin(three_neighbors());
  world.establish(0);
  const Link link = world.puppets[0].link;
  const auto a = route({65001}, "10.0.0.1");
  const Octets in = updates({prefix("203.0.113.0/24")}, &a, world.puppets[0].context).at(0);
  const auto b = route({65000, 65009}, "192.0.2.1");
  const Octets out = updates({prefix("10.3.0.0/16")}, &b, world.puppets[0].context).at(0);
  for (std::size_t cut = 0; cut < in.size(); ++cut) {
    twin.observe_received(link, ByteSpan(in).first(cut), world.now);
    const std::size_t cut_out = std::min(cut, out.size());
    twin.observe_written(link, ByteSpan(out).first(cut_out), world.now);
    Speaker joiner(three_neighbors(), Speaker::Mode::observing);
    REQUIRE(joiner.restore(twin.save_neighbor(0), world.now).empty());
    for (Speaker* s : {&joiner, &twin}) {
      s->observe_received(link, ByteSpan(in).subspan(cut), world.now);
      s->observe_written(link, ByteSpan(out).subspan(cut_out), world.now);
      CHECK(received_by(*s, 0).size() == 1);
      CHECK(told_by(*s, 0).count(prefix("10.3.0.0/16")) == 1);
      s->observe_received(link, updates({prefix("203.0.113.0/24")}, nullptr, world.puppets[0].context).at(0),
                          world.now);
      s->observe_written(link, updates({prefix("10.3.0.0/16")}, nullptr, world.puppets[0].context).at(0), world.now);
      CHECK(received_by(*s, 0).empty());
    }
  }
}

TEST_CASE("pieces that do not fit are refused with a reason", "[snapshot]") {
  World world(three_neighbors());
  fill(world);
  const auto piece = pieces_of(*world.primary).at(0);
  const auto refusal = [&](const Octets& p, const Configuration& c = three_neighbors()) {
    Speaker joiner(c, Speaker::Mode::observing);
    return joiner.restore(p, 0);
  };
  CHECK(refusal(piece).empty());
  CHECK(refusal({}) == "this is no piece of a BGP speaker's state");
  CHECK(refusal(Octets(100, 0)) == "this is no piece of a BGP speaker's state");
  auto newer = piece;
  newer[4] = 2;
  CHECK(refusal(newer) == "the piece has version 2, this program reads 1; run the same version on both sides");
  const auto other = configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002", "10.0.0.4 as=65000"});
  CHECK(refusal(piece, other) ==
        "the other side has another AS number, router id or list of neighbors; start both with the same options");
  const Octets header(piece.begin(), piece.begin() + 16);
  CHECK(refusal(header).empty());
  CHECK(refusal(header + Octets{9, 0x80, 2, 0, 0, 0, 1, 2}).empty());
  CHECK(refusal(header + Octets{9, 0, 2, 0, 0, 0, 1, 2}) ==
        "record type 9 is unknown; run the same version on both sides");
  CHECK(refusal(header + Octets{9, 0x80, 3, 0, 0, 0, 1, 2}) == "the piece is shorter than it says");
  CHECK(refusal(header + Octets{1, 0, 0, 0, 0, 0}) == "a piece speaks of a neighbor that is not configured here");
  CHECK(refusal(header + Octets{3, 0, 3, 0, 0, 0, 0, 0, 1}) == "the record of a route is corrupt");
  for (std::size_t size = 16; size < 2000; ++size)
    refusal(Octets(piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(size)));
}
