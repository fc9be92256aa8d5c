// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "streams.hpp"
#include "world.hpp"

namespace tandem::test {

namespace {

constexpr std::uint16_t kServe = 7;
constexpr std::uint16_t kTalk = 1;
constexpr std::uint16_t kListenPort = 7000;

/// A client and a server without any replication.
struct TwoHosts {
  explicit TwoHosts(std::function<void(StackOptions&)> adjust = [](StackOptions&) {})
      : server(wire, clock, mac(1), adjusted("10.0.0.1/24", "2001:db8::1/64", adjust)),
        client(wire, clock, mac(2), adjusted("10.0.0.2/24", "2001:db8::2/64", adjust)) {}

  StackOptions adjusted(const char* v4, const char* v6, const std::function<void(StackOptions&)>& adjust) {
    auto made = options(clock, {v4, v6});
    adjust(made);
    return made;
  }
  void serve(HandlerFactory factory, int backlog = 4096, std::uint8_t version = 4) {
    server.stack().define_service(kServe, std::move(factory));
    server.stack().listen({IpAddress::any(version), kListenPort}, unreplicated, kServe, backlog);
  }
  Connection* open(std::shared_ptr<Flow> flow, std::uint8_t version = 4) {
    client.stack().define_service(kTalk, [flow](Connection&) { return std::make_unique<Talker>(flow); });
    return client.stack().connect({IpAddress::any(version), 0},
                                  endpoint(version == 4 ? "10.0.0.1" : "2001:db8::1", kListenPort), unreplicated,
                                  kTalk);
  }
  bool run_until(const std::function<bool()>& done, std::uint64_t limit_ms = 60'000) {
    return run(clock, {&client, &server}, done, limit_ms);
  }

  Clock clock;
  Wire wire;
  Host server;
  Host client;
};

std::unique_ptr<Handler> echo(Connection&) { return std::make_unique<Echo>(); }

/// Notes what happens to it, and does only what it is told.
class Recorder final : public Handler {
 public:
  struct Seen {
    Connection* connection = nullptr;
    bool connected = false, eof = false, closed = false, reset = false, gone = false;
    std::uint64_t consumed = 0, writable_calls = 0;
    bool consume = true;
    bool close_on_eof = true;
  };
  explicit Recorder(std::shared_ptr<Seen> seen) : seen_(std::move(seen)) {}
  ~Recorder() override { seen_->gone = true; }
  void on_connected(Connection& connection) override {
    seen_->connected = true;
    seen_->connection = &connection;
  }
  void on_receive(Connection& connection, Bytes unread) override {
    if (seen_->consume) {
      seen_->consumed += unread.size();
      connection.consume(unread.size());
    }
  }
  void on_writable(Connection&) override { ++seen_->writable_calls; }
  void on_eof(Connection& connection) override {
    seen_->eof = true;
    if (seen_->close_on_eof) {
      connection.close();
    }
  }
  void on_closed(Connection&) override { seen_->closed = true; }
  void on_reset(Connection&) override { seen_->reset = true; }

