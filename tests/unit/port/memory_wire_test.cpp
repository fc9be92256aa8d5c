// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/memory_wire.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>

namespace tandem {
namespace {

using Packet = std::vector<std::uint8_t>;

constexpr MacAddress kA{{2, 0, 0, 0, 0, 1}}, kB{{2, 0, 0, 0, 0, 2}}, kC{{2, 0, 0, 0, 0, 3}};

Packet packet(std::uint8_t number) { return Packet(60, number); }

void stage(Device& device, const Packet& content) {
  const auto room = device.tx_reserve(static_cast<std::uint32_t>(content.size()));
  REQUIRE(room.size() == content.size());
  std::copy(content.begin(), content.end(), room.begin());
  device.tx_stage();
}

void send(Device& device, const Packet& content) {
  stage(device, content);
  device.tx_release(device.mark().tx_index);
  device.refill();
}

std::vector<Packet> receive(Device& device) {
  std::vector<Packet> packets;
  std::array<RxFrame, 16> frames;
  for (const RxFrame& frame : std::span(frames).first(device.rx_peek(frames))) {
    packets.emplace_back(frame.bytes.begin(), frame.bytes.end());
    device.rx_done(frame.cookie);
  }
  device.rx_release();
  device.refill();
  return packets;
}

TEST_CASE("a memory wire carries frames from each port to all others") {
  MemoryWire wire;
  const auto a = wire.add_port(kA), b = wire.add_port(kB), c = wire.add_port(kC);
  const auto device_a = wire.open(a), device_b = wire.open(b), device_c = wire.open(c);
  CHECK(device_a->mac() == kA);
  CHECK(device_a->mtu() == 1500);
  CHECK(device_a->poll_fds().empty());
  send(*device_a, packet(1));
  CHECK(device_b->rx_ready());
  CHECK_FALSE(device_a->rx_ready());
  CHECK(receive(*device_b) == std::vector<Packet>{packet(1)});
  CHECK(receive(*device_c) == std::vector<Packet>{packet(1)});
  CHECK(receive(*device_a).empty());
}

TEST_CASE("the carrier of a memory wire drops, doubles, reorders, delays and changes frames") {
  MemoryWire wire;
  const auto a = wire.add_port(kA), b = wire.add_port(kB);
  const auto device_a = wire.open(a), device_b = wire.open(b);
  std::vector<MemoryWire::Frame> late;
  wire.set_carrier([&](MemoryWire::PortId from, MemoryWire::Frame frame) {
    switch (frame[0]) {
      case 1:
        break;
      case 2:
        wire.flood(from, frame);
        wire.flood(from, frame);
        break;
      case 3:
        late.push_back(std::move(frame));
        break;
      default:
        frame[0] = 9;
        wire.flood(from, frame);
    }
  });
  for (std::uint8_t i = 1; i <= 4; ++i) send(*device_a, packet(i));
  for (const auto& frame : late) CHECK(wire.deliver(b, frame));
  Packet changed = packet(4);
  changed[0] = 9;
  CHECK(receive(*device_b) == std::vector<Packet>{packet(2), packet(2), changed, packet(3)});
}

TEST_CASE("a second device adopts a port of a memory wire without loss") {
  MemoryWire wire;
  const auto a = wire.add_port(kA), b = wire.add_port(kB);
  const auto peer = wire.open(b);
  auto primary = wire.open(a);
  const auto twin = wire.attach(a);
  CHECK_FALSE(twin->rx_ready());

  send(*peer, packet(1));
  send(*peer, packet(2));
  std::array<RxFrame, 1> frame;
  REQUIRE(primary->rx_peek(frame) == 1);
  stage(*primary, packet(11));
  const WireMark committed = primary->mark();
  REQUIRE(primary->rx_peek(frame) == 1);
  std::fill(frame[0].bytes.begin(), frame[0].bytes.end(), std::uint8_t{0});
  stage(*primary, packet(12));
  primary.reset();  // it dies between publish and release
  send(*peer, packet(3));

  std::vector<Packet> handed_over;
  twin->observe_adopted([&](Bytes bytes) { handed_over.emplace_back(bytes.begin(), bytes.end()); });
  twin->adopt(&committed);
  CHECK(handed_over == std::vector<Packet>{packet(11)});
  CHECK(twin->adopted_packets() == 1);
  CHECK(receive(*twin) == std::vector<Packet>{packet(2), packet(3)});
  CHECK(receive(*peer) == std::vector<Packet>{packet(11)});
  // The turns that follow go through what the dead owner held, some frames each.
  for (std::size_t turns = 0; turns < twin->census().total / 512; ++turns) twin->refill();
  const FrameCensus census = twin->census();
  CHECK(census.sum() == census.total);
  CHECK(census.duplicated == 0);
  CHECK(census.held + census.staged + census.receiving == 0);
}

TEST_CASE("the step hook of a memory wire stops the owner between two stores") {
  MemoryWire wire;
  const auto a = wire.add_port(kA), b = wire.add_port(kB);
  const auto peer = wire.open(b);
  auto primary = wire.open(a);
  stage(*primary, packet(1));
  const WireMark committed = primary->mark();
  struct Stopped {};
  wire.set_step_hook(a, [](WireStep step) {
    if (step == WireStep::tx_word) throw Stopped{};
  });
  CHECK_THROWS_AS(primary->tx_release(committed.tx_index), Stopped);
  CHECK_FALSE(peer->rx_ready());
  wire.set_step_hook(a, {});
  const auto twin = wire.attach(a);
  twin->adopt(&committed);
  CHECK(receive(*peer) == std::vector<Packet>{packet(1)});
}

TEST_CASE("a port whose transmission is held keeps its packets pending until it is kicked") {
  MemoryWire wire;
  const auto a = wire.add_port(kA), b = wire.add_port(kB);
  const auto device_a = wire.open(a), device_b = wire.open(b);
  wire.hold_transmit(a, true);
  send(*device_a, packet(1));
  CHECK(device_a->tx_pending());
  CHECK_FALSE(device_b->rx_ready());
  wire.hold_transmit(a, false);
  device_a->tx_kick();
  CHECK_FALSE(device_a->tx_pending());
  CHECK(receive(*device_b) == std::vector<Packet>{packet(1)});
}

TEST_CASE("a memory wire whose receiver does nothing loses frames and counts them") {
  MemoryWire wire({1500, 64, 16});
  const auto a = wire.add_port(kA), b = wire.add_port(kB);
  const auto device_a = wire.open(a), device_b = wire.open(b);
  for (std::uint8_t i = 0; i < 20; ++i) send(*device_a, packet(i));
  CHECK(device_b->statistics().rx_ring_full == 4);
  CHECK(receive(*device_b).size() == 16);
  CHECK(device_b->statistics().rx_frames == 16);
  CHECK(device_a->statistics().tx_frames == 20);
  CHECK(device_a->statistics().tx_bytes == 20 * 60);
  CHECK(device_b->statistics().frames_held == 0);
}

TEST_CASE("a device that was given away shows and takes nothing, and the adopter goes on") {
  MemoryWire wire;
  const auto a = wire.add_port(kA), b = wire.add_port(kB);
  const auto peer = wire.open(b);
  const auto primary = wire.open(a);
  const auto twin = wire.attach(a);
  const WireMark mark = primary->mark();
  primary->give_away();
  if (GENERATE(false, true)) {
    // Nobody came for it.
    send(*peer, packet(4));
    CHECK(receive(*primary).empty());
    primary->take_back();
    CHECK(receive(*primary) == std::vector<Packet>{packet(4)});
    return;
  }
  twin->adopt(&mark);
  send(*peer, packet(5));
  CHECK_FALSE(primary->rx_ready());
  CHECK(receive(*primary).empty());
  CHECK(primary->tx_reserve(60).empty());
  CHECK(receive(*twin) == std::vector<Packet>{packet(5)});
  SECTION("and back again") {
    const WireMark second = twin->mark();
    twin->give_away();
    primary->adopt(&second);
    send(*peer, packet(6));
    CHECK(receive(*primary) == std::vector<Packet>{packet(6)});
  }
}

}  // namespace
}  // namespace tandem
