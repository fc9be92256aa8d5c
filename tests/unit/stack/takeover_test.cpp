// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "streams.hpp"
#include "world.hpp"

namespace tandem::test {

namespace {

constexpr std::uint16_t kEcho = 7;
constexpr std::uint16_t kTalk = 1;

/// An echo service on a pair, and a client.
struct EchoWorld {
  explicit EchoWorld(std::uint8_t version = 4)
      : address(version == 4 ? "10.0.0.1" : "2001:db8::1"),
        pair(wire, clock, mac(1), options(clock, {"10.0.0.1/24", "2001:db8::1/64"}),
             [this](Stack& stack) {
               stack.define_service(kEcho, [](Connection&) { return std::make_unique<Echo>(); });
               stack.listen(endpoint(address, kEcho), replicated, kEcho);
             }),
        client(wire, clock, mac(2), options(clock, {"10.0.0.2/24", "2001:db8::2/64"})) {}

  std::shared_ptr<Flow> start(std::uint64_t seed, std::uint64_t bytes) {
    auto flow = std::make_shared<Flow>(seed, bytes);
    client.stack().define_service(kTalk, [flow](Connection&) { return std::make_unique<Talker>(flow); });
    const auto any = address == "10.0.0.1" ? "0.0.0.0" : "::";
    REQUIRE(client.stack().connect(endpoint(any, 0), endpoint(address, kEcho), unreplicated, kTalk));
    return flow;
  }

