// SPDX-License-Identifier: BSD-3-Clause
//
// What a twin holds and is shown, and what it refuses.
#include <algorithm>
#include <catch2/catch.hpp>

#include "streams.hpp"
#include "world.hpp"

namespace tandem::test {

namespace {

constexpr std::uint16_t kService = 9;
constexpr std::uint16_t kTalk = 1;

/// Remembers the calls it gets, as text.
class Diary final : public Handler {
 public:
  Diary(std::shared_ptr<std::vector<std::string>> lines, bool wants_stream)
      : lines_(std::move(lines)), wants_stream_(wants_stream) {}
  void on_opened(Connection& connection) override {
    lines_->push_back("opened " + std::to_string(connection.unread().size()));
  }
  void on_consumed(Connection&, Bytes bytes) override { lines_->push_back("consumed " + text(bytes)); }
  void on_written(Connection&, Bytes bytes) override { lines_->push_back("written " + text(bytes)); }
  void on_note(Connection& connection, Bytes bytes) override {
    lines_->push_back("note " + text(bytes) + " at " + std::to_string(connection.bytes_consumed()));
  }
  void on_receive(Connection& connection, Bytes unread) override {
    // Takes all but the last byte, answers, and leaves a note in between.
    if (unread.size() < 2) {
      return;
    }
    const auto taken = std::vector<std::uint8_t>(unread.begin(), unread.end() - 1);
    connection.consume(1);
    connection.note(Bytes(taken).first(1));
    connection.consume(taken.size() - 1);
    connection.write(taken);
  }
  void on_eof(Connection& connection) override {
    lines_->push_back("eof");
    connection.close();
  }
  void on_closed(Connection&) override { lines_->push_back("closed"); }
  void on_reset(Connection&) override { lines_->push_back("reset"); }
  void on_promote(Connection& connection) override {
    lines_->push_back("promoted " + std::to_string(connection.unread().size()));
  }
  [[nodiscard]] bool wants_stream() const override { return wants_stream_; }

 private:
  static std::string text(Bytes bytes) { return {bytes.begin(), bytes.end()}; }
  std::shared_ptr<std::vector<std::string>> lines_;
  bool wants_stream_;
};

struct DiaryWorld {
  explicit DiaryWorld(bool wants_stream)
      : pair(wire, clock, mac(1), options(clock, {"10.0.0.1/24"}),
             [this, wants_stream](Stack& stack) {
               stack.define_service(kService, [this, wants_stream](Connection& connection) {
                 return std::make_unique<Diary>(connection.stack().is_dormant() ? twin_lines : lines, wants_stream);
               });
               stack.listen(endpoint("10.0.0.1", kService), replicated, kService);
             }),
        client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"})) {
    client.stack().define_service(kTalk, [this](Connection&) { return std::make_unique<Talker>(flow); });
    flow->close_when_sent = false;
    flow->exact = true;
    connection = client.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kService), unreplicated, kTalk);
    REQUIRE(run(clock, {&client, &pair}, [&] { return flow->connected && pair.stack().connection_count() == 1; }));
    run(
        clock, {&client, &pair}, [] { return false; }, 300);
  }
  void say(const std::string& words) {
    REQUIRE(connection->write({reinterpret_cast<const std::uint8_t*>(words.data()), words.size()}));
    run(
        clock, {&client, &pair}, [] { return false; }, 300);
  }
  Connection& mirrored() {
    Connection* found = nullptr;
    pair.twin().for_each_connection([&](Connection& one) { found = &one; });
    REQUIRE(found != nullptr);
    return *found;
  }

  Clock clock;
  Wire wire;
  std::shared_ptr<std::vector<std::string>> lines = std::make_shared<std::vector<std::string>>();
  std::shared_ptr<std::vector<std::string>> twin_lines = std::make_shared<std::vector<std::string>>();
  std::shared_ptr<Flow> flow = std::make_shared<Flow>(1, 0);
  Pair pair;
  Host client;
  Connection* connection = nullptr;
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a handler that wants the stream is shown it in the primary's order and pieces", "[mirror]") {
  DiaryWorld world(true);
  world.say("abcd");
  world.say("efg");
  CHECK(world.mirrored().bytes_consumed() == 6);
  CHECK(world.mirrored().unread().size() == 1);
  world.connection->close();
  run(
      world.clock, {&world.client, &world.pair}, [] { return false; }, 300);
  CHECK_FALSE(world.pair.log_refused);
  CHECK(*world.twin_lines == Lines{"opened 0", "consumed a", "note a at 1", "consumed bc", "written abc", "consumed d",
                                   "note d at 4", "consumed ef", "written def", "eof", "closed"});
}

