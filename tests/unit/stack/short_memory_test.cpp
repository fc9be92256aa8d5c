// SPDX-License-Identifier: BSD-3-Clause
//
// lwIP's allocations that fail. What is refused comes again; what was promised stays.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "streams.hpp"
#include "world.hpp"

namespace {

/// So many of lwIP's next allocations fail.
std::size_t failing_allocations = 0;

}  // namespace

// What malloc() is for lwIP here (CMakeLists.txt).
extern "C" void* __real_malloc(std::size_t bytes);
extern "C" void* __wrap_malloc(std::size_t bytes);
extern "C" void* __wrap_malloc(std::size_t bytes) {
  if (failing_allocations != 0) {
    --failing_allocations;
    return nullptr;
  }
  return __real_malloc(bytes);
}

// Where everything is linked statically, the library's operator new would take part in that. The address sanitizer has its own.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TANDEM_ADDRESS_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define TANDEM_ADDRESS_SANITIZER
#endif
#ifndef TANDEM_ADDRESS_SANITIZER
void* operator new(std::size_t bytes) {
  if (void* const block = __real_malloc(bytes)) {
    return block;
  }
  throw std::bad_alloc();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
#endif

namespace tandem::test {

namespace {

constexpr std::uint16_t kService = 7;
constexpr std::uint16_t kTalk = 1;

std::size_t connections_of(Stack& stack) {
  std::size_t count = 0;
  stack.for_each_connection([&](Connection&) { ++count; });
  return count;
}

/// A pair whose service closes first, so that its connections end in TIME-WAIT, and a client that remembers its FINs.
StackOptions with_neighbours(StackOptions options, std::size_t most) {
  options.max_neighbours = most;
  return options;
}

struct TimeWaitWorld {
  explicit TimeWaitWorld(std::size_t max_neighbours = StackOptions{}.max_neighbours)
      : pair(wire, clock, mac(1), with_neighbours(options(clock, {"10.0.0.1/24"}), max_neighbours),
             [this](Stack& stack) {
               stack.define_service(kService, [this](Connection&) {
                 return std::make_unique<Worker>(Task{1, 10, true}, outcome);
               });
               stack.listen(endpoint("10.0.0.1", kService), replicated, kService);
             }),
        client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"})) {
    client.stack().define_service(kTalk, [this](Connection&) {
      return std::make_unique<Worker>(Task{1, 10, false}, theirs);
    });
    wire.watch = [this](const Frame& frame) {
      const auto segment = parse(frame);
      if (segment.fin() && segment.destination.port == kService) {
        fins.push_back(frame);
      }
      acks += segment.tcp && segment.source.port == kService ? 1 : 0;
    };
  }

  void connect() {
    REQUIRE(client.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kService), unreplicated, kTalk));
  }
  bool run_until_closed(int count) {
    return run(clock, {&client, &pair},
               [&] { return theirs->closed == count && pair.stack().connection_count() == 0; });
  }
  /// Each FIN comes once more, as from a peer that did not get the last ACK: it is acknowledged.
  void repeat_fins() {
    for (const Frame& fin : std::vector<Frame>(fins)) {
      CAPTURE(parse(fin).source.port);
      acks = 0;
      pair.inbox.push_back(fin);
      pair.turn();
      CHECK(acks == 1);
      client.inbox.clear();
    }
    CHECK(wire.resets == 0);
  }

  Clock clock;
  Wire wire;
  std::shared_ptr<Outcome> outcome = std::make_shared<Outcome>();
  std::shared_ptr<Outcome> theirs = std::make_shared<Outcome>();
  std::vector<Frame> fins;
  std::size_t acks = 0;
  Pair pair;
  Host client;
};

}  // namespace

