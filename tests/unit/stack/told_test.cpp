// SPDX-License-Identifier: BSD-3-Clause
//
// What handlers are told, and when: a twin's in exactly the order of the primary's, across connections; and of a FIN also those
// that have left bytes unread.
#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>
#include <limits>

#include "streams.hpp"
#include "world.hpp"

namespace tandem::test {

namespace {

constexpr std::uint16_t kService = 9;
constexpr std::uint16_t kTalk = 1;

/// All handlers of one stack, and what they were told and did, as text.
struct Book {
  std::vector<std::string> lines;
  std::vector<Connection*> members;
  bool answers_ends = true;  ///< whoever hears of an end says so to all the others
};

/// Takes whole messages of four bytes. Whatever it is told it tells all other connections, so that causes and effects stand on
/// different ones.
class Member final : public Handler {
 public:
  explicit Member(Book& book) : book_(book) {}
  void on_connected(Connection& connection) override { join(connection, "connected"); }
  void on_established(Connection& connection) override { add(connection, "connected"); }
  void on_receive(Connection& connection, Bytes unread) override {
    const std::size_t whole = unread.size() / 4 * 4;
    if (whole == 0) {
      return;
    }
    add(connection, "consumed " + std::to_string(whole));
    connection.consume(whole);
  }
  void on_consumed(Connection& connection, Bytes bytes) override {
    add(connection, "consumed " + std::to_string(bytes.size()));
  }
  void on_written(Connection& connection, Bytes bytes) override {
    add(connection, "written " + std::string(bytes.begin(), bytes.end()));
  }
  void on_eof(Connection& connection) override {
    end(connection, "eof with " + std::to_string(connection.unread().size()));
    connection.close();
  }
  void on_reset(Connection& connection) override { end(connection, "reset"); }
  void on_closed(Connection& connection) override { end(connection, "closed"); }
  void on_promote(Connection& connection) override { book_.members.push_back(&connection); }
  [[nodiscard]] bool wants_stream() const override { return true; }

 private:
  static std::string name(const Connection& connection) { return std::to_string(connection.remote().port % 100); }
  void add(Connection& connection, const std::string& what) { book_.lines.push_back(name(connection) + " " + what); }
  void tell_others(Connection& connection, const std::string& what) {
    if (connection.stack().is_dormant() || !book_.answers_ends) {
      return;
    }
    for (Connection* const other : book_.members) {
      if (other == &connection) {
        continue;
      }
      const std::string words = name(connection) + " " + what;
      if (other->write({reinterpret_cast<const std::uint8_t*>(words.data()), words.size()})) {
        add(*other, "written " + words);
      }
    }
  }
  void join(Connection& connection, const std::string& what) {
    add(connection, what);
    book_.members.push_back(&connection);
    tell_others(connection, what);
  }
  void end(Connection& connection, const std::string& what) {
    add(connection, what);
    std::erase(book_.members, &connection);
    tell_others(connection, what);
  }
  Book& book_;
};

struct Guild {
  Guild()
      : pair(wire, clock, mac(1), options(clock, {"10.0.0.1/24"}),
             [this](Stack& stack) {
               // Called for the primary, then for each twin. A promoted one goes on in its own book.
               Book& book = books.emplace_back();
               stack.define_service(kService, [this, &book](Connection&) {
                 book.answers_ends = !quiet;
                 return std::make_unique<Member>(book);
               });
               stack.listen(endpoint("10.0.0.1", kService), replicated, kService);
             }),
        client(wire, clock, mac(2), small_window()) {
    client.stack().define_service(kTalk, [this](Connection&) { return std::make_unique<Talker>(flow); });
    flow->close_when_sent = false;
  }
  StackOptions small_window() {
    StackOptions made = options(clock, {"10.0.0.2/24"});
    made.receive_window_bytes = 64 * 1024;
    return made;
  }
  Connection& open(std::uint16_t port) {
    const std::size_t before = ours.members.size();
    Connection* const made =
        client.stack().connect(endpoint("10.0.0.2", port), endpoint("10.0.0.1", kService), unreplicated, kTalk);
    REQUIRE(made != nullptr);
    REQUIRE(run(clock, {&client, &pair}, [&] { return ours.members.size() > before; }));
    settle();
    return *made;
  }
  static void say(Connection& connection, const std::string& words) {
    REQUIRE(connection.write({reinterpret_cast<const std::uint8_t*>(words.data()), words.size()}));
  }
  void settle() {
    run(
        clock, {&client, &pair}, [] { return false; }, 200);
  }
  /// All that the client has said and done until now reaches the pair in one turn.
  void deliver_together() {
    client.turn();
    clock.now_ns += 10 * kMs;
    pair.turn();
  }
  [[nodiscard]] std::vector<std::string> of(std::uint16_t port, const Book& book) const {
    std::vector<std::string> found;
    const std::string name = std::to_string(port % 100) + " ";
    for (const std::string& line : book.lines) {
      if (line.starts_with(name)) {
        found.push_back(line.substr(name.size()));
      }
    }
    return found;
  }