TEST_CASE("a handler that does not want the stream still finds notes and queues in place", "[mirror]") {
  DiaryWorld world(false);
  world.say("abcd");
  world.say("efg");
  CHECK_FALSE(world.pair.log_refused);
  CHECK(*world.twin_lines == Lines{"opened 0", "note a at 1", "note d at 4"});
  auto& mirrored = world.mirrored();
  CHECK(mirrored.bytes_received() == 7);
  CHECK(mirrored.bytes_consumed() == 6);
  CHECK(mirrored.bytes_written() == 6);
  CHECK(mirrored.unread().size() == 1);
  CHECK(mirrored.unread()[0] == 'g');
  world.pair.kill(Pair::Moment::between_turns);
  // The next twin learns the connection from a snapshot, with its unread byte.
  CHECK(world.twin_lines->back() == "opened 1");
  world.say("h");
  CHECK(std::count(world.twin_lines->begin(), world.twin_lines->end(), "promoted 1") == 1);
  CHECK(world.mirrored().bytes_consumed() == 7);
}

TEST_CASE("an abort reaches the twin's handler", "[mirror]") {
  DiaryWorld world(false);
  world.connection->abort();
  run(
      world.clock, {&world.client, &world.pair}, [] { return false; }, 300);
  CHECK(world.twin_lines->back() == "reset");
  CHECK(world.lines->back() == "reset");
  CHECK(world.pair.twin().connection_count() == 0);
  CHECK_FALSE(world.pair.log_refused);
}

