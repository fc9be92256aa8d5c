// SPDX-License-Identifier: BSD-3-Clause
//
// The log of one chassis in the ring of another, through a stream that is cut anywhere: real stacks at both ends (pair.hpp).
#include "log_stream.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <random>

#include "pair.hpp"

using namespace pair_test;
using Result = ha::FrameReader::Result;

namespace {

constexpr std::size_t kRingBytes = std::size_t{1} << 20;

/// What TCP does: bytes in their order, in pieces.
struct Stream {
  std::deque<std::uint8_t> bytes;

  void put(const ha::LogShipper::Shipment& shipment) {
    bytes.insert(bytes.end(), shipment.header.begin(), shipment.header.end());
    bytes.insert(bytes.end(), shipment.payload.begin(), shipment.payload.end());
  }
  void move(ha::FrameReader& reader, std::size_t most) {
    const std::size_t count = std::min(most, bytes.size());
    const std::vector<std::uint8_t> piece(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    reader.give(piece);
  }
};

/// A log that is written, and its copy on another box.
struct Boxes {
  Boxes() : here(kRingBytes), there(kRingBytes) {
    // Position 0 is 0 on both; what the reader there has taken is what the one here says.
    here.attach();
    there.attach();
  }
  ha::LogShipper shipper(ha::FrameKind kind = ha::FrameKind::log) {
    return {here.log.data(), here.log.size(), here.group.readers[0].position.load(), kind};
  }
  ha::LogReceiver receiver() {
    return {there.group.published, there.group.readers, there.log.data(), there.log.size()};
  }