  Clock clock;
  Wire wire;
  std::string address;
  Pair pair;
  Host client;
};

}  // namespace

TEST_CASE("an established connection goes on in the twin", "[takeover]") {
  EchoWorld world;
  const auto flow = world.start(1, 1'000'000);
  REQUIRE(run(world.clock, {&world.client, &world.pair}, [&] { return flow->received > 300'000; }));
  world.pair.kill(Pair::Moment::between_turns);
  const auto before_ms = world.clock.now_ns / kMs;
  CHECK(run(world.clock, {&world.client, &world.pair}, [&] { return flow->closed; }));
  CHECK(world.clock.now_ns / kMs - before_ms < 150);
  CHECK(flow->received == 1'000'000);
  CHECK(flow->exact);
  CHECK(world.wire.resets == 0);
  CHECK_FALSE(world.pair.log_refused);
}

TEST_CASE("streams stay exact over takeovers at random moments", "[takeover]") {
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  const std::uint64_t seed = GENERATE(range(1, 9));
  CAPTURE(seed, int(version));
  std::mt19937_64 random(seed);
  EchoWorld world(version);
  const auto flow = world.start(seed, 6'000'000);
  flow->piece = 1 + random() % 20'000;
  world.pair.batch = 1 + random() % 8;
  std::uint64_t turns_until_kill = 50;
  const auto started = world.clock.now_ns;
  CHECK(run(world.clock, {&world.client, &world.pair}, [&] {
    if (--turns_until_kill == 0) {
      turns_until_kill = 1 + random() % 10;
      const auto moment = static_cast<Pair::Moment>(random() % 3);
      if (world.pair.takeovers < 150) {
        world.pair.kill(moment);
      }
    }
    return flow->closed || flow->reset;
  }));
  CHECK(world.pair.takeovers > 30);
  CHECK((world.clock.now_ns - started) / kMs < 1000);
  CHECK(flow->received == 6'000'000);
  CHECK(world.client.stack().statistics().retransmissions == 0);
  CHECK(world.pair.stack().statistics().retransmissions == 0);
  CHECK(flow->exact);
  CHECK_FALSE(flow->reset);
  CHECK(world.wire.resets == 0);
  CHECK_FALSE(world.pair.log_refused);
}

TEST_CASE("streams stay exact over takeovers with loss, and nothing acknowledged is taken back", "[takeover]") {
  const std::uint64_t seed = GENERATE(range(1, 7));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  EchoWorld world;
  world.wire.lose = [&](const Frame&) { return random() % 100 < 2; };
  // An ACK that comes once more when LAST-ACK has ended meets no connection, and gets the RST that it would get from any host.
  int resets = 0;
  world.wire.watch = [&](const Frame& frame) {
    resets += parse(frame).rst() && world.pair.stack().connection_count() != 0 ? 1 : 0;
  };
  const auto flow = world.start(seed, 1'500'000);
  world.pair.batch = 1 + random() % 8;
  std::uint64_t turns_until_kill = 40;
  CHECK(run(
      world.clock, {&world.client, &world.pair},
      [&] {
        if (--turns_until_kill == 0) {
          turns_until_kill = 1 + random() % 20;
          world.pair.kill(static_cast<Pair::Moment>(random() % 3));
        }
        return flow->closed || flow->reset;
      },
      900'000));
  CHECK(world.pair.takeovers > 10);
  CHECK(flow->received == 1'500'000);
  CHECK(flow->exact);
  CHECK(resets == 0);
  CHECK_FALSE(world.pair.log_refused);
}

TEST_CASE("what was received out of order and acknowledged selectively is in the twin", "[takeover]") {
  EchoWorld world;
  const auto flow = world.start(1, 1000);
  flow->close_when_sent = false;
  REQUIRE(run(world.clock, {&world.client, &world.pair}, [&] { return flow->received == 1000; }));
  run(
      world.clock, {&world.client, &world.pair}, [] { return false; }, 300);
  // The first segment of ten is lost; later the rest is never let through again.
  std::uint32_t lost_seq = 0;
  world.wire.lose = [&](const Frame& frame) {
    const auto segment = parse(frame);
    if (segment.destination.port != kEcho || segment.payload == 0) {
      return false;
    }
    lost_seq = lost_seq == 0 ? segment.seq : lost_seq;
    return segment.seq == lost_seq;
  };
  constexpr std::size_t kBytes = 14'000;
  world.client.stack().for_each_connection([&](Connection& connection) {
    std::vector<std::uint8_t> piece(kBytes);
    for (std::size_t i = 0; i < piece.size(); ++i) {
      piece[i] = stream_byte(1, 1000 + i);
    }
    REQUIRE(connection.write(piece));
  });
  const auto only = [](Stack& stack) {
    Connection* found = nullptr;
    stack.for_each_connection([&](Connection& connection) { found = &connection; });
    REQUIRE(found != nullptr);
    return found;
  };
  run(
      world.clock, {&world.client, &world.pair}, [] { return false; }, 30);
  const auto held = only(world.pair.stack())->out_of_order();
  REQUIRE(held.size() >= 5);
  for (int i = 0; i < 3; ++i) {
    CHECK(only(world.pair.twin())->out_of_order() == held);
    world.pair.kill(Pair::Moment::between_turns);
    world.pair.stack().link_some(1);
    CHECK(only(world.pair.stack())->out_of_order() == held);
  }
  world.wire.lose = [&](const Frame& frame) {
    const auto segment = parse(frame);
    return segment.destination.port == kEcho && segment.payload != 0 && segment.seq != lost_seq;
  };
  CHECK(run(
      world.clock, {&world.client, &world.pair}, [&] { return flow->received == 1000 + kBytes; }, 5000));
  CHECK(flow->exact);
}

TEST_CASE("the retransmission timer does not start afresh at takeovers", "[takeover]") {
  EchoWorld world;
  const auto flow = world.start(1, 1000);
  flow->close_when_sent = false;
  REQUIRE(run(world.clock, {&world.client, &world.pair}, [&] { return flow->received == 1000; }));
  // The echo's answer is lost; a takeover every 20 ms must not keep it from being sent again.
  bool blocked = true;
  world.wire.lose = [&](const Frame& frame) {
    const auto segment = parse(frame);
    return blocked && segment.source.port == kEcho && segment.payload != 0;
  };
  flow->total = 2000;
  world.client.stack().for_each_connection([&](Connection& connection) {
    std::vector<std::uint8_t> piece(1000);
    for (std::size_t i = 0; i < piece.size(); ++i) {
      piece[i] = stream_byte(1, 1000 + i);
    }
    REQUIRE(connection.write(piece));
  });
  run(
      world.clock, {&world.client, &world.pair}, [] { return false; }, 100);
  CHECK(flow->received == 1000);
  blocked = false;
  const auto started = world.clock.now_ns;
  while (flow->received < 2000 && world.clock.now_ns - started < 5000 * kMs) {
    run(
        world.clock, {&world.client, &world.pair}, [&] { return flow->received == 2000; }, 20);
    world.pair.kill(Pair::Moment::between_turns);
  }
  CHECK(flow->received == 2000);
  CHECK(flow->exact);
  CHECK(world.pair.takeovers > 5);
}

TEST_CASE("a closed window stays closed over a takeover, and opens afterwards", "[takeover]") {
  EchoWorld world;
  const auto flow = world.start(1, 20'000'000);
  flow->close_when_sent = false;
  flow->reading = false;
  // The client reads nothing: its window fills, then the echo's send queue, then the echo's window.
  run(
      world.clock, {&world.client, &world.pair}, [] { return false; }, 6000);
  const auto sent = flow->sent;
  CHECK(sent < 20'000'000);
  for (int i = 0; i < 5; ++i) {
    world.pair.kill(Pair::Moment::between_turns);
    run(
        world.clock, {&world.client, &world.pair}, [] { return false; }, 700);
  }
  CHECK(flow->sent - sent < 16);  // a window probe may carry a byte
  flow->reading = true;
  world.client.stack().for_each_connection([&](Connection& connection) {
    const auto unread = connection.unread();
    for (const auto byte : unread) {
      flow->exact = flow->exact && byte == stream_byte(1, flow->received++);
    }
    connection.consume(unread.size());
  });
  CHECK(run(world.clock, {&world.client, &world.pair}, [&] { return flow->received == 20'000'000; }));
  CHECK(flow->exact);
  CHECK(world.wire.resets == 0);
  CHECK_FALSE(world.pair.log_refused);
}

TEST_CASE("TIME-WAIT goes on in the twin", "[takeover]") {
  Clock clock;
  Wire wire;
  const auto outcome = std::make_shared<Outcome>();
  Pair pair(wire, clock, mac(1), options(clock, {"10.0.0.1/24"}), [&](Stack& stack) {
    stack.define_service(kEcho, [&](Connection&) { return std::make_unique<Worker>(Task{1, 10, true}, outcome); });
    stack.listen(endpoint("10.0.0.1", kEcho), replicated, kEcho);
  });
  Host client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"}));
  const auto theirs = std::make_shared<Outcome>();
  client.stack().define_service(kTalk, [&](Connection&) {
    return std::make_unique<Worker>(Task{1, 10, false}, theirs);
  });
  REQUIRE(client.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kEcho), unreplicated, kTalk));
  Frame fin;
  wire.watch = [&](const Frame& frame) {
    const auto segment = parse(frame);
    if (segment.fin() && segment.destination.port == kEcho) {
      fin = frame;
    }
  };
  REQUIRE(run(clock, {&client, &pair}, [&] { return theirs->closed == 1; }));
  run(
      clock, {&client, &pair}, [] { return false; }, 1000);
  REQUIRE(!fin.empty());
  CHECK(pair.stack().connection_count() == 0);
  for (int i = 0; i < 3; ++i) {
    pair.kill(Pair::Moment::between_turns);
    run(
        clock, {&client, &pair}, [] { return false; }, 1000);
    // The peer's FIN again: it is acknowledged, not reset.
    std::size_t acks = 0;
    wire.watch = [&](const Frame& frame) { acks += parse(frame).source.port == kEcho ? 1 : 0; };
    wire.resets = 0;
    client.inbox.clear();
    pair.inbox.push_back(fin);
    pair.turn();
    CHECK(acks == 1);
    CHECK(wire.resets == 0);
    client.inbox.clear();
    wire.watch = {};
  }
  // A minute later it is over, counted from its beginning.
  run(
      clock, {&client, &pair}, [] { return false; }, 56'000);
  std::size_t left = 0;
  pair.stack().for_each_connection([&](Connection&) { ++left; });
  CHECK(left == 1);
  run(
      clock, {&client, &pair}, [] { return false; }, 8'000);
  left = 0;
  pair.stack().for_each_connection([&](Connection&) { ++left; });
  pair.twin().for_each_connection([&](Connection&) { ++left; });
  CHECK(left == 0);
  CHECK_FALSE(pair.log_refused);
}

TEST_CASE("what the twin does after losing packets with its predecessor's box", "[takeover][kick]") {
  const std::uint64_t seed = GENERATE(range(1, 9));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  EchoWorld world(seed % 2 == 0 ? 4 : 6);
  const auto flow = world.start(seed, 2'000'000);
  // The answer to a kick may come right behind the ACK of our FIN. Then neither end has the connection any more, and an RST says so
  // (RFC 9293, section 3.10.7.1).
  std::size_t resets = 0;
  world.wire.watch = [&](const Frame& frame) { resets += parse(frame).rst() && !flow->closed ? 1 : 0; };
  world.pair.batch = 1 + random() % 8;
  std::uint64_t turns_until_kill = 40;
  CHECK(run(
      world.clock, {&world.client, &world.pair},
      [&] {
        if (--turns_until_kill == 0 && world.pair.takeovers < 20) {
          turns_until_kill = 10 + random() % 30;
          world.pair.kill(static_cast<Pair::Moment>(random() % 3), Stack::Adoption::kicked);
        }
        return flow->closed || flow->reset;
      },
      900'000));
  CHECK(world.pair.takeovers > 5);
  CHECK(flow->received == 2'000'000);
  CHECK(flow->exact);
  CHECK(resets == 0);
  CHECK_FALSE(world.pair.log_refused);
}

TEST_CASE("a kick is an ACK within the window and one old byte, with timestamps, before any data", "[takeover][kick]") {
  Clock clock;
  Wire wire;
  const std::uint64_t seed = 3;
  Pair pair(wire, clock, mac(1), options(clock, {"10.0.0.1/24"}), [&](Stack& stack) {
    stack.define_service(kEcho, [&](Connection&) { return std::make_unique<Chargen>(seed); });
    stack.listen(endpoint("10.0.0.1", kEcho), replicated, kEcho);
  });
  Host client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"}));
  const auto flow = std::make_shared<Flow>(seed, 0);
  flow->close_when_sent = false;
  client.stack().define_service(kTalk, [flow](Connection&) { return std::make_unique<Talker>(flow); });
  auto* const connection =
      client.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kEcho), unreplicated, kTalk);
  REQUIRE(run(clock, {&client, &pair}, [&] { return flow->received > 1'000'000; }));
  // Everything in flight is lost with the box.
  client.inbox.clear();
  pair.inbox.clear();
  TcpState at_kill;
  pair.stack().for_each_connection([&](Connection& one) { at_kill = one.state(); });
  REQUIRE(at_kill.snd_nxt != at_kill.snd_una);
  std::vector<Segment> sent;
  std::vector<bool> arp;
  wire.watch = [&](const Frame& frame) {
    const auto segment = parse(frame);
    if (segment.tcp && segment.source.port == kEcho) {
      sent.push_back(segment);
    } else if (frame[12] == 8 && frame[13] == 6) {
      arp.push_back(sent.empty());
    }
  };
  if (GENERATE(false, true)) {
    pair.twin().prepare();
    REQUIRE(sent.empty());
    REQUIRE(arp.empty());
  }
  pair.kill(Pair::Moment::between_turns, Stack::Adoption::kicked);
  REQUIRE(sent.size() == 2);
  // Whether somebody else has the address is asked, and that it is here is said, before all else.
  CHECK(arp == std::vector<bool>{true, true});
  CHECK(sent[0].payload == 0);
  CHECK(sent[0].seq == std::min(at_kill.snd_nxt, at_kill.snd_una + at_kill.snd_wnd));
  CHECK(sent[1].payload == 1);
  CHECK(sent[1].seq == at_kill.snd_una - 1);
  for (const auto& segment : sent) {
    CHECK(segment.timestamps);
    CHECK(static_cast<std::int32_t>(segment.ts_val - at_kill.ts_val) >= 0);
    CHECK(segment.ack == at_kill.rcv_nxt);
  }
  // Nothing that the peer has is sent again.
  const auto peer_has = connection->state().rcv_nxt;
  sent.clear();
  const auto before = flow->received;
  const auto started = clock.now_ns;
  CHECK(run(clock, {&client, &pair}, [&] { return flow->received > before + 1'000'000; }));
  CHECK((clock.now_ns - started) / kMs < 200);
  for (const auto& segment : sent) {
    if (segment.payload != 0) {
      REQUIRE(static_cast<std::int32_t>(segment.seq + segment.payload - peer_has) > 0);
    }
  }
  CHECK(flow->exact);
  CHECK(wire.resets == 0);
}

TEST_CASE("timestamps never go back over takeovers, at their wrap either", "[takeover]") {
  EchoWorld world;
  world.clock.now_ns = ((std::uint64_t{1} << 32) - 30) * kMs;
  const auto flow = world.start(1, 100'000'000);
  REQUIRE(run(world.clock, {&world.client, &world.pair}, [&] { return flow->received > 0; }));
  std::uint32_t last = 0;
  std::size_t seen = 0;
  std::size_t back = 0;
  world.wire.watch = [&](const Frame& frame) {
    const Segment segment = parse(frame);
    if (!segment.tcp || segment.source.port != kEcho || !segment.timestamps) return;
    back += seen != 0 && static_cast<std::int32_t>(segment.ts_val - last) < 0 ? 1 : 0;
    last = segment.ts_val;
    ++seen;
  };
  // Several takeovers within a millisecond push the timestamps ahead of the clock: each process goes on above the last one.
  for (int i = 0; i < 120; ++i) {
    world.client.turn();
    world.pair.turn();
    world.pair.kill(Pair::Moment::between_turns);
    world.pair.turn();
    if (i % 4 == 0) world.clock.advance_ms(1);
  }
  CHECK(seen > 100);
  CHECK(back == 0);
  CHECK(static_cast<std::int32_t>(last) >= 0);  // it has wrapped
}

TEST_CASE("10,000 connections: the first packet does not wait for the others", "[takeover][many]") {
  constexpr std::size_t kConnections = 10'000;
  Clock clock;
  Wire wire;
  Pair pair(wire, clock, mac(1), options(clock, {"10.0.0.1/24"}), [&](Stack& stack) {
    stack.define_service(kEcho, [](Connection&) { return std::make_unique<Echo>(); });
    stack.listen(endpoint("10.0.0.1", kEcho), replicated, kEcho, 20'000);
  });
  Host client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"}));
  const auto flow = std::make_shared<Flow>(1, 0);
  flow->close_when_sent = false;
  client.stack().define_service(kTalk, [flow](Connection&) { return std::make_unique<Talker>(flow); });
  std::vector<Connection*> connections;
  while (connections.size() < kConnections) {
    for (int i = 0; i < 500; ++i) {
      connections.push_back(
          client.stack().connect({ip("10.0.0.2"), static_cast<std::uint16_t>(1024 + connections.size())},
                                 endpoint("10.0.0.1", kEcho), unreplicated, kTalk));
      REQUIRE(connections.back() != nullptr);
    }
    REQUIRE(run(clock, {&client, &pair}, [&] {
      return std::all_of(connections.end() - 500, connections.end(),
                         [](Connection* one) { return one->phase() == TcpPhase::established; });
    }));
  }
  run(
      clock, {&client, &pair}, [] { return false; }, 500);
  CHECK(pair.twin().connection_count() == kConnections);
  // One talks at the moment of the kill.
  const std::vector<std::uint8_t> request(100, stream_byte(1, 0));
  REQUIRE(connections[1234]->write(request));
  client.turn();
  std::size_t unlinked_at_first = 0;
  pair.on_activated = [&](Stack& stack) { unlinked_at_first = stack.unlinked_count(); };
  pair.kill(Pair::Moment::before_publish);
  CHECK(unlinked_at_first == kConnections);
  pair.turn();
  CHECK(pair.stack().unlinked_count() >= kConnections - 100);
  CHECK(connections[1234]->bytes_received() == 0);
  client.turn();
  CHECK(connections[1234]->bytes_received() == 100);
  // The others follow by themselves.
  CHECK(run(
      clock, {&client, &pair}, [&] { return pair.stack().unlinked_count() == 0; }, 1000));
  CHECK(pair.stack().connection_count() == kConnections);
  for (auto* const connection : connections) {
    REQUIRE(connection->write(request));
  }
  CHECK(run(clock, {&client, &pair}, [&] {
    return std::all_of(connections.begin(), connections.end(),
                       [](Connection* one) { return one->bytes_received() >= 100; });
  }));
  CHECK(wire.resets == 0);
  CHECK_FALSE(pair.log_refused);
}

}  // namespace tandem::test