TEST_CASE("a SYN that finds no memory comes again, and ends no connection in TIME-WAIT", "[short_memory]") {
  TimeWaitWorld world;
  world.connect();
  REQUIRE(world.run_until_closed(1));
  world.connect();
  world.client.turn();
  REQUIRE(world.pair.inbox.size() == 1);
  failing_allocations = 1;
  world.pair.turn();
  CHECK(failing_allocations == 0);
  CHECK(world.pair.inbox.empty());
  CHECK(connections_of(world.pair.stack()) == 1);
  CHECK(connections_of(world.pair.twin()) == 1);
  // Its SYN is repeated after a second.
  CHECK(world.run_until_closed(2));
  CHECK(connections_of(world.pair.stack()) == 2);
  CHECK(connections_of(world.pair.twin()) == 2);
  world.repeat_fins();
  CHECK_FALSE(world.pair.log_refused);
}

TEST_CASE("a takeover that is short of memory brings every connection in TIME-WAIT along", "[short_memory]") {
  constexpr int kCount = 5;
  TimeWaitWorld world;
  for (int i = 1; i <= kCount; ++i) {
    world.connect();
    REQUIRE(world.run_until_closed(i));
  }
  REQUIRE(world.fins.size() == kCount);
  world.pair.kill(Pair::Moment::between_turns);
  SECTION("as the turns link them") {
    for (int i = 0; i < kCount; ++i) {
      failing_allocations = 1;
      world.pair.stack().link_some(1);
      CHECK(failing_allocations == 0);
      world.pair.stack().link_some(1);
    }
  }
  SECTION("as their peers' segments ask for them") {
    for (const Frame& fin : std::vector<Frame>(world.fins)) {
      failing_allocations = 1;
      world.acks = 0;
      world.pair.stack().input(world.pair.port().hold(fin));
      CHECK(failing_allocations == 0);
    }
  }
  world.pair.turn();
  CHECK(connections_of(world.pair.stack()) == kCount);
  world.repeat_fins();
  CHECK(connections_of(world.pair.twin()) == kCount);
  CHECK_FALSE(world.pair.log_refused);
}

TEST_CASE("a takeover that is short of memory knows the neighbours", "[short_memory]") {
  TimeWaitWorld world;
  world.connect();
  REQUIRE(world.run_until_closed(1));
  const auto known = world.pair.stack().neighbours();
  REQUIRE(known.size() == 1);
  // The first twin opens its listeners when it takes over and cannot do without memory, the second has them.
  world.pair.kill(Pair::Moment::between_turns);
  // And the next twin gets all that it asks for.
  world.pair.on_activated = [](Stack&) { failing_allocations = 0; };
  failing_allocations = 1'000'000;
  world.pair.kill(Pair::Moment::between_turns);
  CHECK(world.pair.stack().neighbours() == known);
  CHECK(world.pair.twin().neighbours() == known);
}

