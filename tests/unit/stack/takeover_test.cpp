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
  CHECK(flow->exact);
  CHECK_FALSE(flow->reset);
  CHECK(world.wire.resets == 0);
  CHECK_FALSE(world.pair.log_refused);
}

}  // namespace tandem::test
