// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "test_rings.hpp"
#include "wire_rings.hpp"

namespace tandem {
namespace {

using test::numbered_packet;
using test::Packet;
using test::TestKernel;

constexpr WireGeometry kGeometry{32, 2048, 8};

struct Wire {
  TestKernel kernel{kGeometry};
  WireRings<NoProbe> rings{kernel.view(), kernel.rings()};

  Wire() {
    rings.start();
    rings.fill();
  }
  std::vector<RxFrame> peek(std::size_t most = 8) {
    std::vector<RxFrame> frames(most);
    frames.resize(rings.peek(frames));
    return frames;
  }
  bool stage(const Packet& packet) {
    const auto room = rings.tx_reserve(static_cast<std::uint32_t>(packet.size()));
    if (room.empty()) return false;
    std::copy(packet.begin(), packet.end(), room.begin());
    rings.tx_stage();
    return true;
  }
  [[nodiscard]] FrameOwner owner(std::uint32_t frame) const { return rings.pool().owner(frame); }
};

void require_sound(const FrameCensus& census) {
  CHECK(census.sum() == census.total);
  CHECK(census.duplicated == 0);
}

TEST_CASE("a received frame stays in the ring until rx_release, and is freed there when the stack is done with it") {
  Wire wire;
  const Packet packet = numbered_packet(7);
  REQUIRE(wire.kernel.receive(packet));
  REQUIRE(wire.rings.rx_ready());
  const auto frames = wire.peek();
  REQUIRE(frames.size() == 1);
  CHECK(Packet(frames[0].bytes.begin(), frames[0].bytes.end()) == packet);
  CHECK_FALSE(wire.rings.rx_ready());
  CHECK(wire.peek().empty());
  CHECK(wire.rings.mark().rx_index == 1);
  CHECK(*wire.kernel.rings().rx.consumer == 0);

  wire.rings.rx_done(frames[0].cookie);
  CHECK(wire.owner(frames[0].cookie) == FrameOwner::receiving);
  wire.rings.rx_release();
  CHECK(wire.owner(frames[0].cookie) == FrameOwner::free);
  CHECK(*wire.kernel.rings().rx.consumer == 1);
  require_sound(wire.rings.census());
}

TEST_CASE("a frame that the stack keeps is held over the turn and free as soon as it lets go") {
  Wire wire;
  REQUIRE(wire.kernel.receive(numbered_packet(1)));
  const auto frames = wire.peek();
  wire.rings.rx_release();
  REQUIRE(wire.owner(frames[0].cookie) == FrameOwner::held);
  CHECK(wire.rings.held() == 1);
  CHECK(wire.rings.census().held == 1);
  const std::size_t free_before = wire.rings.pool().free_count();
  wire.rings.rx_done(frames[0].cookie);
  CHECK(wire.owner(frames[0].cookie) == FrameOwner::free);
  CHECK(wire.rings.pool().free_count() == free_before + 1);
  CHECK(wire.rings.held() == 0);
}

TEST_CASE("entries that name no frame, or one twice, and indices beyond their rings are left alone") {
  Wire wire;
  TestKernel& kernel = wire.kernel;
  const Rings rings = kernel.rings();
  REQUIRE(kernel.receive(numbered_packet(1)));
  REQUIRE(kernel.receive(numbered_packet(2)));
  REQUIRE(kernel.receive(numbered_packet(3)));
  const Descriptor first = rings.rx.at(0);
  rings.rx.at(1) = first;                                   // the same frame twice
  rings.rx.at(2).address = first.address - kFrameHeadroom;  // over the bytes that are kept there
  const auto frames = wire.peek();
  REQUIRE(frames.size() == 1);
  CHECK(wire.rings.counters().rx_invalid == 2);
  wire.rings.rx_done(frames[0].cookie);
  wire.rings.rx_release();
  const std::size_t free = wire.rings.pool().free_count();
  *rings.rx.producer += 1000;
  CHECK(wire.peek().empty());
  *rings.rx.producer -= 1000;

  // A frame that was not sent comes back as sent.
  rings.completion.at(0) = 0;
  ++*rings.completion.producer;
  wire.rings.reap();
  CHECK(wire.rings.pool().free_count() == free);

  // The next owner completes a fill that goes beyond the memory only as far as it is sound.
  wire.rings.stop();
  *rings.fill.consumer = *rings.fill.producer;
  rings.fill.at(*rings.fill.producer) = 0;
  rings.fill.at(*rings.fill.producer + 1) = std::uint64_t{kGeometry.frames} * kGeometry.frame_bytes;
  kernel.view().control->fill_intent.value = *rings.fill.producer + 2;
  const std::uint32_t producer = *rings.fill.producer;
  WireRings<NoProbe> next(kernel.view(), kernel.rings());
  next.adopt(nullptr, {});
  CHECK(*rings.fill.producer == producer + 1);
}

TEST_CASE("staged packets lie beyond the producer and leave only when they are released, in order") {
  Wire wire;
  const Packet a = numbered_packet(1), b = numbered_packet(2), c = numbered_packet(3);
  REQUIRE((wire.stage(a) && wire.stage(b) && wire.stage(c)));
  CHECK(wire.rings.mark().tx_index == 3);
  CHECK_FALSE(wire.kernel.send());
  CHECK(wire.rings.census().staged == 3);
  REQUIRE(wire.rings.tx_release(2));
  while (wire.kernel.send()) {
  }
  CHECK(wire.kernel.sent == std::vector<Packet>{a, b});
  REQUIRE(wire.rings.tx_release(3));
  CHECK_FALSE(wire.rings.tx_release(3));
  CHECK_FALSE(wire.rings.tx_release(2));
  CHECK_FALSE(wire.rings.tx_release(4));
  while (wire.kernel.send()) {
  }
  CHECK(wire.kernel.sent == std::vector<Packet>{a, b, c});
  require_sound(wire.rings.census());
}

TEST_CASE("reserving again before staging replaces the reservation") {
  Wire wire;
  const auto first = wire.rings.tx_reserve(100);
  const auto second = wire.rings.tx_reserve(60);
  CHECK(first.data() == second.data());
  wire.rings.tx_stage();
  CHECK(wire.rings.mark().tx_index == 1);
  wire.rings.tx_stage();
  CHECK(wire.rings.mark().tx_index == 1);
  CHECK(wire.kernel.rings().tx.at(0).length == 60);
}

TEST_CASE("a packet that no frame or descriptor is left for is refused and counted") {
  Wire wire;
  CHECK(wire.rings.tx_reserve(kGeometry.capacity() + 1).empty());
  CHECK(wire.rings.tx_reserve(kGeometry.capacity()).size() == kGeometry.capacity());
  for (std::uint32_t i = 0; i < kGeometry.ring_entries; ++i) REQUIRE(wire.stage(numbered_packet(i)));
  CHECK_FALSE(wire.stage(numbered_packet(99)));
  CHECK(wire.rings.counters().tx_ring_full == 1);
  // The kernel takes packets and completes none: frames run out before the ring does.
  wire.rings.tx_release(wire.rings.mark().tx_index);
  while (wire.kernel.send()) {
  }
  std::size_t more = 0;
  while (wire.stage(numbered_packet(100))) {
    ++more;
    wire.rings.tx_release(wire.rings.mark().tx_index);
    while (wire.kernel.send()) {
    }
  }
  CHECK(more == kGeometry.frames / 2 - kGeometry.ring_entries);
  CHECK(wire.rings.counters().tx_no_frame == 1);
  require_sound(wire.rings.census());
}

TEST_CASE("neither receiving nor sending can take the other's share of the frames") {
  SECTION("sending takes all it can, receiving goes on") {
    Wire wire;
    for (std::uint32_t i = 0; i < 100; ++i) {
      wire.stage(numbered_packet(i));
      wire.rings.tx_release(wire.rings.mark().tx_index);
      while (wire.kernel.send()) {
      }
    }
    for (std::uint32_t i = 0; i < 100; ++i) {
      REQUIRE(wire.kernel.receive(numbered_packet(i)));
      for (const RxFrame& frame : wire.peek()) wire.rings.rx_done(frame.cookie);
      wire.rings.rx_release();
      wire.rings.fill();
    }
  }
  SECTION("the stack keeps all it received, sending goes on") {
    Wire wire;
    std::uint32_t received = 0;
    for (std::uint32_t i = 0; i < 100; ++i) {
      received += wire.kernel.receive(numbered_packet(i)) ? 1 : 0;
      wire.peek();
      wire.rings.rx_release();
      wire.rings.fill();
    }
    CHECK(received == kGeometry.frames / 2);
    for (std::uint32_t i = 0; i < 100; ++i) {
      REQUIRE(wire.stage(numbered_packet(i)));
      wire.rings.tx_release(wire.rings.mark().tx_index);
      while (wire.kernel.send()) {
      }
      while (wire.kernel.complete()) {
      }
      wire.rings.reap();
    }
    require_sound(wire.rings.census());
  }
}

TEST_CASE("a frame that the kernel holds between rings is missing, and adoption leaves it alone") {
  Wire wire;
  REQUIRE((wire.kernel.take_fill() && wire.kernel.take_fill()));
  REQUIRE(wire.stage(numbered_packet(1)));
  wire.rings.tx_release(1);
  REQUIRE(wire.kernel.send());
  CHECK(wire.rings.census().missing == 3);

  WireRings<NoProbe> adopter(wire.kernel.view(), wire.kernel.rings());
  const WireMark mark = wire.rings.mark();
  adopter.adopt(&mark, {});
  CHECK(adopter.census().missing == 3);
  require_sound(adopter.census());
  REQUIRE(wire.kernel.receive(numbered_packet(2)));
  REQUIRE(wire.kernel.complete());
  adopter.reap();
  CHECK(adopter.census().missing == 1);
  require_sound(adopter.census());
}

TEST_CASE("adoption shows what was not dealt with as it arrived, and releases what was") {
  Wire wire;
  const Packet dealt = numbered_packet(1), open = numbered_packet(2);
  REQUIRE((wire.kernel.receive(dealt) && wire.kernel.receive(open)));
  auto frames = wire.peek(1);
  const WireMark committed = wire.rings.mark();
  frames = wire.peek();
  REQUIRE(frames.size() == 1);
  std::fill_n(frames[0].bytes.begin(), 54, std::uint8_t{0xee});  // as the stack does with headers

  WireRings<NoProbe> adopter(wire.kernel.view(), wire.kernel.rings());
  CHECK_FALSE(adopter.rx_ready());  // not before adopt
  adopter.adopt(&committed, {});
  REQUIRE(adopter.rx_ready());
  std::array<RxFrame, 4> shown;
  REQUIRE(adopter.peek(shown) == 1);
  CHECK(Packet(shown[0].bytes.begin(), shown[0].bytes.end()) == open);
  CHECK(shown[0].place == FramePlace{1, 0});
  CHECK(shown[0].place == frames[0].place);
  CHECK(adopter.mark().rx_index == 2);
  require_sound(adopter.census());
}

TEST_CASE("a frame that is in the RX ring belongs to the ring, even when its dead owner had marked it free") {
  TestKernel kernel(kGeometry);
  test::CrashProbe::Counter counter;
  WireRings<test::CrashProbe> owner(kernel.view(), kernel.rings(), test::CrashProbe{&counter});
  owner.start();
  owner.fill();
  const Packet packet = numbered_packet(1);
  REQUIRE(kernel.receive(packet));
  std::array<RxFrame, 2> frames;
  REQUIRE(owner.peek(frames) == 1);
  std::fill_n(frames[0].bytes.begin(), 54, std::uint8_t{0xee});
  owner.rx_done(frames[0].cookie);
  counter.stop_at = counter.stores + 1;
  CHECK_THROWS_AS(owner.rx_release(), test::Crash);
  REQUIRE(owner.pool().owner(frames[0].cookie) == FrameOwner::free);
  REQUIRE(*kernel.rings().rx.consumer == 0);

  WireRings<NoProbe> adopter(kernel.view(), kernel.rings());
  adopter.adopt(nullptr, {});  // nothing was published: it was not dealt with
  REQUIRE(adopter.peek(frames) == 1);
  CHECK(Packet(frames[0].bytes.begin(), frames[0].bytes.end()) == packet);
  require_sound(adopter.census());
}

TEST_CASE("adoption hands over what was committed and nothing else") {
  Wire wire;
  const Packet a = numbered_packet(1), b = numbered_packet(2);
  REQUIRE(wire.stage(a));
  const WireMark committed = wire.rings.mark();
  REQUIRE(wire.stage(b));
  std::vector<Packet> handed_over;
  WireRings<NoProbe> adopter(wire.kernel.view(), wire.kernel.rings());
  const auto observe = [&](std::span<const std::uint8_t> packet) {
    handed_over.emplace_back(packet.begin(), packet.end());
  };
  SECTION("a commit record was published") {
    adopter.adopt(&committed, observe);
    while (wire.kernel.send()) {
    }
    CHECK(wire.kernel.sent == std::vector<Packet>{a});
    CHECK(handed_over == wire.kernel.sent);
    CHECK(adopter.adopted_packets() == 1);
  }
  SECTION("none was published") {
    adopter.adopt(nullptr, observe);
    CHECK_FALSE(wire.kernel.send());
    CHECK(handed_over.empty());
  }
  SECTION("a mark that was not reached by staging hands over only what was staged") {
    const WireMark beyond{0, 6};
    adopter.adopt(&beyond, observe);
    while (wire.kernel.send()) {
    }
    CHECK(wire.kernel.sent == std::vector<Packet>{a, b});
    CHECK(adopter.counters().tx_invalid == 4);
  }
  SECTION("a mark from far away is nobody's") {
    const WireMark far{0x8000'0000, 0x7fff'fff0};
    adopter.adopt(&far, observe);
    CHECK_FALSE(wire.kernel.send());
  }
  // What was not handed over is gone through with the first fill.
  adopter.fill();
  CHECK(adopter.census().staged == 0);
  require_sound(adopter.census());
}

TEST_CASE("the first packet of an adoption stands in the ring before the others do") {
  Wire wire;
  for (std::uint32_t i = 1; i <= 3; ++i) REQUIRE(wire.stage(numbered_packet(i)));
  const WireMark committed = wire.rings.mark();
  WireRings<NoProbe> adopter(wire.kernel.view(), wire.kernel.rings());
  std::vector<std::uint32_t> waiting;
  const auto first_is_out = [&] {
    const auto& tx = wire.kernel.rings().tx;
    waiting.push_back(*tx.producer - *tx.consumer);
  };
  SECTION("of what was committed") {
    adopter.adopt(&committed, {}, first_is_out);
    CHECK(waiting == std::vector<std::uint32_t>{1});
  }
  SECTION("or of what the dead owner had handed over") {
    wire.rings.tx_release(committed.tx_index);
    adopter.adopt(&committed, {}, first_is_out);
    CHECK(waiting == std::vector<std::uint32_t>{3});
  }
  SECTION("and where nothing is to go, nobody is called") {
    adopter.adopt(nullptr, {}, first_is_out);
    CHECK(waiting.empty());
    return;
  }
  while (wire.kernel.send()) {
  }
  CHECK(wire.kernel.sent.size() == 3);
}

TEST_CASE("after give_away nothing is touched, whoever still calls") {
  Wire wire;
  REQUIRE(wire.kernel.receive(numbered_packet(1)));
  REQUIRE(wire.kernel.receive(numbered_packet(2)));
  const auto frames = wire.peek(1);
  wire.rings.rx_release();
  REQUIRE(wire.stage(numbered_packet(3)));
  const WireMark mark = wire.rings.mark();
  wire.rings.stop();
  const FrameCensus before = wire.rings.census();
  wire.rings.rx_done(frames[0].cookie);
  CHECK(wire.peek().empty());
  CHECK(wire.rings.tx_reserve(60).empty());
  CHECK_FALSE(wire.rings.tx_release(mark.tx_index));
  wire.rings.rx_release();
  wire.rings.reap();
  wire.rings.fill();
  const FrameCensus after = wire.rings.census();
  CHECK(after.held == before.held);
  CHECK(after.fill == before.fill);
  CHECK(after.receiving == before.receiving);
  CHECK(after.staged == before.staged);
}

TEST_CASE("a packet of several frames is shown as one, and one that is staged goes out as one") {
  Wire wire;
  wire.rings.allow_jumbo(6000);
  const Packet large(5000, 0x5a), small = numbered_packet(1);
  REQUIRE(wire.kernel.receive(large));
  REQUIRE(wire.kernel.receive(small));
  const auto frames = wire.peek();
  REQUIRE(frames.size() == 2);
  CHECK(Packet(frames[0].bytes.begin(), frames[0].bytes.end()) == large);
  CHECK(Packet(frames[1].bytes.begin(), frames[1].bytes.end()) == small);
  CHECK(frames[0].place == FramePlace{0, 0});
  CHECK(frames[1].place == FramePlace{3, 0});
  CHECK(wire.rings.mark().rx_index == 4);
  for (const RxFrame& frame : frames) wire.rings.rx_done(frame.cookie);
  wire.rings.rx_release();
  CHECK(wire.rings.counters().rx_frames == 2);
  CHECK(wire.rings.counters().rx_bytes == large.size() + small.size());

  REQUIRE(wire.stage(large));
  REQUIRE(wire.stage(small));
  CHECK(wire.rings.mark().tx_index == 4);
  std::vector<Packet> seen;
  wire.rings.for_each_staged(4, [&](Bytes packet) { seen.emplace_back(packet.begin(), packet.end()); });
  CHECK(seen == std::vector<Packet>{large, small});
  REQUIRE(wire.rings.tx_release(4));
  while (wire.kernel.send()) {
  }
  CHECK(wire.kernel.sent == std::vector<Packet>{large, small});
  CHECK(wire.rings.tx_reserve(6001).empty());
  require_sound(wire.rings.census());
}

TEST_CASE("without room for all of its frames a large packet is not begun, and a smaller one goes on") {
  Wire wire;
  wire.rings.allow_jumbo(6000);
  const Packet large(5000, 1), small = numbered_packet(1);
  REQUIRE(wire.stage(large));
  REQUIRE(wire.stage(large));
  CHECK_FALSE(wire.stage(large));  // 8 descriptors in all
  CHECK(wire.rings.counters().tx_ring_full == 1);
  CHECK(wire.rings.mark().tx_index == 6);
  CHECK(wire.stage(small));
  CHECK(wire.stage(small));
  CHECK_FALSE(wire.stage(small));
  require_sound(wire.rings.census());
}

TEST_CASE("what claims to be a packet of several frames and is none is left out, and what follows is shown") {
  Wire wire;
  wire.rings.allow_jumbo(3000);
  REQUIRE(wire.kernel.receive(Packet(5000, 1)));  // larger than allowed
  REQUIRE(wire.kernel.receive(numbered_packet(2)));
  const auto frames = wire.peek();
  REQUIRE(frames.size() == 1);
  CHECK(Packet(frames[0].bytes.begin(), frames[0].bytes.end()) == numbered_packet(2));
  CHECK(wire.rings.counters().rx_invalid == 3);
}

TEST_CASE("geometries that do not fit are refused with the reason") {
  CHECK(WireGeometry{8192, 2048, 2048}.error().empty());
  CHECK_THAT((WireGeometry{1000, 2048, 64}.error()), Catch::Contains("frames must be a power of two"));
  CHECK_THAT((WireGeometry{1024, 2048, 100}.error()), Catch::Contains("ring entries"));
  CHECK_THAT((WireGeometry{1024, 1500, 64}.error()), Catch::Contains("2048, 4096 or 16384"));
  CHECK(frame_bytes_for(1500) == 2048);
  CHECK(frame_bytes_for(1774) == 2048);
  CHECK(frame_bytes_for(1775) == 4096);
  CHECK(frame_bytes_for(9000) == 16384);
  CHECK(frame_bytes_for(16110) == 16384);
  CHECK(frame_bytes_for(16111) == 0);
}

TEST_CASE("a wire memory of another kind, size or version is not mapped") {
  const WireMemory memory = WireMemory::create(kGeometry);
  const auto map = [&](const WireGeometry& geometry) {
    return WireMemory::map(UniqueFd::duplicate(memory.umem_fd()), UniqueFd::duplicate(memory.wire_fd()), geometry);
  };
  CHECK_NOTHROW(map(kGeometry));
  CHECK_THROWS_WITH(map({64, 2048, 8}), Catch::Contains("bytes, needed are"));
  CHECK_THROWS_WITH(map({16, 2048, 8}), Catch::Contains("another number or size"));
  memory.view().control->version = 2;
  CHECK_THROWS_WITH(map(kGeometry), Catch::Contains("version 2"));
  memory.view().control->magic = 1;
  CHECK_THROWS_WITH(map(kGeometry), Catch::Contains("not a wire's"));
}

}  // namespace
}  // namespace tandem
