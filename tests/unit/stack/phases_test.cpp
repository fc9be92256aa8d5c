// SPDX-License-Identifier: BSD-3-Clause
//
// The whole life of a connection, and a kill at each turn of it.
#include <catch2/catch.hpp>
#include <set>

#include "streams.hpp"
#include "world.hpp"

namespace tandem::test {

namespace {

constexpr std::uint16_t kWork = 5;
constexpr std::uint16_t kPort = 5000;

struct Life {
  const char* name;
  bool pair_connects;
  Task pair;
  Task client;
};

// Of a task: seed, bytes to send, closes first, sends last.
const Life kLives[] = {
    {"accepted, the client closes first", false, {1, 9000, false}, {1, 7000, true}},
    {"accepted, the pair closes first", false, {1, 9000, true}, {1, 7000, false}},
    {"accepted, the client closes its half and listens on", false, {1, 200'000, false, true}, {1, 7000, true}},
    {"accepted, the pair closes its half and listens on", false, {1, 9000, true}, {1, 7000, false, true}},
    {"connected, the client closes first", true, {1, 3000, false}, {1, 20'000, true}},
    {"connected, the pair closes its half and listens on", true, {1, 3000, true}, {1, 20'000, false, true}},
    {"both close at once", false, {1, 500, true}, {1, 500, true}},
    {"nothing but a handshake and a close", false, {1, 0, true}, {1, 0, false}},
};

/// One life with a kill before the pair's turn `kill_at`; false when the life ends earlier.
struct LifeWorld {
  LifeWorld(const Life& life, std::uint8_t version)
      : address(version == 4 ? "10.0.0.1" : "2001:db8::1"),
        peer(version == 4 ? "10.0.0.2" : "2001:db8::2"),
        pair(wire, clock, mac(1), options(clock, {"10.0.0.1/24", "2001:db8::1/64"}),
             [&, task = life.pair](Stack& stack) {
               stack.define_service(kWork,
                                    [this, task](Connection&) { return std::make_unique<Worker>(task, pair_outcome); });
               if (!life.pair_connects) {
                 stack.listen(endpoint(address, kPort), replicated, kWork);
               }
             }),
        client(wire, clock, mac(2), options(clock, {"10.0.0.2/24", "2001:db8::2/64"})) {
    client.stack().define_service(
        kWork, [this, task = life.client](Connection&) { return std::make_unique<Worker>(task, client_outcome); });
    pair.batch = client.batch = 1;
    pair.on_activated = [this](Stack& stack) {
      stack.for_each_connection([&](Connection& connection) { killed_in.insert(connection.phase()); });
    };
    const Endpoint any{IpAddress::any(version), 0};
    if (life.pair_connects) {
      client.stack().listen(endpoint(peer, kPort), unreplicated, kWork);
      REQUIRE(pair.stack().connect(any, endpoint(peer, kPort), replicated, kWork) != nullptr);
    } else {
      REQUIRE(client.stack().connect(any, endpoint(address, kPort), unreplicated, kWork) != nullptr);
    }
  }

  Clock clock;
  Wire wire;
  std::string address, peer;
  std::shared_ptr<Outcome> pair_outcome = std::make_shared<Outcome>();
  std::shared_ptr<Outcome> client_outcome = std::make_shared<Outcome>();
  std::set<TcpPhase> killed_in;
  Pair pair;
  Host client;
};

}  // namespace

TEST_CASE("a kill at any turn of a connection's life leaves no trace", "[takeover][phases]") {
  const auto moment = GENERATE(Pair::Moment::between_turns, Pair::Moment::before_publish, Pair::Moment::after_publish);
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  std::set<TcpPhase> killed_in;
  for (const Life& life : kLives) {
    // The first run has no kill: how long does it take?
    std::uint64_t undisturbed_ms = 0;
    std::uint64_t kill_at = 0;
    for (bool ended = false; !ended; ++kill_at) {
      REQUIRE(kill_at < 1000);
      INFO(life.name << ", version " << int(version) << ", moment " << int(moment) << ", kill before turn " << kill_at);
      LifeWorld world(life, version);
      std::uint64_t turns = 0;
      const auto started = world.clock.now_ns;
      const auto done = [&] { return world.client_outcome->closed != 0 && world.pair_outcome->closed != 0; };
      run(
          world.clock, {&world.client, &world.pair},
          [&] {
            if (++turns == kill_at) {
              world.pair.kill(moment);
            }
            return done() || world.client_outcome->reset + world.pair_outcome->reset != 0;
          },
          30'000);
      ended = turns < kill_at;
      const auto took_ms = (world.clock.now_ns - started) / kMs;
      undisturbed_ms = kill_at == 0 ? took_ms : undisturbed_ms;
      REQUIRE(world.client_outcome->closed == 1);
      REQUIRE(world.client_outcome->reset == 0);
      REQUIRE(world.pair_outcome->reset == 0);
      REQUIRE(world.client_outcome->exact);
      REQUIRE(world.pair_outcome->exact);
      REQUIRE(world.wire.resets == 0);
      REQUIRE_FALSE(world.pair.log_refused);
      // No retransmission timeout was needed. A delayed ACK may come at another tick.
      REQUIRE(took_ms <= undisturbed_ms + 260);
      killed_in.insert(world.killed_in.begin(), world.killed_in.end());
    }
  }
  for (const auto phase :
       {TcpPhase::syn_sent, TcpPhase::syn_rcvd, TcpPhase::established, TcpPhase::fin_wait_1, TcpPhase::fin_wait_2,
        TcpPhase::close_wait, TcpPhase::last_ack, TcpPhase::closing, TcpPhase::time_wait}) {
    CAPTURE(to_string(phase));
    CHECK(killed_in.contains(phase));
  }
}

}  // namespace tandem::test
