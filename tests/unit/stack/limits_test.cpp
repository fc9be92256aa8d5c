// SPDX-License-Identifier: BSD-3-Clause
//
// What a crowd may make a stack keep, and how much work one host may make it do. What a peer sees of it is in tests/wire.
#include <catch2/catch.hpp>
#include <set>

#include "streams.hpp"
#include "world.hpp"

namespace tandem::test {

namespace {

constexpr std::uint16_t kServe = 7;
constexpr std::uint16_t kTalk = 1;
constexpr std::uint16_t kPort = 7000;

/// A server and a client, without replication.
struct Crowd {
  explicit Crowd(const std::function<void(StackOptions&)>& adjust = [](StackOptions&) {})
      : server(wire, clock, mac(1), adjusted("10.0.0.1/24", adjust)),
        client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"})) {
    client.stack().define_service(kTalk, [this](Connection&) { return std::make_unique<Talker>(flow); });
    flow->close_when_sent = false;
  }
  StackOptions adjusted(const char* address, const std::function<void(StackOptions&)>& adjust) {
    auto made = options(clock, {address});
    adjust(made);
    return made;
  }
  void serve(HandlerFactory factory) {
    server.stack().define_service(kServe, std::move(factory));
    server.stack().listen(endpoint("0.0.0.0", kPort), unreplicated, kServe);
  }
  Connection* open() {
    return client.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kPort), unreplicated, kTalk);
  }
  bool run_until(const std::function<bool()>& done, std::uint64_t limit_ms = 10'000) {
    return run(clock, {&client, &server}, done, limit_ms);
  }
  void settle() {
    run_until([] { return false; }, 300);
  }
  [[nodiscard]] const StackStatistics& figures() { return server.stack().statistics(); }

  Clock clock;
  Wire wire;
  std::shared_ptr<Flow> flow = std::make_shared<Flow>(1, 0);
  Host server;
  Host client;
};

/// Closes at once, so that TIME-WAIT is the server's.
struct ClosesFirst final : Handler {
  void on_connected(Connection& connection) override { connection.close(); }
};

struct Sink final : Handler {
  void on_receive(Connection& connection, Bytes unread) override { connection.consume(unread.size()); }
};

Connection& only_connection(Stack& stack) {
  Connection* found = nullptr;
  stack.for_each_connection([&](Connection& connection) { found = &connection; });
  REQUIRE(found != nullptr);
  return *found;
}

}  // namespace

TEST_CASE("connections in TIME-WAIT count against no limit of the others", "[limits]") {
  Crowd crowd([](StackOptions& made) { made.max_connections = 4; });
  crowd.serve([](Connection&) { return std::make_unique<ClosesFirst>(); });
  for (std::uint64_t i = 1; i <= 20; ++i) {
    REQUIRE(crowd.open() != nullptr);
    REQUIRE(crowd.run_until([&] { return crowd.figures().time_wait == i; }));
  }
  CHECK(crowd.figures().connections_opened == 20);
  CHECK(crowd.figures().connections_refused == 0);
  CHECK(crowd.wire.resets == 0);
}

TEST_CASE("TIME-WAIT has a bound of its own, and the oldest goes", "[limits]") {
  Crowd crowd([](StackOptions& made) { made.limits.time_wait = 8; });
  crowd.serve([](Connection&) { return std::make_unique<ClosesFirst>(); });
  std::vector<ConnectionId> in_order;
  for (std::uint64_t i = 1; i <= 20; ++i) {
    REQUIRE(crowd.open() != nullptr);
    REQUIRE(crowd.run_until([&] { return crowd.figures().connections_opened == i; }));
    for (const ConnectionId id : crowd.server.stack().connection_ids()) {
      if (in_order.empty() || id > in_order.back()) {
        in_order.push_back(id);
      }
    }
    crowd.settle();
  }
  CHECK(crowd.figures().time_wait == 8);
  CHECK(crowd.figures().time_wait_evicted == 12);
  const auto left = crowd.server.stack().connection_ids();
  CHECK(std::set<ConnectionId>(left.begin(), left.end()) == std::set<ConnectionId>(in_order.end() - 8, in_order.end()));
}