TEST_CASE("what an application does with a connection that a takeover has no memory for is not lost",
          "[short_memory]") {
  struct Quiet final : Handler {
    void on_writable(Connection&) override { ++asked; }
    int asked = 0;
  };
  Clock clock;
  Wire wire;
  Pair pair(wire, clock, mac(1), options(clock, {"10.0.0.1/24"}), [](Stack& stack) {
    stack.define_service(kService, [](Connection&) { return std::make_unique<Quiet>(); });
    stack.listen(endpoint("10.0.0.1", kService), replicated, kService);
  });
  Host client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"}));
  const auto theirs = std::make_shared<Outcome>();
  client.stack().define_service(kTalk, [&](Connection&) {
    return std::make_unique<Worker>(Task{1, 0, false}, theirs);
  });
  Connection* const at_client =
      client.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kService), unreplicated, kTalk);
  REQUIRE(at_client != nullptr);
  const ConnectionId id = at_client->id();
  REQUIRE(run(clock, {&client, &pair}, [&] { return theirs->connected == 1 && pair.stack().connection_count() == 1; }));
  pair.kill(Pair::Moment::between_turns);

  enum class Does { writes, closes, aborts };
  const auto does = GENERATE(Does::writes, Does::closes, Does::aborts);
  // The process in which it did so may die before there is memory. The twin knows of it from the snapshot that it got later, or from
  // the log.
  enum class Dies { no, knowing_twin_by_snapshot, knowing_twin_by_log };
  const auto dies = GENERATE(Dies::no, Dies::knowing_twin_by_snapshot, Dies::knowing_twin_by_log);
  const auto the_one = [](Stack& stack) {
    Connection* found = nullptr;
    stack.for_each_connection([&](Connection& connection) { found = &connection; });
    return found;
  };
  const auto act = [does](Connection& connection) {
    if (does == Does::closes) connection.close();
    if (does == Does::aborts) connection.abort();
  };
  // The listeners are there since the first takeover; of the second one every allocation fails.
  pair.on_activated = [&](Stack& stack) {
    Connection* const connection = the_one(stack);
    REQUIRE(connection != nullptr);
    const std::uint8_t byte = stream_byte(1, 0);
    CHECK(connection->writable() == 0);
    CHECK_FALSE(connection->write({&byte, 1}));
    if (dies != Dies::knowing_twin_by_log) act(*connection);
    if (dies == Dies::no) failing_allocations = 0;
  };
  pair.before_next_twin = [&] { failing_allocations = 0; };
  failing_allocations = 1'000'000;
  pair.kill(Pair::Moment::between_turns);
  REQUIRE(failing_allocations == 0);
  pair.on_activated = nullptr;
  if (dies != Dies::no) {
    failing_allocations = 1'000'000;
    if (dies == Dies::knowing_twin_by_log) act(*the_one(pair.stack()));
    pair.on_activated = [&](Stack&) { failing_allocations = 0; };
    pair.kill(Pair::Moment::after_publish);
    pair.on_activated = nullptr;
  }
  REQUIRE(failing_allocations == 0);

  if (does == Does::writes) {
    Connection* const connection = the_one(pair.stack());
    const auto& handler = static_cast<const Quiet&>(*connection->handler());
    CHECK(run(clock, {&client, &pair}, [&] { return handler.asked != 0; }));
    CHECK(connection->writable() != 0);
    const std::uint8_t byte = stream_byte(1, 0);
    CHECK(connection->write({&byte, 1}));
    CHECK(run(clock, {&client, &pair}, [&] { return client.stack().find(id)->bytes_received() == 1; }));
    CHECK(theirs->exact);
  } else if (does == Does::closes) {
    CHECK(run(clock, {&client, &pair}, [&] { return theirs->eof == 1 && theirs->closed == 1; }));
  } else {
    CHECK(run(clock, {&client, &pair}, [&] { return theirs->reset == 1; }));
  }
  CHECK_FALSE(pair.log_refused);
}

TEST_CASE("a neighbour that a takeover had no room for is in the twin when it comes back", "[short_memory]") {
  constexpr int kMirrored = 200;
  TimeWaitWorld world(64);
  for (int i = 3; i < 3 + kMirrored; ++i) {
    world.pair.twin().mirror_neighbour({ip("10.0.0." + std::to_string(i)), mac(static_cast<std::uint8_t>(i))});
  }
  world.pair.kill(Pair::Moment::between_turns);
  std::vector<Neighbour> lost;
  for (int i = 3; i < 3 + kMirrored; ++i) {
    const Neighbour neighbour{ip("10.0.0." + std::to_string(i)), mac(static_cast<std::uint8_t>(i))};
    const auto held = world.pair.stack().neighbours();
    if (std::find(held.begin(), held.end(), neighbour) == held.end()) {
      lost.push_back(neighbour);
    }
  }
  REQUIRE(!lost.empty());
  const Neighbour& back = lost.front();
  Host host(world.wire, world.clock, back.mac, options(world.clock, {back.address.to_string() + "/24"}));
  // Coming up it announces itself; a connection to the service makes it ask for the service's address as well.
  host.stack().define_service(kTalk, [](Connection&) { return std::make_unique<Echo>(); });
  REQUIRE(host.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kService), unreplicated, kTalk));
  const auto knows = [&](Stack& stack) {
    const auto held = stack.neighbours();
    return std::find(held.begin(), held.end(), back) != held.end();
  };
  CHECK(run(world.clock, {&host, &world.pair}, [&] { return knows(world.pair.stack()); }));
  CHECK(knows(world.pair.twin()));
}

}  // namespace tandem::test
