// SPDX-License-Identifier: BSD-3-Clause
//
// on_reset and connect say why.
#include <catch2/catch.hpp>
#include <optional>

#include "streams.hpp"
#include "world.hpp"

namespace tandem::test {

namespace {

constexpr std::uint16_t kService = 7;
constexpr std::uint16_t kPort = 7000;

/// Keeps how its connection ended.
class Ending final : public Handler {
 public:
  struct Seen {
    bool connected = false;
    std::optional<EndReason> reset, closed;
    [[nodiscard]] bool over() const { return reset || closed; }
  };
  explicit Ending(std::shared_ptr<Seen> seen) : seen_(std::move(seen)) {}
  void on_connected(Connection&) override { seen_->connected = true; }
  void on_reset(Connection& connection) override { seen_->reset = connection.end_reason(); }
  void on_closed(Connection& connection) override { seen_->closed = connection.end_reason(); }

 private:
  std::shared_ptr<Seen> seen_;
};

struct World {
  explicit World(std::size_t max_connections = 100) {
    StackOptions of_client = options(clock, {"10.0.0.2/24"});
    of_client.max_connections = max_connections;
    client.emplace(wire, clock, mac(2), of_client);
    client->stack().define_service(kService, [this](Connection&) { return std::make_unique<Ending>(ours); });
    server.stack().define_service(kService, [this](Connection&) { return std::make_unique<Ending>(theirs); });
    server.stack().listen({IpAddress::any(4), kPort}, unreplicated, kService);
  }
  Connection* connect(const char* address, std::uint16_t port, const char* from = "0.0.0.0",
                      std::uint16_t service = kService) {
    return client->stack().connect(endpoint(from, 0), endpoint(address, port), unreplicated, service, &why);
  }
  bool run_until(const std::function<bool()>& done) { return run(clock, {&*client, &server}, done, 1'000'000); }

  Clock clock;
  Wire wire;
  Host server{wire, clock, mac(1), options(clock, {"10.0.0.1/24"})};
  std::optional<Host> client;
  std::shared_ptr<Ending::Seen> ours = std::make_shared<Ending::Seen>();
  std::shared_ptr<Ending::Seen> theirs = std::make_shared<Ending::Seen>();
  EndReason why = EndReason::unknown;
};

}  // namespace

TEST_CASE("a connection that was refused says so, and one that the peer resets later says that") {
  World world;
  REQUIRE(world.connect("10.0.0.1", kPort + 1) != nullptr);
  CHECK(world.why == EndReason::none);
  REQUIRE(world.run_until([&] { return world.ours->over(); }));
  CHECK(world.ours->reset == EndReason::refused);

  *world.ours = {};
  Connection* connection = world.connect("10.0.0.1", kPort);
  REQUIRE(connection != nullptr);
  REQUIRE(world.run_until([&] { return world.theirs->connected && world.ours->connected; }));
  CHECK(connection->end_reason() == EndReason::none);
  world.server.stack().for_each_connection([](Connection& other) { other.abort(); });
  REQUIRE(world.run_until([&] { return world.ours->over(); }));
  CHECK(world.ours->reset == EndReason::reset_by_peer);
  CHECK(world.theirs->reset == EndReason::aborted);
}

TEST_CASE("a connection that is closed in good order has no reason") {
  World world;
  Connection* connection = world.connect("10.0.0.1", kPort);
  REQUIRE(connection != nullptr);
  REQUIRE(world.run_until([&] { return world.ours->connected; }));
  connection->close();
  REQUIRE(world.run_until([&] { return world.ours->over() && world.theirs->over(); }));
  CHECK(world.ours->closed == EndReason::none);
  CHECK(world.theirs->closed == EndReason::none);
}

TEST_CASE("silence is told apart: somebody who does not answer, and nobody on the link") {
  World world;
  // ARP goes through, TCP does not.
  world.wire.lose = [](const Frame& frame) { return parse(frame).tcp; };
  REQUIRE(world.connect("10.0.0.1", kPort) != nullptr);
  REQUIRE(world.run_until([&] { return world.ours->over(); }));
  CHECK(world.ours->reset == EndReason::timed_out);

  *world.ours = {};
  REQUIRE(world.connect("10.0.0.77", kPort) != nullptr);
  REQUIRE(world.run_until([&] { return world.ours->over(); }));
  CHECK(world.ours->reset == EndReason::unreachable);
}

TEST_CASE("a connect that cannot begin says why") {
  World world;
  const auto refused = [&](const char* address, std::uint16_t port, const char* from = "0.0.0.0",
                           std::uint16_t service = kService) {
    world.why = EndReason::unknown;
    CHECK(world.connect(address, port, from, service) == nullptr);
    return world.why;
  };
  CHECK(refused("198.51.100.1", kPort) == EndReason::no_route);
  CHECK(refused("2001:db8::1", kPort, "::") == EndReason::no_address);
  CHECK(refused("10.0.0.1", kPort, "::") == EndReason::no_address);
  CHECK(refused("10.0.0.1", kPort, "10.0.0.9") == EndReason::no_address);
  CHECK(refused("10.0.0.1", 0) == EndReason::bad_remote);
  CHECK(refused("0.0.0.0", kPort) == EndReason::bad_remote);
  CHECK(refused("10.0.0.1", kPort, "0.0.0.0", 99) == EndReason::no_service);

  const auto from = endpoint("10.0.0.2", 5000), to = endpoint("10.0.0.1", kPort);
  REQUIRE(world.client->stack().connect(from, to, unreplicated, kService) != nullptr);
  CHECK(world.client->stack().connect(from, to, unreplicated, kService, &world.why) == nullptr);
  CHECK(world.why == EndReason::in_use);

  World small(1);
  REQUIRE(small.connect("10.0.0.1", kPort) != nullptr);
  CHECK(small.connect("10.0.0.1", kPort) == nullptr);
  CHECK(small.why == EndReason::limit);
}

TEST_CASE("every reason has words of its own") {
  std::vector<std::string_view> words;
  for (int i = 0; i <= static_cast<int>(EndReason::unknown); ++i) {
    const std::string_view text = to_string(static_cast<EndReason>(i));
    CHECK_FALSE(text.empty());
    CHECK(std::find(words.begin(), words.end(), text) == words.end());
    words.push_back(text);
  }
}

}  // namespace tandem::test
