// SPDX-License-Identifier: BSD-3-Clause
//
// The mirror as a whole, without processes: what a twin makes of the log when the primary dies anywhere in its turn.
#include <array>
#include <catch2/catch.hpp>

#include <cstring>

#include "pair.hpp"

using namespace pair_test;

namespace {

/// Runs until both streams are done; false when that takes more than `limit` turns.
bool finish(World& world, const std::vector<EchoClient*>& clients, int limit = 60'000) {
  for (int turn = 0; turn < limit; ++turn) {
    bool done = true;
    for (const EchoClient* client : clients) done = done && client->got == client->to_send;
    if (done) return true;
    world.step();
  }
  return false;
}

void check_exact(const World& world, const std::vector<EchoClient*>& clients) {
  for (const EchoClient* client : clients) {
    CHECK_FALSE(client->wrong);
    CHECK_FALSE(client->reset);
    CHECK(client->got == client->to_send);
  }
  CHECK(world.primary->stack().statistics().resets_sent == 0);
  CHECK(world.peer->stack().statistics().resets_received == 0);
}

}  // namespace

TEST_CASE("streams go on to the byte when the primary dies between two turns, again and again") {
  const bool v6 = GENERATE(false, true);
  const bool wants_stream = GENERATE(false, true);
  World world(v6, wants_stream);
  std::vector<EchoClient*> clients = {&world.connect(1, 2'000'000), &world.connect(2, 700'000), &world.connect(3, 10)};
  std::mt19937 random(5);
  for (int takeover = 0; takeover < 60; ++takeover) {
    world.attach();
    const unsigned turns = random() % 20;
    for (unsigned i = 0; i < turns; ++i) world.step();
    REQUIRE(world.take_over());
    CHECK(world.primary->device().census().missing == 0);
  }
  world.attach();
  REQUIRE(finish(world, clients));
  check_exact(world, clients);
}

TEST_CASE("nothing is lost at any step of the turn at which the primary dies") {
  World world;
  std::vector<EchoClient*> clients = {&world.connect(1, 20'000'000), &world.connect(2, 20'000'000)};
  std::mt19937 random(11);
  std::uint64_t deaths = 0;
  for (int takeover = 0; takeover < 400; ++takeover) {
    world.attach();
    // Deaths between the calls of the turn, and between any two stores into the rings and frame words.
    std::uint64_t until = random() % 300;
    const auto count_down = [&until] {
      if (until-- == 0) throw Death{};
    };
    world.wire.set_step_hook(world.our_port, [&](WireStep) { count_down(); });
    try {
      while (clients[0]->got != clients[0]->to_send || clients[1]->got != clients[1]->to_send) world.step(count_down);
      break;
    } catch (const Death&) {
      ++deaths;
    }
    REQUIRE(world.take_over());
    REQUIRE(world.primary->device().census().missing == 0);
  }
  CHECK(deaths > 100);
  if (!world.twin) world.attach();
  REQUIRE(finish(world, clients));
  check_exact(world, clients);
  // Nothing was lost, so nobody had to send anything again.
  CHECK(world.peer->stack().statistics().retransmissions == 0);
}

TEST_CASE("a twin's view of a stream is the primary's") {
  World world(false, true);
  EchoClient& client = world.connect(1, 500'000);
  world.attach();
  while (client.got < client.to_send) {
    world.step();
    world.twin->stack().for_each_connection([&](Connection& mirrored) {
      Connection* live = world.primary->stack().find(mirrored.id());
      REQUIRE(live != nullptr);
      CHECK(mirrored.bytes_consumed() == live->bytes_consumed());
      CHECK(mirrored.bytes_written() == live->bytes_written());
      CHECK(mirrored.export_connection() == live->export_connection());
      // One whose handshake is not complete has no handler yet, here or there.
      REQUIRE((mirrored.handler() == nullptr) == (live->handler() == nullptr));
      if (mirrored.handler() == nullptr) {
        CHECK(mirrored.state().phase == TcpPhase::syn_rcvd);
        return;
      }
      const auto& handler = dynamic_cast<const EchoServer&>(*mirrored.handler());
      CHECK(handler.consumed == handler.written);
    });
  }
}

TEST_CASE("a late joiner is complete although life went on while it was brought up") {
  World world;
  world.way = GENERATE(ha::SnapshotWay::in_live_log, ha::SnapshotWay::beside_live_log);
  std::vector<EchoClient*> clients;
  for (std::uint64_t i = 0; i < 12; ++i) clients.push_back(&world.connect(i, 400'000));
  for (int i = 0; i < 40; ++i) world.step();
  world.primary->join_bytes = 8192;
  world.begin_attach();
  int turns = 0;
  while (world.primary->joining()) {
    world.step();
    ++turns;
  }
  CHECK(turns > 3);
  REQUIRE(world.replica->error().empty());
  CHECK(world.replica->complete());
  world.twin->stack().for_each_connection([&](Connection& mirrored) {
    Connection* live = world.primary->stack().find(mirrored.id());
    REQUIRE(live != nullptr);
    CHECK(mirrored.export_connection() == live->export_connection());
  });
  REQUIRE(world.take_over());
  world.attach();
  REQUIRE(finish(world, clients));
  check_exact(world, clients);
}

TEST_CASE("a connection that is tagged late survives from then on, and an untagged one is shown to nobody") {
  World world;
  world.way = GENERATE(ha::SnapshotWay::in_live_log, ha::SnapshotWay::beside_live_log);
  EchoClient& tagged = world.connect(1, 900'000, kLateEcho);
  world.connect(2, 900'000, kLateEcho);
  std::uint16_t tagged_port = 0;
  world.peer->stack().for_each_connection([&](Connection& connection) {
    if (connection.handler() == &tagged) tagged_port = connection.local().port;
  });
  world.attach();
  for (int i = 0; i < 30; ++i) world.step();
  CHECK(world.twin->stack().connection_count() == 0);
  REQUIRE(tagged.got > 0);
  REQUIRE(tagged.got < tagged.to_send);
  world.primary->stack().for_each_connection([&](Connection& connection) {
    if (connection.remote().port == tagged_port) connection.replicate();
  });
  world.step();
  CHECK(world.twin->stack().connection_count() == 1);
  CHECK(world.replica->error().empty());
  REQUIRE(world.take_over());
  world.attach();
  // The one that was tagged goes on to its end; the other meets a stack that knows nothing of it and is reset. Its handler goes
  // with it, so the peer's counters are asked.
  for (int i = 0; i < 20'000 && tagged.got != tagged.to_send; ++i) world.step();
  CHECK(tagged.got == tagged.to_send);
  CHECK_FALSE(tagged.wrong);
  CHECK(world.peer->stack().statistics().resets_received == 1);
}

namespace {

/// The server's handler of the only connection.
EchoServer& server_of(Process& process) {
  EchoServer* found = nullptr;
  process.stack().for_each_connection(
      [&](Connection& connection) { found = dynamic_cast<EchoServer*>(connection.handler()); });
  REQUIRE(found != nullptr);
  return *found;
}

std::vector<std::uint8_t> long_state(std::size_t bytes) {
  std::vector<std::uint8_t> state(bytes);
  for (std::size_t i = 0; i < bytes; ++i) state[i] = stream_byte(9, i);
  return state;
}

}  // namespace

TEST_CASE("notes and a handler's saved state longer than a record reach the twin whole, one by one") {
  World world(false, false, std::size_t{32} << 20);
  world.way = GENERATE(ha::SnapshotWay::in_live_log, ha::SnapshotWay::beside_live_log);
  EchoClient& client = world.connect(1, 100);
  for (int i = 0; i < 100 && client.got != 100; ++i) world.step();
  server_of(*world.primary).state = long_state(5'000'001);
  world.attach();
  REQUIRE(world.replica->error().empty());
  REQUIRE(world.twin->stack().connection_count() == 1);
  CHECK(server_of(*world.twin).state == server_of(*world.primary).state);
  world.primary->stack().for_each_connection([&](Connection& connection) {
    CHECK(connection.note(text_bytes("short")));
    CHECK(connection.note(long_state(3'000'000)));
    CHECK(connection.note(text_bytes("behind")));
  });
  world.step();
  REQUIRE(world.replica->error().empty());
  const auto& notes = server_of(*world.twin).notes;
  REQUIRE(notes.size() == 3);
  CHECK(notes[1] == long_state(3'000'000));
  CHECK(notes[2].size() == 6);
  // Nothing of one that is too long.
  world.primary->stack().for_each_connection(
      [&](Connection& connection) { CHECK_FALSE(connection.note(long_state((std::size_t{8} << 20) + 1))); });
  CHECK(world.primary->overflowed().find("--log-size") != std::string::npos);
}

TEST_CASE("what is saved whole and takes several turns holds where it was begun") {
  World world(false, false, std::size_t{32} << 20);
  EchoClient& client = world.connect(1, 900'000);
  for (int i = 0; i < 40; ++i) world.step();
  REQUIRE(client.got < client.to_send);
  server_of(*world.primary).state = long_state(3'000'001);
  world.primary->join_bytes = 100'000;
  world.begin_attach();
  int turns = 0;
  for (; world.primary->joining(); ++turns) {
    world.step();
    REQUIRE(world.replica->error().empty());
  }
  CHECK(turns > 20);
  CHECK(world.replica->complete());
  CHECK(server_of(*world.twin).state == server_of(*world.primary).state);
  REQUIRE(world.take_over());
  world.attach();
  REQUIRE(finish(world, {&client}));
  check_exact(world, {&client});
}

TEST_CASE("a joiner goes no further in the live log than its snapshot says") {
  World world;
  EchoClient& client = world.connect(1, 400'000);
  for (int i = 0; i < 40; ++i) world.step();
  world.begin_attach();
  // Everything is there before it looks for the first time.
  ha::Replica& replica = *world.replica;
  std::unique_ptr<ha::Replica> aside = std::move(world.replica);
  for (int i = 0; i < 20; ++i) world.step();
  REQUIRE_FALSE(world.primary->joining());
  world.replica = std::move(aside);
  while (!replica.complete()) {
    const std::uint64_t before = replica.position();
    // A slice at a time.
    REQUIRE(replica.apply(world.group.group.published.load(), 0));
    REQUIRE((replica.complete() || replica.position() >= before));
  }
  REQUIRE(world.take_over());
  world.attach();
  REQUIRE(finish(world, {&client}));
  check_exact(world, {&client});
}

TEST_CASE("a snapshot's log that makes no sense is refused") {
  World world;
  world.connect(1, 100);
  for (int i = 0; i < 20; ++i) world.step();
  world.group.attach();
  ha::SnapshotLog log(std::size_t{1} << 20);
  ha::LogWriter& writer = log.writer();
  writer.set_epoch(world.epoch);
  world.twin = std::make_unique<Process>(world.clock, world.wire.attach(world.our_port), prefix("10.0.0.1/24"), false);
  const auto feed = [&log] {
    return std::make_unique<ha::SnapshotFeed>(ha::Descriptor(::dup(log.words_fd())),
                                              ha::Descriptor(::dup(log.ring_fd())));
  };
  ha::Replica replica(world.twin->stack(), world.node_, nullptr, world.group.reader(), world.epoch, feed());
  const std::uint64_t count = 0;
  const Bytes eight(reinterpret_cast<const std::uint8_t*>(&count), sizeof count);
  ha::LogWriter live = world.group.writer();
  live.set_epoch(world.epoch);
  live.publish(WireMark{});
  const std::uint64_t at = live.position();
  const Bytes where(reinterpret_cast<const std::uint8_t*>(&at), sizeof at);
  const auto refused = [&](std::string_view why) {
    writer.publish(WireMark{});
    CHECK_FALSE(replica.apply(at));
    INFO(replica.error());
    CHECK(replica.error().find(why) != std::string::npos);
    CHECK_FALSE(replica.complete());
  };
  SECTION("it does not say where it belongs") {
    writer.append(ha::RecordType::snapshot_begin, 0, {eight});
    refused("does not say where it belongs");
  }
  SECTION("it comes too late") {
    REQUIRE(replica.apply(at));
    writer.append(ha::RecordType::snapshot_at, 0, {eight});
    refused("comes too late");
  }
  SECTION("it is of another epoch") {
    writer.set_epoch(world.epoch + 1);
    writer.append(ha::RecordType::snapshot_at, 0, {where});
    refused("epoch");
  }
  SECTION("it holds within a transaction") {
    const std::uint64_t within = at - 8;
    writer.append(ha::RecordType::snapshot_at, 0, {{reinterpret_cast<const std::uint8_t*>(&within), sizeof within}});
    refused("");
  }
  SECTION("what is still to come is waited for") {
    const std::uint64_t later = at + 1024;
    writer.append(ha::RecordType::snapshot_at, 0, {{reinterpret_cast<const std::uint8_t*>(&later), sizeof later}});
    writer.publish(WireMark{});
    CHECK(replica.apply(at));
    CHECK(replica.position() == at);
    CHECK_FALSE(replica.complete());
  }
}

TEST_CASE("parts without their end, or of something else, are refused") {
  GroupFixture group(std::size_t{8} << 20);
  World world;
  group.attach();
  ha::LogWriter writer = group.writer();
  Process twin(world.clock, world.wire.attach(world.our_port), prefix("10.0.0.1/24"), false);
  ha::Replica replica(twin.stack(), world.node_, nullptr, group.reader(), 0);
  writer.append(ha::RecordType::part, 0, {text_bytes("half")});
  SECTION("of nothing") {}
  SECTION("of another note") { writer.append(ha::RecordType::note, 1, {text_bytes("of a connection")}); }
  SECTION("of what has no parts") { writer.append(ha::RecordType::snapshot_begin, 0, {text_bytes("12345678")}); }
  SECTION("of two") { writer.append(ha::RecordType::part, 1, {text_bytes("half")}); }
  writer.publish(0, 0);
  CHECK_FALSE(replica.apply(group.group.published.load()));
  CHECK(replica.error().find("parts") != std::string::npos);
}

TEST_CASE("a corrupt log yields an error, never a crash") {
  World world;
  world.way = ha::SnapshotWay::in_live_log;
  world.connect(1, 120'000);
  world.connect(2, 60'000);
  for (int i = 0; i < 5; ++i) world.step();
  world.begin_attach();
  const std::uint64_t from = world.group.group.published.load();
  // The twin that reads along is not asked; the bytes are kept.
  for (int i = 0; i < 60; ++i) {
    world.peer->turn();
    world.primary->turn();
    world.clock.now_ns += kMs / 10;
  }
  const std::uint64_t published = world.group.group.published.load();
  REQUIRE(published - from > 20'000);
  REQUIRE(published < world.group.log.size());
  const std::vector<std::uint8_t> good(world.group.log.data(), world.group.log.data() + published);

  std::mt19937_64 random(3);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::memcpy(world.group.log.data(), good.data(), good.size());
    for (unsigned i = 0; i <= random() % 6; ++i) {
      std::uint8_t* at = world.group.log.data() + from + random() % (published - from);
      switch (random() % 3) {
        case 0:
          *at = static_cast<std::uint8_t>(random());
          break;
        case 1:
          *at ^= static_cast<std::uint8_t>(1U << random() % 8);
          break;
        default:
          std::memset(at, static_cast<int>(random()), random() % 32);
          break;
      }
    }
    Process twin(world.clock, world.wire.attach(world.our_port), prefix("10.0.0.1/24"), false);
    ha::Replica replica(twin.stack(), world.node_, nullptr,
                        ha::LogReader(world.group.log.data(), world.group.log.size(), from), 1);
    if (!replica.apply(published)) {
      ++refused;
      CHECK_FALSE(replica.error().empty());
    }
  }
  CHECK(refused > 10);
  // A record's type and length cannot change without being noticed, whichever record it is.
  int headers = 0;
  for (std::uint64_t at = from; at < published;) {
    const auto header = ha::load<ha::RecordHeader>(Bytes(good).subspan(at));
    for (const bool type : {true, false}) {
      std::memcpy(world.group.log.data(), good.data(), good.size());
      ha::RecordHeader harmed = header;
      if (type) {
        harmed.type = 500;
      } else {
        harmed.length = UINT32_MAX;
      }
      std::memcpy(world.group.log.data() + at, &harmed, sizeof harmed);
      Process reader(world.clock, world.wire.attach(world.our_port), prefix("10.0.0.1/24"), false);
      ha::Replica harmed_replica(reader.stack(), world.node_, nullptr,
                                 ha::LogReader(world.group.log.data(), world.group.log.size(), from), 1);
      CHECK_FALSE(harmed_replica.apply(published));
    }
    ++headers;
    at += ha::record_bytes(header.length);
  }
  CHECK(headers > 20);
  // The same bytes unharmed are taken.
  std::memcpy(world.group.log.data(), good.data(), good.size());
  Process twin(world.clock, world.wire.attach(world.our_port), prefix("10.0.0.1/24"), false);
  ha::Replica replica(twin.stack(), world.node_, nullptr,
                      ha::LogReader(world.group.log.data(), world.group.log.size(), from), 1);
  CHECK(replica.apply(published));
  CHECK(replica.error().empty());
}

TEST_CASE("a transaction without the state that counts its bytes is refused") {
  World world;
  world.connect(1, 60'000);
  world.attach();
  for (int i = 0; i < 5; ++i) world.step();
  ConnectionId id = 0;
  world.twin->stack().for_each_connection([&](Connection& connection) { id = connection.id(); });
  REQUIRE(id != 0);
  const std::uint64_t from = world.group.group.published.load();
  ha::LogWriter writer = world.group.writer();
  writer.set_epoch(world.epoch);
  writer.append(ha::RecordType::received, id, {text_bytes("never counted")});
  writer.publish(0, 0);
  REQUIRE(world.group.group.published.load() > from);
  CHECK_FALSE(world.replica->apply(world.group.group.published.load()));
  CHECK(world.replica->error().find("without the state") != std::string::npos);
}

TEST_CASE(
    "the marks of several receive queues reach the twin with their transaction alone, and senseless ones are refused") {
  GroupFixture group(std::size_t{8} << 20);
  World world;
  group.attach();
  ha::LogWriter writer = group.writer();
  Process twin(world.clock, world.wire.attach(world.our_port), prefix("10.0.0.1/24"), false);
  ha::Replica replica(twin.stack(), world.node_, nullptr, group.reader(), 0);
  WireMark mark{7, 8};
  mark.more_queues = 3;
  mark.more_rx_indices = {9, 0xffff'ffff, 10};
  writer.publish(mark);
  REQUIRE(replica.apply(group.group.published.load()));
  CHECK(replica.mark() == mark);
  // The device was opened again, on a card with one queue.
  writer.publish(WireMark{1, 2});
  REQUIRE(replica.apply(group.group.published.load()));
  CHECK(replica.mark() == WireMark{1, 2});
  {
    const ha::RingMarksPrefix prefix_of{GENERATE(0U, 1U, 4U, 17U, 0xffff'ffffU), 0};
    const std::array<ha::RingMark, 2> too_few{};
    writer.append(ha::RecordType::ring_marks, 0,
                  {Bytes(reinterpret_cast<const std::uint8_t*>(&prefix_of), sizeof prefix_of),
                   Bytes(reinterpret_cast<const std::uint8_t*>(too_few.data()), sizeof too_few)});
    writer.publish(3, 4);
    CHECK_FALSE(replica.apply(group.group.published.load()));
    CHECK(replica.error().find("marks of a number of rings") != std::string::npos);
  }
}

TEST_CASE("unknown records are skipped when optional and refused when mandatory") {
  GroupFixture group(std::size_t{8} << 20);
  World world;
  group.attach();
  ha::LogWriter writer = group.writer();
  Process twin(world.clock, world.wire.attach(world.our_port), prefix("10.0.0.1/24"), false);
  const bool optional = GENERATE(true, false);
  const std::uint16_t number = optional ? 0x8000 | 500 : 500;
  ha::Replica replica(twin.stack(), world.node_, nullptr, group.reader(), 0);
  writer.append(static_cast<ha::RecordType>(number), 0, {text_bytes("of tomorrow")});
  writer.publish(0, 0);
  CHECK(replica.apply(group.group.published.load()) == optional);
  CHECK(replica.error().empty() == optional);
  CHECK(replica.skipped_records() == (optional ? 1 : 0));
}

TEST_CASE("what is published is applied in slices that end with a transaction, and the replica says where it is") {
  GroupFixture group(std::size_t{8} << 20);
  World world;
  group.attach();
  ha::LogWriter writer = group.writer();
  Process twin(world.clock, world.wire.attach(world.our_port), prefix("10.0.0.1/24"), false);
  ha::Replica replica(twin.stack(), world.node_, nullptr, group.reader(), 0);
  std::vector<std::uint64_t> ends;
  for (int i = 0; i < 100; ++i) {
    for (int note = 0; note < 10; ++note) writer.append(ha::RecordType::note, 0, {text_bytes("x")});
    writer.publish(0, 0);
    ends.push_back(writer.position());
  }
  // No time at all: one transaction a call, wholly.
  for (const std::uint64_t end : ends) {
    REQUIRE(replica.apply(group.group.published.load(), 0));
    CHECK(replica.position() == end);
  }
  CHECK(replica.transactions() == ends.size());
}

TEST_CASE("records that have grown at their end are read, and the tail is left") {
  GroupFixture group(std::size_t{8} << 20);
  World world;
  group.attach();
  ha::LogWriter writer = group.writer();
  Process twin(world.clock, world.wire.attach(world.our_port), prefix("10.0.0.1/24"), false);
  ha::Replica replica(twin.stack(), world.node_, nullptr, group.reader(), 0);
  ha::NeighbourRecord neighbour;
  neighbour.mac[5] = 9;
  neighbour.address[0] = 10;
  const Bytes as_it_was{reinterpret_cast<const std::uint8_t*>(&neighbour), sizeof neighbour};
  const std::uint64_t none[1] = {0};
  const Bytes count{reinterpret_cast<const std::uint8_t*>(none), sizeof none};
  writer.append(ha::RecordType::snapshot_begin, 0, {count, text_bytes("and more")});
  writer.append(ha::RecordType::neighbour, 0, {as_it_was, text_bytes("of tomorrow")});
  writer.append(ha::RecordType::snapshot_end, 0, {count, text_bytes("too")});
  writer.publish(0, 0);
  CHECK(replica.apply(group.group.published.load()));
  CHECK(replica.error().empty());
  CHECK(replica.complete());
  REQUIRE(twin.stack().neighbours().size() == 1);
  CHECK(twin.stack().neighbours()[0].mac.octets[5] == 9);

  // Shorter than the first layout is still refused.
  writer.append(ha::RecordType::neighbour, 0, {as_it_was.first(23)});
  writer.publish(0, 0);
  CHECK_FALSE(replica.apply(group.group.published.load()));
}

TEST_CASE("a transaction of another epoch is refused") {
  GroupFixture group(std::size_t{8} << 20);
  World world;
  group.attach();
  ha::LogWriter writer = group.writer();
  writer.set_epoch(4);
  Process twin(world.clock, world.wire.attach(world.our_port), prefix("10.0.0.1/24"), false);
  ha::Replica replica(twin.stack(), world.node_, nullptr, group.reader(), 3);
  writer.append(ha::RecordType::note, 0, {text_bytes("x")});
  writer.publish(0, 0);
  CHECK_FALSE(replica.apply(group.group.published.load()));
  CHECK(replica.error().find("epoch 4") != std::string::npos);
}