TEST_CASE("no handler is made before the peer has answered", "[limits]") {
  Crowd crowd;
  int made = 0;
  crowd.serve([&](Connection&) {
    ++made;
    return std::make_unique<Sink>();
  });
  REQUIRE(crowd.open() != nullptr);
  REQUIRE(crowd.run_until([&] { return made == 1; }));
  // SYN-ACKs are lost: whoever sends the SYNs is not there.
  crowd.wire.lose = [](const Frame& frame) {
    const auto segment = parse(frame);
    return segment.tcp && segment.syn() && segment.source.port == kPort;
  };
  for (int i = 0; i < 600; ++i) {
    REQUIRE(crowd.open() != nullptr);
  }
  crowd.settle();
  CHECK(made == 1);
  CHECK(crowd.figures().half_open == StackLimits{}.half_open);
  CHECK(crowd.server.stack().connection_count() == 1 + StackLimits{}.half_open);
  CHECK(crowd.figures().syn_cookies_sent >= 600 - StackLimits{}.half_open);
  crowd.wire.lose = nullptr;
  REQUIRE(crowd.open() != nullptr);
  CHECK(crowd.run_until([&] { return made >= 2; }, 5));
  CHECK(crowd.figures().syn_cookies_accepted >= 1);
}

TEST_CASE("a connection that a cookie has opened has all that was negotiated", "[limits]") {
  Crowd crowd([](StackOptions& made) { made.limits.half_open = 0; });
  Crowd kept;
  for (Crowd* const each : {&crowd, &kept}) {
    each->serve([](Connection&) { return std::make_unique<Echo>(); });
    each->flow->total = 300'000;
    REQUIRE(each->open() != nullptr);
    REQUIRE(each->run_until([&] { return each->flow->received == 300'000; }));
    CHECK(each->flow->exact);
  }
  CHECK(crowd.figures().syn_cookies_accepted == 1);
  CHECK(kept.figures().syn_cookies_accepted == 0);
  const TcpState by_cookie = only_connection(crowd.server.stack()).state();
  const TcpState by_state = only_connection(kept.server.stack()).state();
  constexpr auto kNegotiated = tcp_flag::kWindowScale | tcp_flag::kTimestamps | tcp_flag::kSack;
  CHECK((by_cookie.flags & kNegotiated) == kNegotiated);
  CHECK(by_cookie.snd_scale == by_state.snd_scale);
  CHECK(by_cookie.rcv_scale == by_state.rcv_scale);
  CHECK(by_cookie.mss == by_state.mss);
}

TEST_CASE("a cookie of the primary's opens the connection at its twin", "[limits][takeover]") {
  const auto moment = GENERATE(Pair::Moment::between_turns, Pair::Moment::before_publish, Pair::Moment::after_publish);
  Clock clock;
  Wire wire;
  auto made = options(clock, {"10.0.0.1/24"});
  made.limits.half_open = 0;
  Pair pair(wire, clock, mac(1), made, [](Stack& stack) {
    stack.define_service(kServe, [](Connection&) { return std::make_unique<Echo>(); });
    stack.listen(endpoint("10.0.0.1", kPort), replicated, kServe);
  });
  Host client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"}));
  const auto flow = std::make_shared<Flow>(1, 100'000);
  client.stack().define_service(kTalk, [&](Connection&) { return std::make_unique<Talker>(flow); });
  REQUIRE(client.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kPort), unreplicated, kTalk));
  REQUIRE(run(clock, {&client, &pair}, [&] { return pair.stack().statistics().syn_cookies_sent == 1; }));
  pair.kill(moment);
  CHECK(run(clock, {&client, &pair}, [&] { return flow->closed; }));
  CHECK(flow->received == 100'000);
  CHECK(flow->exact);
  CHECK(wire.resets == 0);
  CHECK_FALSE(pair.log_refused);
}

TEST_CASE("half-open connections count from the first moment of a takeover on", "[limits][takeover]") {
  const auto adoption = GENERATE(Stack::Adoption::exact, Stack::Adoption::kicked);
  Clock clock;
  Wire wire;
  Pair pair(wire, clock, mac(1), options(clock, {"10.0.0.1/24"}), [](Stack& stack) {
    stack.define_service(kServe, [](Connection&) { return std::make_unique<Sink>(); });
    stack.listen(endpoint("10.0.0.1", kPort), replicated, kServe);
  });
  Host client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"}));
  client.stack().define_service(kTalk, [](Connection&) { return std::make_unique<Sink>(); });
  wire.lose = [](const Frame& frame) {
    const auto segment = parse(frame);
    return segment.tcp && segment.syn() && segment.source.port == kPort;
  };
  const auto flood = [&] {
    for (std::size_t i = 0; i < StackLimits{}.half_open + 10; ++i) {
      REQUIRE(client.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kPort), unreplicated, kTalk));
    }
  };
  flood();
  REQUIRE(run(clock, {&client, &pair}, [&] { return pair.stack().statistics().half_open == StackLimits{}.half_open; }));
  run(
      clock, {&client, &pair}, [] { return false; }, 100);
  std::size_t at_first = 0;
  pair.on_activated = [&](Stack& stack) { at_first = stack.statistics().half_open; };
  pair.kill(Pair::Moment::between_turns, adoption);
  CHECK(at_first == StackLimits{}.half_open);
  flood();
  run(
      clock, {&client, &pair}, [] { return false; }, 100);
  CHECK(pair.stack().statistics().half_open == StackLimits{}.half_open);
  CHECK_FALSE(pair.log_refused);
}

TEST_CASE("ICMP errors have a limit", "[limits]") {
  Crowd crowd;
  const auto sender =
      crowd.client.stack().open_udp(endpoint("10.0.0.2", 5000), [](UdpEndpoint&, const Endpoint&, Bytes) {});
  const std::uint8_t byte = 1;
  std::uint64_t answers = 0;
  crowd.wire.watch = [&](const Frame& frame) {
    constexpr std::size_t kProtocolAt = 23;
    answers += frame.size() > kProtocolAt && frame[12] == 8 && frame[kProtocolAt] == 1 ? 1 : 0;
  };
  for (int i = 0; i < 1000; ++i) {
    sender->send(endpoint("10.0.0.1", 9), {&byte, 1});
    crowd.client.turn();
    crowd.server.turn();
  }
  CHECK(answers >= 1);
  CHECK(answers <= StackLimits{}.icmp_errors.at_once);
  CHECK(crowd.figures().icmp_errors_limited >= 900);
}

TEST_CASE("what arrives behind a hole is put at its place without a walk, and the hole is filled in one",
          "[limits][work]") {
  Crowd crowd([](StackOptions& made) { made.receive_window_bytes = std::size_t{8} << 20; });
  crowd.serve([](Connection&) { return std::make_unique<Sink>(); });
  auto* const connection = crowd.open();
  REQUIRE(connection != nullptr);
  REQUIRE(crowd.run_until([&] { return crowd.figures().connections_opened == 1; }));
  crowd.settle();
  const std::vector<std::uint8_t> bytes(3'000'000);
  const auto write_all = [&] {
    REQUIRE(connection->write(bytes));
    return [&, end = connection->bytes_written()] { return connection->bytes_acked() == end; };
  };
  REQUIRE(crowd.run_until(write_all()));
  // Of what comes now, the first segment is lost as often as it is sent.
  std::uint32_t first = 0;
  std::uint64_t arrived = 0;
  bool losing = true;
  crowd.wire.lose = [&](const Frame& frame) {
    const auto segment = parse(frame);
    if (!losing || segment.payload == 0 || segment.destination.port != kPort) {
      return false;
    }
    first = first == 0 ? segment.seq : first;
    arrived += segment.seq == first ? 0 : 1;
    return segment.seq == first;
  };
  const auto before = crowd.figures().tcp_steps;
  const auto all_is_there = write_all();
  REQUIRE(crowd.run_until([&] { return arrived >= 500; }));
  // One look at the last that was put in, one behind it, and the timers of one connection.
  CHECK(crowd.figures().tcp_steps - before <= 2 * arrived + 200);
  losing = false;
  CHECK(crowd.run_until(all_is_there));
}

TEST_CASE("a tick looks at no connection that has nothing to wait for", "[limits][work]") {
  Crowd crowd;
  crowd.serve([](Connection&) { return std::make_unique<Sink>(); });
  for (std::uint64_t i = 0; i < 500; ++i) {
    REQUIRE(crowd.open() != nullptr);
  }
  REQUIRE(crowd.run_until([&] { return crowd.figures().connections_opened == 500; }));
  crowd.settle();
  const auto before = crowd.figures().tcp_steps;
  for (int tick = 0; tick < 20; ++tick) {
    crowd.clock.advance_ms(50);
    crowd.server.turn();
  }
  CHECK(crowd.figures().tcp_steps - before <= 20);
}

}  // namespace tandem::test