  GroupFixture here, there;
};

ha::Frame frame_of(const ha::LogShipper::Shipment& shipment, ha::FrameReader& reader) {
  reader.give(shipment.header);
  reader.give(shipment.payload);
  ha::Frame frame;
  REQUIRE(reader.next(frame) == Result::frame);
  return frame;
}

void write(ha::LogWriter& writer, std::size_t bytes) {
  writer.append_bytes(ha::RecordType::received, 1, std::vector<std::uint8_t>(bytes, 7));
  writer.publish(1, 1);
}

}  // namespace

TEST_CASE("a twin that reads the copy has what one on the spot has, at each transaction") {
  std::minstd_rand random(GENERATE(range(1U, 9U)));
  World world(false, true);
  std::vector<EchoClient*> clients;
  world.attach();
  GroupFixture there(world.group.log.size());
  there.group.published.store(world.group.group.published.load());
  there.attach();
  Process remote(world.clock, world.wire.attach(world.our_port), prefix("10.0.0.1/24"), true);
  for (std::uint64_t i = 0; i < 6; ++i) clients.push_back(&world.connect(i, 150'000));
  ha::LogShipper shipper(world.group.log.data(), world.group.log.size(), world.group.group.published.load(),
                         ha::FrameKind::log);
  ha::LogReceiver receiver(there.group.published, there.group.readers, there.log.data(), there.log.size());
  ha::Replica replica(remote.stack(), world.node_, nullptr, there.reader(), world.epoch);
  ha::FrameReader reader;
  Stream stream;
  std::uint64_t compared = 0;
  for (int turn = 0; turn < 400; ++turn) {
    world.step();
    while (const auto shipment = shipper.next(world.group.group.published.load(), 8 + random() % 60'000))
      stream.put(*shipment);
    stream.move(reader, random() % 4 == 0 ? random() % 100 : 200'000);
    ha::Frame frame;
    Result result;
    while ((result = reader.next(frame)) == Result::frame) {
      REQUIRE(receiver.has_room(frame));
      REQUIRE(receiver.take(frame));
    }
    REQUIRE(result == Result::more_bytes);
    REQUIRE(replica.apply(there.group.published.load()));
    there.group.readers[0].position.store(replica.position());
    // Positions are equal everywhere, so that what either has at one of them can be compared.
    if (replica.position() != world.replica->position()) continue;
    world.twin->stack().for_each_connection([&](Connection& on_the_spot) {
      Connection* const mirrored = remote.stack().find(on_the_spot.id());
      REQUIRE(mirrored != nullptr);
      REQUIRE(mirrored->export_connection() == on_the_spot.export_connection());
      ++compared;
    });
  }
  CHECK(compared > 100);
  CHECK(receiver.position() + stream.bytes.size() + reader.left() >= shipper.position());
}

TEST_CASE("nothing is published before its transaction has come whole") {
  Boxes boxes;
  ha::LogWriter writer = boxes.here.writer();
  ha::LogShipper shipper = boxes.shipper();
  ha::LogReceiver receiver = boxes.receiver();
  ha::FrameReader reader;
  write(writer, 1000);
  const std::uint64_t published = boxes.here.group.published.load();
  int frames = 0;
  while (const auto shipment = shipper.next(published, 96)) {
    CHECK(boxes.there.group.published.load() == 0);
    REQUIRE(receiver.take(frame_of(*shipment, reader)));
    ++frames;
  }
  CHECK(frames > 8);
  CHECK(boxes.there.group.published.load() == published);
  CHECK(shipper.position() == published);
  CHECK_FALSE(shipper.next(published, 96));
}

TEST_CASE("the ring goes round, and a reader that stands still stops it") {
  Boxes boxes;
  ha::LogWriter writer = boxes.here.writer();
  ha::LogShipper shipper = boxes.shipper();
  ha::LogReceiver receiver = boxes.receiver();
  ha::FrameReader reader;
  std::uint64_t stopped_at = 0;
  for (int i = 0; i < 60; ++i) {
    write(writer, 100'000);
    boxes.here.group.readers[0].position.store(boxes.here.group.published.load());
    while (const auto shipment = shipper.next(boxes.here.group.published.load(), ha::kMaxFrameBytes)) {
      const ha::Frame frame = frame_of(*shipment, reader);
      if (!receiver.has_room(frame)) {
        REQUIRE(stopped_at == 0);
        stopped_at = receiver.position();
        // It goes on.
        boxes.there.group.readers[0].position.store(boxes.there.group.published.load());
        REQUIRE(receiver.has_room(frame));
      }
      REQUIRE(receiver.take(frame));
      // For most of the time it reads along.
      if (i < 5 || i > 20) boxes.there.group.readers[0].position.store(boxes.there.group.published.load());
    }
  }
  CHECK(stopped_at != 0);
  CHECK(boxes.there.group.published.load() == boxes.here.group.published.load());
  CHECK(std::memcmp(boxes.here.log.data(), boxes.there.log.data(), kRingBytes) == 0);
}

TEST_CASE("what does not follow is refused, and nobody reads any of it") {
  Boxes boxes;
  ha::LogWriter writer = boxes.here.writer();
  ha::LogShipper shipper = boxes.shipper();
  ha::LogReceiver receiver = boxes.receiver();
  ha::FrameReader reader;
  write(writer, 100);
  const std::uint64_t first = boxes.here.group.published.load();
  const auto one = *shipper.next(first, ha::kMaxFrameBytes);
  write(writer, 200);
  const auto two = *shipper.next(boxes.here.group.published.load(), ha::kMaxFrameBytes);
  SECTION("left out") {
    CHECK_FALSE(receiver.take(frame_of(two, reader)));
    CHECK(receiver.error().find("where 0 is next") != std::string::npos);
    CHECK(boxes.there.group.published.load() == 0);
  }
  SECTION("replayed") {
    REQUIRE(receiver.take(frame_of(one, reader)));
    CHECK_FALSE(receiver.take(frame_of(one, reader)));
    CHECK(boxes.there.group.published.load() == first);
    // An error stays one.
    CHECK_FALSE(receiver.take(frame_of(two, reader)));
  }
  SECTION("of a length that no log has") {
    const ha::Frame frame{static_cast<std::uint16_t>(ha::FrameKind::log), 0, 0, text_bytes("seven..")};
    CHECK_FALSE(receiver.take(frame));
    const ha::Frame empty{static_cast<std::uint16_t>(ha::FrameKind::log), 0, 0, {}};
    CHECK_FALSE(receiver.take(empty));
  }
  SECTION("more than there is room for") {
    boxes.there.group.readers[0].position.store(0);
    ha::LogReceiver full = boxes.receiver();
    const std::vector<std::uint8_t> much(ha::kMaxFrameBytes, 1);
    ha::Frame frame{static_cast<std::uint16_t>(ha::FrameKind::log), ha::kMoreFrames, 0, much};
    REQUIRE(full.has_room(frame));
    REQUIRE(full.take(frame));
    frame.value = much.size();
    frame.payload = Bytes(much).first(8);
    CHECK_FALSE(full.has_room(frame));
    CHECK_FALSE(full.take(frame));
    CHECK(boxes.there.group.published.load() == 0);
  }
}