  Clock clock;
  Wire wire;
  std::deque<Book> books;
  bool quiet = false;
  Book& theirs() { return books.back(); }
  std::shared_ptr<Flow> flow = std::make_shared<Flow>(1, 0);
  Pair pair;
  Host client;
  Book& ours = books.front();  ///< of the first primary
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a twin is told of ends in the primary's order, across connections that end in one turn", "[told]") {
  Guild guild;
  Connection& a = guild.open(5001);
  Connection& b = guild.open(5002);
  Connection& c = guild.open(5003);
  guild.open(5004);
  REQUIRE(guild.theirs().lines == guild.ours.lines);
  Guild::say(b, "abcd");
  a.close();
  Guild::say(b, "efgh");
  c.abort();
  b.close();
  guild.deliver_together();
  CHECK(guild.theirs().lines == guild.ours.lines);
  CHECK(guild.of(5001, guild.ours) ==
        Lines{"connected", "written 2 connected", "written 3 connected", "written 4 connected", "eof with 0"});
  guild.settle();
  CHECK(guild.theirs().lines == guild.ours.lines);
  CHECK(guild.of(5003, guild.theirs()).back() == "reset");
  CHECK_FALSE(guild.pair.log_refused);
}

TEST_CASE("what a handler does about an end stands behind the end", "[told]") {
  Guild guild;
  Connection& a = guild.open(5001);
  guild.open(5002);
  SECTION("FIN") { a.close(); }
  SECTION("RST") { a.abort(); }
  guild.settle();
  CHECK(guild.theirs().lines == guild.ours.lines);
  const std::string last = guild.of(5002, guild.theirs()).back();
  CHECK((last == "written 1 closed" || last == "written 1 reset"));
  CHECK_FALSE(guild.pair.log_refused);
}

TEST_CASE("a handler that waits for the rest of a message learns that none will come", "[told]") {
  Guild guild;
  Connection& a = guild.open(5001);
  Connection& b = guild.open(5002);
  Guild::say(a, "abcdef");
  SECTION("FIN in the same turn") {}
  SECTION("FIN in a later turn") { guild.settle(); }
  a.close();
  guild.settle();
  const Lines expected{"connected", "written 2 connected", "consumed 4", "eof with 2", "closed"};
  CHECK(guild.of(5001, guild.ours) == expected);
  CHECK(guild.of(5001, guild.theirs()) == expected);
  CHECK_FALSE(guild.pair.log_refused);
  // What was not consumed is lost, and nothing else is.
  Guild::say(b, "ijkl");
  guild.settle();
  CHECK(guild.of(5002, guild.theirs()).back() == "consumed 4");
  CHECK(guild.wire.resets == 0);
}

TEST_CASE("a FIN behind half a message is told once, before or after a takeover", "[told]") {
  const auto moment = GENERATE(Pair::Moment::between_turns, Pair::Moment::before_publish, Pair::Moment::after_publish);
  const auto adoption = GENERATE(Stack::Adoption::exact, Stack::Adoption::kicked);
  CAPTURE(int(moment), int(adoption));
  Guild guild;
  guild.quiet = true;
  Connection& a = guild.open(5001);
  guild.open(5002);
  Guild::say(a, "ab");
  guild.settle();
  a.close();
  guild.client.turn();
  // The handlers of a promoted process are those of the twin.
  guild.pair.kill(moment, adoption);
  run(
      guild.clock, {&guild.client, &guild.pair}, [] { return false; }, 5000);
  // Twin number one has been promoted.
  const Lines lines = guild.of(5001, guild.books[1]);
  CHECK(std::count(lines.begin(), lines.end(), "eof with 2") == 1);
  CHECK_FALSE(guild.pair.log_refused);
  CHECK(guild.pair.stack().connection_count() == 1);
}

TEST_CASE("who is told turns later that it is connected is told once, on the twin and after a takeover too", "[told]") {
  Guild guild;
  guild.quiet = true;
  for (const std::uint16_t port : {5001, 5002, 5003}) {
    REQUIRE(
        guild.client.stack().connect(endpoint("10.0.0.2", port), endpoint("10.0.0.1", kService), unreplicated, kTalk));
  }
  // The deadline of each turn is over before it begins: one handler is served in each, and handshakes go on.
  const auto all_established = [&] {
    std::size_t count = 0;
    guild.pair.stack().for_each_connection(
        [&](Connection& one) { count += one.phase() == TcpPhase::established ? 1U : 0U; });
    return count == 3;
  };
  guild.pair.stack().set_turn_deadline(1);
  for (int i = 0; i < 100 && !all_established(); ++i) {
    guild.deliver_together();
  }
  REQUIRE(all_established());
  REQUIRE(guild.ours.lines.size() < 3);
  CHECK(guild.theirs().lines == guild.ours.lines);
  CHECK_FALSE(guild.pair.log_refused);
  const Book* last = &guild.ours;
  SECTION("without a death") { guild.pair.stack().set_turn_deadline(std::numeric_limits<std::uint64_t>::max()); }
  SECTION("the process dies in between") {
    guild.pair.kill(Pair::Moment::between_turns, GENERATE(Stack::Adoption::exact, Stack::Adoption::kicked));
    last = &guild.books[1];
  }
  guild.settle();
  for (const std::uint16_t port : {5001, 5002, 5003}) {
    CHECK(guild.of(port, *last) == Lines{"connected"});
  }
  CHECK_FALSE(guild.pair.log_refused);
}

TEST_CASE("a late joiner hears of an end that was told before, with the bytes that are unread", "[told]") {
  Guild guild;
  guild.quiet = true;
  Connection& a = guild.open(5001);
  Guild::say(a, "ab");
  guild.flow->reading = false;
  // Our FIN is held back by a peer that shuts its window, so that the connection is still there when the twin joins.
  Connection* const served = guild.ours.members.front();
  const std::vector<std::uint8_t> much(std::size_t{3} << 20, 0);
  while (served->write(much)) {
  }
  a.close();
  guild.settle();
  REQUIRE(guild.of(5001, guild.ours).back() == "eof with 2");
  guild.pair.kill(Pair::Moment::between_turns);
  REQUIRE(guild.pair.stack().connection_count() == 1);
  CHECK(guild.of(5001, guild.theirs()) == Lines{"eof with 2"});
  guild.settle();
  CHECK(guild.of(5001, guild.theirs()) == Lines{"eof with 2"});
  CHECK_FALSE(guild.pair.log_refused);
}

TEST_CASE("an echo that waits for room is not told of the end before it has answered everything", "[told]") {
  Clock clock;
  Wire wire;
  auto small = options(clock, {"10.0.0.1/24"});
  small.send_queue_bytes = 64 * 1024;
  Host server(wire, clock, mac(1), small);
  Host client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"}));
  server.stack().define_service(kService, [](Connection&) { return std::make_unique<Echo>(); });
  server.stack().listen(endpoint("10.0.0.1", kService), unreplicated, kService);
  const auto flow = std::make_shared<Flow>(1, 9'000'000);
  flow->reading = false;
  client.stack().define_service(kTalk, [flow](Connection&) { return std::make_unique<Talker>(flow); });
  Connection* const connection =
      client.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kService), unreplicated, kTalk);
  REQUIRE(connection != nullptr);
  REQUIRE(run(clock, {&client, &server}, [&] { return flow->sent > 4'000'000; }));
  run(
      clock, {&client, &server}, [] { return false; }, 500);
  flow->reading = true;
  const Bytes unread = connection->unread();
  for (std::size_t i = 0; i < unread.size(); ++i) {
    flow->exact = flow->exact && unread[i] == stream_byte(1, i);
  }
  flow->received = unread.size();
  connection->consume(unread.size());
  CHECK(run(clock, {&client, &server}, [&] { return flow->closed || flow->reset; }));
  CHECK(flow->received == flow->total);
  CHECK(flow->exact);
  CHECK(wire.resets == 0);
}

TEST_CASE("a record that tells a handler twice, or of what did not happen, is refused", "[told]") {
  Guild guild;
  guild.open(5001);
  Stack& twin = guild.pair.twin();
  Connection* mirrored = nullptr;
  twin.for_each_connection([&](Connection& one) { mirrored = &one; });
  REQUIRE(mirrored != nullptr);
  CHECK_FALSE(twin.mirror_told(*mirrored, Told::connected));
  CHECK_FALSE(twin.mirror_told(*mirrored, Told::closed));
  CHECK_FALSE(twin.mirror_told(*mirrored, static_cast<Told>(0)));
  CHECK_FALSE(twin.mirror_told(*mirrored, static_cast<Told>(4)));
  REQUIRE(twin.mirror_told(*mirrored, Told::eof));
  CHECK_FALSE(twin.mirror_told(*mirrored, Told::eof));
  CHECK_FALSE(twin.mirror_is_settled());
  // The state that follows knows of no FIN.
  CHECK_FALSE(twin.mirror_state(*mirrored, guild.ours.members.front()->state()));
}

}  // namespace tandem::test