TEST_CASE("a dormant connection does nothing that it is asked to", "[mirror]") {
  DiaryWorld world(false);
  world.say("abc");
  auto& mirrored = world.mirrored();
  const auto before = mirrored.export_connection();
  const std::vector<std::uint8_t> bytes(10);
  CHECK(mirrored.writable() == 0);
  CHECK_FALSE(mirrored.write(bytes));
  mirrored.consume(1);
  mirrored.close();
  mirrored.abort();
  mirrored.note(bytes);
  mirrored.set_no_delay(true);
  mirrored.set_keepalive(1, 1, 1);
  mirrored.replicate();
  CHECK(world.pair.twin().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.2", 1), replicated, kService) == nullptr);
  world.pair.twin().run_timers();
  world.pair.twin().run_handlers();
  world.pair.twin().end_turn();
  CHECK(mirrored.export_connection() == before);
  CHECK(world.pair.twin().next_timer_ns() == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("records that do not follow from what came before are refused and change nothing", "[mirror]") {
  DiaryWorld world(false);
  world.say("abcd");
  auto& twin = world.pair.twin();
  auto& mirrored = world.mirrored();
  const auto before = mirrored.export_connection();
  const std::vector<std::uint8_t> huge(32U << 20);
  CHECK_FALSE(twin.mirror_received(mirrored, huge));
  CHECK_FALSE(twin.mirror_written(mirrored, huge));
  CHECK_FALSE(twin.mirror_consumed(mirrored, 2));
  CHECK_FALSE(twin.mirror_skipped(mirrored, 1));  // something is unread: it cannot be skipped
  CHECK_FALSE(twin.mirror_out_of_order(mirrored, 1, huge, false));
  const auto small = Bytes(huge).first(10);
  CHECK_FALSE(twin.mirror_out_of_order(mirrored, before.state.rcv_nxt - 1, small, false));
  CHECK_FALSE(twin.mirror_out_of_order(mirrored, before.state.rcv_nxt + (1U << 30), small, false));
  const auto refused = [&](const std::function<void(TcpState&)>& spoil) {
    auto state = before.state;
    spoil(state);
    CHECK_FALSE(twin.mirror_state(mirrored, state));
  };
  refused([](TcpState& s) { s.bytes_written += 1, s.write_seq += 1; });
  refused([](TcpState& s) { s.bytes_received += 1, s.rcv_nxt += 1; });
  refused([](TcpState& s) { s.bytes_consumed += 1; });
  refused([](TcpState& s) { s.bytes_acked -= 1, s.snd_una -= 1; });
  refused([](TcpState& s) { s.iss += 1, s.write_seq += 1, s.snd_una += 1, s.snd_nxt += 1; });
  refused([](TcpState& s) { s.irs += 1, s.rcv_nxt += 1; });
  refused([](TcpState& s) { s.remote.port += 1; });
  refused([](TcpState& s) { s.mss = 0; });
  CHECK(mirrored.export_connection() == before);
  // An open of what exists already, by its id or by its ends, or of an unknown service.
  CHECK(twin.mirror_open(mirrored.id(), before) == nullptr);
  CHECK(twin.mirror_open(mirrored.id() + 1, before) == nullptr);
  auto other = before;
  other.state.remote.port += 1;
  other.service = 77;
  CHECK(twin.mirror_open(mirrored.id() + 1, other) == nullptr);
  other.service = kService;
  CHECK(twin.mirror_open(mirrored.id() + 1, other) != nullptr);
  twin.mirror_clear();
  CHECK(twin.connection_count() == 0);
  CHECK(twin.neighbours().empty());
  CHECK(twin.mirror_open(1, before) != nullptr);
}

TEST_CASE("bytes wait for the state that counts them before a twin may be activated", "[mirror]") {
  DiaryWorld world(false);
  world.say("abcd");
  auto& twin = world.pair.twin();
  auto& mirrored = world.mirrored();
  const std::vector<std::uint8_t> bytes(10);
  auto state = mirrored.state();
  CHECK(twin.mirror_is_settled());
  REQUIRE(twin.mirror_received(mirrored, bytes));
  CHECK_FALSE(twin.mirror_is_settled());
  state.rcv_nxt += 10;
  state.bytes_received += 10;
  REQUIRE(twin.mirror_state(mirrored, state));
  CHECK(twin.mirror_is_settled());
  REQUIRE(twin.mirror_written(mirrored, bytes));
  CHECK_FALSE(twin.mirror_is_settled());
  twin.mirror_close(mirrored, true);
  CHECK(twin.mirror_is_settled());
}

TEST_CASE("a connection that is tagged late is mirrored from then on", "[mirror]") {
  Clock clock;
  Wire wire;
  Pair pair(wire, clock, mac(1), options(clock, {"10.0.0.1/24"}), [](Stack& stack) {
    stack.define_service(kService, [](Connection&) { return std::make_unique<Echo>(); });
    stack.listen(endpoint("10.0.0.1", kService), unreplicated, kService);
  });
  Host client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"}));
  const auto flow = std::make_shared<Flow>(1, 3'000'000);
  client.stack().define_service(kTalk, [flow](Connection&) { return std::make_unique<Talker>(flow); });
  REQUIRE(client.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kService), unreplicated, kTalk));
  REQUIRE(run(clock, {&client, &pair}, [&] { return flow->received > 500'000; }));
  CHECK(pair.twin().connection_count() == 0);
  pair.stack().for_each_connection([](Connection& connection) {
    CHECK_FALSE(connection.is_replicated());
    connection.replicate();
    CHECK(connection.is_replicated());
  });
  REQUIRE(run(clock, {&client, &pair}, [&] { return flow->received > 1'000'000; }));
  CHECK(pair.twin().connection_count() == 1);
  // The twin lets go of what the peer has acknowledged.
  pair.twin().for_each_connection([](Connection& connection) {
    std::uint64_t kept = 0;
    connection.visit_send_queue(0, connection.bytes_written(), [&](Bytes piece) { kept += piece.size(); });
    CHECK(kept == connection.bytes_written() - connection.bytes_acked());
  });
  pair.kill(Pair::Moment::before_publish);
  CHECK(run(clock, {&client, &pair}, [&] { return flow->closed || flow->reset; }));
  CHECK(flow->received == 3'000'000);
  CHECK(flow->exact);
  CHECK_FALSE(pair.log_refused);
}

TEST_CASE("an exported connection goes on in another stack, without any twin", "[export]") {
  Clock clock;
  Wire wire;
  Port port(mac(1));
  const auto serve = [](Stack& stack) {
    stack.define_service(kService, [](Connection&) { return std::make_unique<Echo>(); });
    stack.listen(endpoint("10.0.0.1", kService), unreplicated, kService);
  };
  Host client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"}));
  const auto flow = std::make_shared<Flow>(1, 2'000'000);
  client.stack().define_service(kTalk, [flow](Connection&) { return std::make_unique<Talker>(flow); });
  auto first = std::make_unique<Host>(wire, clock, mac(1), options(clock, {"10.0.0.1/24"}));
  serve(first->stack());
  REQUIRE(client.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kService), unreplicated, kTalk));
  REQUIRE(run(clock, {&client, first.get()}, [&] { return flow->received > 500'000; }));
  std::vector<std::uint8_t> bytes;
  first->stack().for_each_connection(
      [&](Connection& connection) { encode_connection(connection.export_connection(), bytes); });
  wire.leave(*first);
  const auto image = decode_connection(bytes);
  REQUIRE(image);

  // Its clock is far behind; still no timestamp goes back.
  auto behind = options(clock, {"10.0.0.1/24"});
  behind.now_ns = [&clock] { return clock.now_ns - 500'000 * kMs; };
  Host second(wire, clock, mac(1), behind);
  std::uint32_t last_ts = image->state.ts_val;
  REQUIRE(last_ts != 0);
  wire.watch = [&](const Frame& frame) {
    const auto segment = parse(frame);
    if (segment.source.port == kService && segment.timestamps) {
      CHECK(static_cast<std::int32_t>(segment.ts_val - last_ts) >= 0);
      last_ts = segment.ts_val;
    }
  };
  std::string why;
  CHECK(second.stack().import_connection(*image, unreplicated, &why) == nullptr);
  CHECK(why == "the service is not defined");
  serve(second.stack());
  CHECK(second.stack().import_connection(*image, unreplicated, &why) != nullptr);
  CHECK(second.stack().import_connection(*image, unreplicated, &why) == nullptr);
  CHECK(why == "a connection between these two ends exists");
  CHECK(run(clock, {&client, &second}, [&] { return flow->closed || flow->reset; }));
  CHECK(flow->received == 2'000'000);
  CHECK(flow->exact);
  CHECK(wire.resets == 0);
}

TEST_CASE("neighbours are reported, and put in place before anything is sent", "[mirror]") {
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  CAPTURE(int(version));
  Clock clock;
  Wire wire;
  Pair pair(wire, clock, mac(1), options(clock, {"10.0.0.1/24", "2001:db8::1/64"}), [](Stack& stack) {
    stack.define_service(kService, [](Connection&) { return std::make_unique<Echo>(); });
    stack.listen({IpAddress::any(4), kService}, replicated, kService);
    stack.listen({IpAddress::any(6), kService}, replicated, kService);
  });
  Host client(wire, clock, mac(2), options(clock, {"10.0.0.2/24", "2001:db8::2/64"}));
  const auto flow = std::make_shared<Flow>(1, 1000);
  flow->close_when_sent = false;
  client.stack().define_service(kTalk, [flow](Connection&) { return std::make_unique<Talker>(flow); });
  REQUIRE(client.stack().connect({IpAddress::any(version), 0},
                                 endpoint(version == 4 ? "10.0.0.1" : "2001:db8::1", kService), unreplicated, kTalk));
  REQUIRE(run(clock, {&client, &pair}, [&] { return flow->received == 1000; }));
  run(
      clock, {&client, &pair}, [] { return false; }, 100);
  const Neighbour expected{ip(version == 4 ? "10.0.0.2" : "2001:db8::2"), mac(2)};
  const auto mirrored = pair.twin().neighbours();
  CHECK(std::find(mirrored.begin(), mirrored.end(), expected) != mirrored.end());
  // After an exact takeover nobody is asked and nothing is announced.
  std::size_t other_than_tcp = 0;
  wire.watch = [&](const Frame& frame) { other_than_tcp += parse(frame).tcp ? 0 : 1; };
  pair.kill(Pair::Moment::between_turns);
  pair.stack().for_each_connection([](Connection& connection) {
    const std::vector<std::uint8_t> bytes(100);
    CHECK(connection.write(bytes));
  });
  CHECK(run(
      clock, {&client, &pair}, [&] { return flow->received == 1100; }, 50));
  CHECK(other_than_tcp == 0);
}

}  // namespace tandem::test