 private:
  std::shared_ptr<Seen> seen_;
};

HandlerFactory recording(std::shared_ptr<Recorder::Seen> seen) {
  return [seen](Connection&) { return std::make_unique<Recorder>(seen); };
}

}  // namespace

TEST_CASE("bytes go to an echo service and come back", "[connection]") {
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  const std::uint64_t piece = GENERATE(1, 100, 1447, 4096, 300'000);
  CAPTURE(int(version), piece);
  TwoHosts hosts;
  hosts.serve(echo, 4096, version);
  const auto flow = std::make_shared<Flow>(1, piece == 1 ? 20'000 : 2'000'000);
  flow->piece = piece;
  REQUIRE(hosts.open(flow, version) != nullptr);
  CHECK(hosts.run_until([&] { return flow->closed; }));
  CHECK(flow->received == flow->total);
  CHECK(flow->exact);
  CHECK(hosts.wire.resets == 0);
  CHECK(hosts.server.port().held() == 0);
  CHECK(hosts.client.port().held() == 0);
}

TEST_CASE("a window of 4 MiB is announced and filled", "[connection]") {
  TwoHosts hosts;
  const auto seen = std::make_shared<Recorder::Seen>();
  seen->consume = false;
  hosts.serve(recording(seen));
  const auto flow = std::make_shared<Flow>(1, 8'000'000);
  flow->piece = 65536;
  auto* const connection = hosts.open(flow);
  REQUIRE(connection != nullptr);
  constexpr std::uint64_t kWindow = 4U << 20;
  CHECK(hosts.run_until([&] { return connection->bytes_acked() >= kWindow - 1500; }));
  CHECK(connection->bytes_acked() <= kWindow);
  CHECK(seen->connection->unread().size() == connection->bytes_acked());
}

TEST_CASE("lost frames are sent again and streams stay exact", "[connection]") {
  const std::uint64_t seed = GENERATE(range(1, 5));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  TwoHosts hosts;
  hosts.wire.lose = [&](const Frame&) { return random() % 100 < 3; };
  hosts.serve(echo);
  const auto flow = std::make_shared<Flow>(seed, 1'500'000);
  REQUIRE(hosts.open(flow) != nullptr);
  CHECK(hosts.run_until([&] { return flow->closed || flow->reset; }, 600'000));
  CHECK(flow->received == flow->total);
  CHECK(flow->exact);
  CHECK_FALSE(flow->reset);
  CHECK(hosts.server.port().held() == 0);
  CHECK(hosts.server.stack().statistics().retransmissions > 0);
}

TEST_CASE("without loss nothing is sent twice", "[connection]") {
  TwoHosts hosts;
  hosts.serve(echo);
  const auto flow = std::make_shared<Flow>(1, 1'000'000);
  REQUIRE(hosts.open(flow) != nullptr);
  CHECK(hosts.run_until([&] { return flow->closed; }));
  CHECK(hosts.server.stack().statistics().retransmissions == 0);
  CHECK(hosts.client.stack().statistics().retransmissions == 0);
  CHECK(hosts.client.stack().statistics().frames_out ==
        hosts.wire.frames - hosts.server.stack().statistics().frames_out);
}

TEST_CASE("after a half close the other half goes on", "[connection]") {
  TwoHosts hosts;
  const auto seen = std::make_shared<Recorder::Seen>();
  seen->close_on_eof = false;
  hosts.serve(recording(seen));
  const auto flow = std::make_shared<Flow>(1, 10'000);
  REQUIRE(hosts.open(flow) != nullptr);
  REQUIRE(hosts.run_until([&] { return seen->eof; }));
  CHECK(seen->connection->phase() == TcpPhase::close_wait);
  std::vector<std::uint8_t> answer(500'000);
  for (std::size_t i = 0; i < answer.size(); ++i) {
    answer[i] = stream_byte(1, i);
  }
  CHECK(seen->connection->write(answer));
  seen->connection->close();
  CHECK_FALSE(seen->connection->write(answer));
  CHECK(hosts.run_until([&] { return flow->closed && seen->closed; }));
  CHECK(flow->received == answer.size());
  CHECK(flow->exact);
  CHECK(flow->eof);
  CHECK(hosts.server.stack().connection_count() == 0);
  CHECK(hosts.client.stack().connection_count() == 0);
}

TEST_CASE("both ends may close at once", "[connection]") {
  TwoHosts hosts;
  const auto seen = std::make_shared<Recorder::Seen>();
  hosts.serve(recording(seen));
  const auto flow = std::make_shared<Flow>(1, 0);
  flow->close_when_sent = false;
  auto* const connection = hosts.open(flow);
  REQUIRE(hosts.run_until([&] { return seen->connected && flow->connected; }));
  connection->close();
  seen->connection->close();
  hosts.server.stack().run_handlers();
  hosts.client.stack().run_handlers();
  hosts.client.turn();
  hosts.server.turn();
  CHECK(hosts.run_until([&] { return flow->closed && seen->closed; }));
  CHECK(hosts.wire.resets == 0);
}

TEST_CASE("an abort resets the other end", "[connection]") {
  TwoHosts hosts;
  const auto seen = std::make_shared<Recorder::Seen>();
  hosts.serve(recording(seen));
  const auto flow = std::make_shared<Flow>(1, 1000);
  flow->close_when_sent = false;
  auto* const connection = hosts.open(flow);
  REQUIRE(hosts.run_until([&] { return seen->consumed == 1000; }));
  connection->abort();
  CHECK(hosts.run_until([&] { return seen->reset && flow->reset; }, 100));
  CHECK(seen->gone);
  CHECK(hosts.server.stack().connection_count() == 0);
  CHECK(hosts.server.stack().statistics().resets_received == 1);
  CHECK(hosts.client.stack().statistics().resets_sent == 1);
}

TEST_CASE("a connection to a closed port is reset", "[connection]") {
  TwoHosts hosts;
  const auto flow = std::make_shared<Flow>(1, 10);
  REQUIRE(hosts.open(flow) != nullptr);
  CHECK(hosts.run_until([&] { return flow->reset; }, 100));
  CHECK(hosts.client.stack().connection_count() == 0);
}

TEST_CASE("a factory that makes no handler refuses the connection with a reset", "[connection]") {
  TwoHosts hosts;
  hosts.serve([](Connection&) { return nullptr; });
  const auto flow = std::make_shared<Flow>(1, 10);
  REQUIRE(hosts.open(flow) != nullptr);
  CHECK(hosts.run_until([&] { return flow->reset; }, 100));
  CHECK(hosts.server.stack().statistics().connections_refused == 1);
  CHECK(hosts.server.stack().connection_count() == 0);
}

TEST_CASE("a closed window stops the sender, an opened one lets it go on", "[connection]") {
  TwoHosts hosts([](StackOptions& made) { made.receive_window_bytes = 65536; });
  const auto seen = std::make_shared<Recorder::Seen>();
  seen->consume = false;
  hosts.serve(recording(seen));
  const auto flow = std::make_shared<Flow>(1, 300'000);
  auto* const connection = hosts.open(flow);
  REQUIRE(hosts.run_until([&] { return connection->state().persist_backoff > 0; }));
  const auto stopped_at = connection->bytes_acked();
  CHECK(stopped_at <= 65536);
  hosts.run_until([] { return false; }, 5000);
  CHECK(connection->bytes_acked() <= 65536);
  seen->consume = true;
  seen->consumed += seen->connection->unread().size();
  seen->connection->consume(seen->connection->unread().size());
  CHECK(hosts.run_until([&] { return flow->closed; }));
  CHECK(seen->consumed == 300'000);
}

TEST_CASE("a write is all or nothing, and room is what writable says", "[connection]") {
  TwoHosts hosts([](StackOptions& made) { made.send_queue_bytes = 10'000; });
  const auto seen = std::make_shared<Recorder::Seen>();
  hosts.serve(recording(seen));
  const auto flow = std::make_shared<Flow>(1, 0);
  flow->close_when_sent = false;
  auto* const connection = hosts.open(flow);
  REQUIRE(connection != nullptr);
  CHECK(connection->writable() == 10'000);
  const std::vector<std::uint8_t> bytes(10'001);
  CHECK_FALSE(connection->write(bytes));
  CHECK(connection->bytes_written() == 0);
  CHECK(connection->write(Bytes(bytes).first(10'000)));
  CHECK(connection->writable() == 0);
  CHECK(hosts.run_until([&] { return seen->consumed == 10'000; }));
  CHECK(hosts.run_until([&] { return connection->writable() == 10'000; }));
  CHECK(connection->bytes_acked() == 10'000);
}

TEST_CASE("the write budget bounds a turn and the next one resumes", "[connection]") {
  TwoHosts hosts;
  hosts.serve([](Connection&) { return std::make_unique<Chargen>(3); });
  const auto flow = std::make_shared<Flow>(3, 0);
  flow->close_when_sent = false;
  REQUIRE(hosts.open(flow) != nullptr);
  std::uint64_t written = 0;
  CHECK(run(hosts.clock, {&hosts.client, &hosts.server}, [&] {
    std::uint64_t now = 0;
    hosts.server.stack().for_each_connection([&](Connection& connection) { now = connection.bytes_written(); });
    CHECK(now - written <= 8192);
    written = now;
    hosts.server.stack().set_write_budget(8192);
    return flow->received > 1'000'000;
  }));
  CHECK(flow->exact);
}

namespace {

/// Takes a while over each piece, and comes back when its turn's time is over.
struct Slow final : Handler {
  struct Seen {
    std::vector<ConnectionId> order;  ///< whose handler was called
    std::uint64_t consumed = 0;
  };
  Slow(Clock& clock, std::shared_ptr<Seen> seen, std::uint64_t cost_ns, std::size_t piece)
      : clock_(clock), seen_(std::move(seen)), cost_ns_(cost_ns), piece_(piece) {}
  void on_receive(Connection& connection, Bytes unread) override {
    seen_->order.push_back(connection.id());
    while (!unread.empty() && !connection.stack().out_of_time()) {
      const auto count = std::min(piece_, unread.size());
      clock_.now_ns += cost_ns_;
      seen_->consumed += count;
      connection.consume(count);
      unread = connection.unread();
    }
  }
  Clock& clock_;
  std::shared_ptr<Seen> seen_;
  std::uint64_t cost_ns_;
  std::size_t piece_;
};

}  // namespace

TEST_CASE("a handler with more to do than a turn has time for is cut in slices", "[connection][deadline]") {
  TwoHosts hosts;
  const auto seen = std::make_shared<Slow::Seen>();
  hosts.serve([&](Connection&) { return std::make_unique<Slow>(hosts.clock, seen, 100'000, 100); });
  const auto flow = std::make_shared<Flow>(1, 60'000);
  flow->close_when_sent = false;
  REQUIRE(hosts.open(flow) != nullptr);
  std::uint64_t longest_ns = 0;
  int turns = 0;
  for (; seen->consumed < 60'000 && turns < 10'000; ++turns) {
    hosts.client.turn();
    Stack& stack = hosts.server.stack();
    const std::uint64_t began_ns = hosts.clock.now_ns;
    stack.set_turn_deadline(began_ns + kMs);
    const bool busy = hosts.server.turn();
    longest_ns = std::max(longest_ns, hosts.clock.now_ns - began_ns);
    if (!busy) hosts.clock.advance_ms(1);
  }
  CHECK(seen->consumed == 60'000);
  // The work of 60 ms: no turn took more of it than its time and one piece.
  CHECK(longest_ns <= kMs + 100'000);
}

TEST_CASE("connections that a turn had no time for come first in the next one", "[connection][deadline]") {
  TwoHosts hosts;
  const auto seen = std::make_shared<Slow::Seen>();
  hosts.serve([&](Connection&) { return std::make_unique<Slow>(hosts.clock, seen, 400'000, 1000); });
  constexpr std::size_t kConnections = 8;
  std::vector<std::shared_ptr<Flow>> flows;
  std::vector<Connection*> opened;
  for (std::size_t i = 0; i < kConnections; ++i) {
    flows.push_back(std::make_shared<Flow>(1, 0));
    flows.back()->close_when_sent = false;
    opened.push_back(hosts.open(flows.back()));
    REQUIRE(opened.back() != nullptr);
  }
  REQUIRE(hosts.run_until([&] { return hosts.server.stack().connection_count() == kConnections; }));
  seen->order.clear();
  // Nobody has time while the bytes come in: they wait, and nobody is asked in vain.
  Stack& stack = hosts.server.stack();
  const std::vector<std::uint8_t> bytes(1000);
  for (Connection* const connection : opened) REQUIRE(connection->write(bytes));
  hosts.client.turn();
  stack.set_turn_deadline(hosts.clock.now_ns);
  CHECK(stack.out_of_time());
  hosts.server.turn();
  CHECK(seen->order.size() <= 1);
  seen->order.clear();
  for (std::size_t turn = 0; turn < kConnections && seen->consumed < kConnections * 1000; ++turn) {
    stack.set_turn_deadline(hosts.clock.now_ns + kMs);
    const bool more = stack.run_handlers();
    stack.end_turn();
    CHECK(more == (seen->consumed < kConnections * 1000));
  }
  CHECK(seen->consumed == kConnections * 1000);
  // Each of them once, or the one that was asked in vain twice.
  auto order = seen->order;
  std::sort(order.begin(), order.end());
  order.erase(std::unique(order.begin(), order.end()), order.end());
  CHECK(order.size() == kConnections);
  CHECK(seen->order.size() <= kConnections + 1);
}

TEST_CASE("the names of all connections are those of the connections, whichever of them close", "[connection]") {
  TwoHosts hosts;
  hosts.serve([](Connection&) { return std::make_unique<Echo>(); });
  Stack& stack = hosts.server.stack();
  const auto check = [&stack](std::size_t count) {
    std::vector<ConnectionId> seen;
    stack.for_each_connection([&](Connection& connection) { seen.push_back(connection.id()); });
    auto named = stack.connection_ids();
    std::sort(named.begin(), named.end());
    CHECK(named == seen);
    CHECK(std::adjacent_find(named.begin(), named.end()) == named.end());
    CHECK(named.size() == count);
    for (const ConnectionId id : named) CHECK(stack.find(id) != nullptr);
  };
  std::vector<Connection*> opened;
  for (std::size_t i = 0; i < 7; ++i) {
    const auto flow = std::make_shared<Flow>(1, 0);
    flow->close_when_sent = false;
    opened.push_back(hosts.open(flow));
    REQUIRE(opened.back() != nullptr);
    REQUIRE(hosts.run_until([&] { return stack.connection_count() == i + 1; }));
    check(i + 1);
  }
  // One in the middle, the last, the first.
  std::size_t left = opened.size();
  for (const std::size_t which : {3, 6, 0}) {
    opened[which]->abort();
    --left;
    REQUIRE(hosts.run_until([&] { return stack.connection_count() == left; }));
    check(left);
  }
}

TEST_CASE("who asks what the write budget leaves, and writes no more, is not asked again turn after turn",
          "[connection]") {
  struct Asks final : Handler {
    void on_writable(Connection& connection) override {
      ++asked;
      (void)connection.writable();
    }
    int asked = 0;
  };
  TwoHosts hosts;
  hosts.serve([](Connection&) { return std::make_unique<Asks>(); });
  const auto flow = std::make_shared<Flow>(1, 0);
  flow->close_when_sent = false;
  REQUIRE(hosts.open(flow) != nullptr);
  REQUIRE(hosts.run_until([&] { return hosts.server.stack().statistics().connections_opened == 1; }));
  Stack& stack = hosts.server.stack();
  Connection* connection = nullptr;
  stack.for_each_connection([&](Connection& found) { connection = &found; });
  REQUIRE(connection != nullptr);
  const std::uint8_t byte = 1;
  stack.set_write_budget(8192);
  REQUIRE(connection->write({&byte, 1}));
  // Others have taken of this turn's budget: the next one has more.
  CHECK(connection->writable() < 8192 - 32);
  CHECK(stack.run_handlers());
  stack.end_turn();
  bool more = true;
  int turns = 0;
  for (; more && turns < 10; ++turns) {
    stack.set_write_budget(8192);
    more = stack.run_handlers();
    stack.end_turn();
  }
  CHECK(turns == 1);
  CHECK(static_cast<const Asks*>(connection->handler())->asked >= 1);
}

TEST_CASE("many small writes take from the turn's budget what their records take", "[connection]") {
  TwoHosts hosts;
  hosts.serve(echo);
  auto* const connection = hosts.open(std::make_shared<Flow>(1, 0));
  REQUIRE(connection != nullptr);
  hosts.client.stack().set_write_budget(8192);
  std::size_t writes = 0;
  for (const std::uint8_t byte = 1; connection->write({&byte, 1});) {
    ++writes;
  }
  CHECK(writes == 8192 / 33);
}

TEST_CASE("a closed connection in SYN-SENT says nothing more", "[connection]") {
  TwoHosts hosts;
  hosts.serve(echo);
  hosts.wire.lose = [](const Frame& frame) { return parse(frame).tcp; };
  const auto flow = std::make_shared<Flow>(1, 0);
  auto* const connection = hosts.open(flow);
  REQUIRE(connection != nullptr);
  CHECK(connection->phase() == TcpPhase::syn_sent);
  connection->close();
  CHECK(hosts.run_until([&] { return flow->closed; }, 100));
  CHECK(hosts.client.stack().connection_count() == 0);
  CHECK(hosts.wire.resets == 0);
}

TEST_CASE("what was written before the connection is established follows the handshake", "[connection]") {
  TwoHosts hosts;
  hosts.serve(echo);
  const auto flow = std::make_shared<Flow>(5, 0);
  auto* const connection = hosts.open(flow);
  std::vector<std::uint8_t> bytes(5000);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = stream_byte(5, i);
  }
  CHECK(connection->write(bytes));
  connection->close();
  CHECK(hosts.run_until([&] { return flow->closed; }));
  CHECK(flow->received == 5000);
  CHECK(flow->exact);
}

TEST_CASE("no more connections than the limit, no more half-open ones than the backlog", "[connection]") {
  TwoHosts hosts([](StackOptions& made) { made.max_connections = 10; });
  hosts.serve(echo, 3);
  hosts.wire.lose = [](const Frame& frame) {
    const auto segment = parse(frame);
    return segment.tcp && !segment.syn();
  };
  const auto flow = std::make_shared<Flow>(1, 0);
  flow->close_when_sent = false;
  for (int i = 0; i < 5; ++i) {
    CHECK(hosts.open(flow) != nullptr);
  }
  hosts.run_until([] { return false; }, 200);
  CHECK(hosts.server.stack().connection_count() == 3);
  CHECK(hosts.server.stack().statistics().half_open == 3);
  CHECK(hosts.server.stack().statistics().syn_cookies_sent >= 2);
  CHECK(hosts.server.stack().statistics().connections_refused == 0);
  for (int i = 5; i < 10; ++i) {
    CHECK(hosts.open(flow) != nullptr);
  }
  CHECK(hosts.open(flow) == nullptr);
  CHECK(hosts.wire.resets == 0);
}

TEST_CASE("keepalive finds a peer that has gone", "[connection]") {
  TwoHosts hosts;
  hosts.serve(echo);
  const auto flow = std::make_shared<Flow>(1, 100);
  flow->close_when_sent = false;
  auto* const connection = hosts.open(flow);
  connection->set_keepalive(2000, 1000, 3);
  REQUIRE(hosts.run_until([&] { return flow->received == 100; }));
  hosts.run_until([] { return false; }, 20'000);
  CHECK_FALSE(flow->reset);
  hosts.wire.lose = [](const Frame&) { return true; };
  CHECK(hosts.run_until([&] { return flow->reset; }, 20'000));
}

TEST_CASE("a clamped window takes nothing back that was announced", "[connection]") {
  TwoHosts hosts;
  hosts.serve([](Connection&) { return std::make_unique<Chargen>(3); });
  const auto flow = std::make_shared<Flow>(3, 0);
  flow->close_when_sent = false;
  auto* const connection = hosts.open(flow);
  REQUIRE(hosts.run_until([&] { return flow->received > 100'000; }));
  std::uint32_t edge = connection->state().rcv_right_edge;
  hosts.client.stack().clamp_windows(20'000);
  CHECK(hosts.run_until([&] {
    const auto state = connection->state();
    CHECK(static_cast<std::int32_t>(state.rcv_right_edge - edge) >= 0);
    edge = state.rcv_right_edge;
    return edge - state.rcv_nxt <= 20'000;
  }));
  hosts.client.stack().clamp_windows(0);
  CHECK(hosts.run_until([&] { return connection->state().rcv_right_edge - connection->state().rcv_nxt > 1'000'000; }));
  CHECK(flow->exact);
}

TEST_CASE("a device without room delays packets and loses none", "[connection]") {
  TwoHosts hosts;
  hosts.serve(echo);
  hosts.server.port().room = 3;
  const auto flow = std::make_shared<Flow>(9, 500'000);
  REQUIRE(hosts.open(flow) != nullptr);
  const auto started = hosts.clock.now_ns;
  CHECK(hosts.run_until([&] { return flow->closed; }));
  CHECK(flow->received == 500'000);
  CHECK((hosts.clock.now_ns - started) / kMs < 1000);
  CHECK(hosts.server.stack().statistics().frames_out_dropped > 0);
}

TEST_CASE("a ping is answered, also at a second address", "[stack]") {
  Clock clock;
  Wire wire;
  Host host(wire, clock, mac(1), options(clock, {"10.0.0.1/24", "10.9.0.1/24"}));
  const std::string address = GENERATE("10.0.0.1", "10.9.0.1");
  auto peer_options = options(clock, {address == "10.0.0.1" ? "10.0.0.2/24" : "10.9.0.2/24"});
  Host peer(wire, clock, mac(2), peer_options);
  // lwIP has no ping of its own to send, so the request is made by hand from one that is answered: ARP first.
  const auto udp = peer.stack().open_udp({IpAddress::any(4), 0}, [](UdpEndpoint&, const Endpoint&, Bytes) {});
  REQUIRE(udp->send(endpoint(address, 9), {}));
  bool unreachable = false;
  CAPTURE(address);
  wire.watch = [&](const Frame& frame) {
    unreachable = unreachable || (frame[12] == 8 && frame[13] == 0 && frame[23] == 1 && frame[34] == 3);
  };
  run(
      clock, {&host, &peer}, [&] { return unreachable; }, 100);
  CHECK(unreachable);
  Frame ping{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 32, 0, 1, 0, 0, 64, 1, 0, 0};
  const auto source = ip(address == "10.0.0.1" ? "10.0.0.2" : "10.9.0.2");
  ping.insert(ping.end(), source.octets.begin(), source.octets.begin() + 4);
  const auto target = ip(address);
  ping.insert(ping.end(), target.octets.begin(), target.octets.begin() + 4);
  const std::size_t icmp = ping.size();
  ping.insert(ping.end(), {8, 0, 0, 0, 1, 2, 3, 4, 'p', 'i', 'n', 'g'});
  const auto checksum = [&](std::size_t begin, std::size_t end, std::size_t at) {
    std::uint32_t sum = 0;
    for (std::size_t i = begin; i < end; i += 2) {
      sum += std::uint32_t{ping[i]} << 8 | ping[i + 1];
    }
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
    ping[at] = static_cast<std::uint8_t>(sum >> 8);
    ping[at + 1] = static_cast<std::uint8_t>(sum);
  };
  checksum(14, 34, 24);
  checksum(icmp, ping.size(), icmp + 2);
  bool answered = false;
  wire.watch = [&](const Frame& frame) {
    answered = answered || (frame[23] == 1 && frame[34] == 0 && frame.back() == 'g');
  };
  host.inbox.push_back(ping);
  run(
      clock, {&host, &peer}, [&] { return answered; }, 100);
  CHECK(answered);
}

TEST_CASE("datagrams go both ways on both IP versions", "[udp]") {
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  const std::size_t size = GENERATE(0U, 1U, 1400U, 9000U, 60'000U);
  CAPTURE(int(version), size);
  TwoHosts hosts;
  std::vector<std::uint8_t> back;
  bool answered = false;
  const auto server = hosts.server.stack().open_udp(
      {IpAddress::any(version), 9000},
      [](UdpEndpoint& endpoint, const Endpoint& from, Bytes datagram) { CHECK(endpoint.send(from, datagram)); });
  CHECK_THROWS_AS(hosts.server.stack().open_udp({IpAddress::any(version), 9000}, nullptr), std::runtime_error);
  const auto client = hosts.client.stack().open_udp({IpAddress::any(version), 0},
                                                    [&](UdpEndpoint&, const Endpoint& from, Bytes datagram) {
                                                      CHECK(from.port == 9000);
                                                      back.assign(datagram.begin(), datagram.end());
                                                      answered = true;
                                                    });
  std::vector<std::uint8_t> sent(size);
  for (std::size_t i = 0; i < size; ++i) {
    sent[i] = stream_byte(4, i);
  }
  const auto to = endpoint(version == 4 ? "10.0.0.1" : "2001:db8::1", 9000);
  // A first small one resolves the neighbour: lwIP's queue holds few fragments for an unresolved address.
  REQUIRE(client->send(to, {}));
  REQUIRE(hosts.run_until([&] { return answered; }, 1000));
  answered = false;
  REQUIRE(client->send(to, sent));
  CHECK(hosts.run_until([&] { return answered; }, 1000));
  CHECK(back == sent);
  CHECK_FALSE(client->send(to, std::vector<std::uint8_t>(65'508)));
  CHECK(hosts.server.port().held() == 0);
}

TEST_CASE("random and mutated frames crash nothing and hold nothing", "[stack]") {
  const std::uint64_t seed = GENERATE(range(1, 6));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  TwoHosts hosts;
  hosts.serve(echo);
  std::vector<Frame> seen;
  hosts.wire.watch = [&](const Frame& frame) {
    if (seen.size() < 400) {
      seen.push_back(frame);
    }
  };
  const auto flow = std::make_shared<Flow>(seed, 100'000);
  REQUIRE(hosts.open(flow) != nullptr);
  hosts.run_until([&] { return flow->closed; });
  REQUIRE(!seen.empty());
  for (int i = 0; i < 20'000; ++i) {
    Frame frame = seen[random() % seen.size()];
    for (auto flips = random() % 6; flips != 0; --flips) {
      frame[random() % frame.size()] = static_cast<std::uint8_t>(random());
    }
    if (random() % 4 == 0) {
      frame.resize(random() % (frame.size() + 1));
    }
    hosts.server.stack().input(hosts.server.port().hold(frame));
    if (i % 64 == 0) {
      hosts.clock.advance_ms(10);
      hosts.server.turn();
    }
  }
  hosts.run_until([] { return false; }, 40'000);
  CHECK(hosts.server.port().held() == 0);
  const auto& counters = hosts.server.stack().statistics();
  CHECK(counters.ip_malformed + counters.checksum_errors > 0);
}

TEST_CASE("options that contradict themselves are refused", "[stack]") {
  Clock clock;
  Port port(mac(1));
  const auto refused = [&](const std::function<void(StackOptions&)>& spoil) {
    auto spoilt = options(clock, {"10.0.0.1/24"});
    spoil(spoilt);
    CHECK_THROWS_AS(Stack(spoilt, port), std::invalid_argument);
  };
  refused([](StackOptions& o) { o.now_ns = nullptr; });
  refused([](StackOptions& o) { o.receive_window_bytes = 65535; });
  refused([](StackOptions& o) { o.receive_window_bytes = std::size_t{1} << 30; });
  refused([](StackOptions& o) { o.send_queue_bytes = 0; });
  refused([](StackOptions& o) { o.max_connections = 0; });
  refused([](StackOptions& o) { o.addresses.push_back(o.addresses.front()); });
  refused([](StackOptions& o) { o.addresses.front().length = 33; });
  refused([](StackOptions& o) { o.gateways = {ip("10.0.0.254"), ip("10.0.0.253")}; });
  refused([](StackOptions& o) { o.gateways = {ip("2001:db8::ffff")}; });
  Stack stack(options(clock, {"10.0.0.1/24"}), port);
  stack.define_service(1, echo);
  CHECK_THROWS_AS(stack.listen(endpoint("10.0.0.9", 1), unreplicated, 1), std::runtime_error);
  CHECK_THROWS_AS(stack.listen(endpoint("10.0.0.1", 0), unreplicated, 1), std::runtime_error);
  CHECK_THROWS_AS(stack.listen(endpoint("10.0.0.1", 1), unreplicated, 2), std::runtime_error);
  stack.listen(endpoint("10.0.0.1", 1), unreplicated, 1);
  CHECK_THROWS_AS(stack.listen({IpAddress::any(4), 1}, unreplicated, 1), std::runtime_error);
  stack.unlisten(endpoint("10.0.0.1", 1));
  CHECK_NOTHROW(stack.listen({IpAddress::any(4), 1}, unreplicated, 1));
}

TEST_CASE("off-link destinations go to the gateway", "[stack]") {
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  CAPTURE(int(version));
  Clock clock;
  Wire wire;
  auto with_gateway = options(clock, {"10.0.0.2/24", "2001:db8::2/64"});
  with_gateway.gateways = {ip("10.0.0.1"), ip("2001:db8::1")};
  Host gateway(wire, clock, mac(1), options(clock, {"10.0.0.1/24", "2001:db8::1/64"}));
  Host host(wire, clock, mac(2), with_gateway);
  const auto target = ip(version == 4 ? "192.0.2.9" : "2001:db8:ffff::9");
  const auto udp = host.stack().open_udp({IpAddress::any(version), 0}, nullptr);
  bool seen = false;
  wire.watch = [&](const Frame& frame) {
    const std::size_t at = version == 4 ? 30 : 38;
    seen = seen ||
           (frame[5] == 1 && frame.size() > at + 16 &&
            std::equal(target.bytes().begin(), target.bytes().end(), frame.begin() + static_cast<std::ptrdiff_t>(at)));
  };
  const std::vector<std::uint8_t> datagram(20, 1);
  CHECK(udp->send({target, 9}, datagram));
  CHECK(run(
      clock, {&host, &gateway}, [&] { return seen; }, 1000));
}

}  // namespace tandem::test
