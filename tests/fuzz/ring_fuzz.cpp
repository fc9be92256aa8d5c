// SPDX-License-Identifier: BSD-3-Clause
//
// Shared memory whose other user writes anything anywhere at any time: the log's ring with its positions, and a wire's rings
// with their frames' words. An owner's and an adopter's code may lose what it is robbed of; it never reads or writes outside of
// its memory, never asserts, never goes on for ever.
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "group_fixture.hpp"
#include "input.hpp"
#include "require.hpp"
#include "wire_rings.hpp"

namespace tandem::fuzz {
namespace {

constexpr std::size_t kMaxSteps = 300;

// ---- The log's ring ----

/// A writer that keeps its rules, a reader, and a twin that writes into what both share.
class LogWorld {
 public:
  LogWorld() : group_(new_group()), writer_(group_, shared().log.data(), kLogBytes), reader_(shared().reader()) {
    shared().attach();
  }

  void step(Input& input) {
    switch (input.below(8)) {
      case 0:
      case 1:
      case 2:
        append(input);
        break;
      case 3:
        if (writer_.in_transaction()) {
          writer_.publish(input.u32(), input.u32());
          room_reserved_ = 0;
        }
        break;
      case 4:
        read();
        break;
      case 5:
        group_.readers[input.below(ha::kMaxReaders)].position.store(somewhere(input));
        break;
      case 6:
        if (input.below(4) != 0) {
          group_.readers[input.below(ha::kMaxReaders)].state.store(static_cast<ha::ReaderState>(input.below(7)));
        } else {
          group_.published.store(somewhere(input));
        }
        break;
      default:
        scribble(input);
    }
    FUZZ_REQUIRE(writer_.room() <= kLogBytes);
    FUZZ_REQUIRE(writer_.pending_bytes() <= kLogBytes);
  }

 private:
  static constexpr std::uint64_t kLogBytes = std::uint64_t{1} << 21;

  static GroupFixture& shared() {
    static GroupFixture fixture(kLogBytes);
    return fixture;
  }
  static ha::SharedGroup& new_group() {
    auto& group = *new (&shared().group) ha::SharedGroup{};
    // The log has gone round some times.
    group.published.store(3 * kLogBytes - 4096);
    return group;
  }

  std::uint64_t somewhere(Input& input) {
    const std::uint64_t base[] = {0, writer_.position(), group_.published.load(), reader_.position(),
                                  writer_.position() - kLogBytes};
    return input.one_of(base) +
           (input.below(4) == 0 ? input.u64() : static_cast<std::uint64_t>(std::int64_t{input.number<std::int16_t>()}));
  }

  /// What Node does: it looks for room once a turn, and then writes no more than that.
  void append(Input& input) {
    if (!writer_.in_transaction()) room_reserved_ = writer_.room();
    const std::size_t size = std::size_t{input.u16()} << input.below(5);
    const std::uint64_t worst = ha::record_bytes(std::min<std::size_t>(size, ha::kMaxPayloadBytes)) + 256;
    if (size > ha::kMaxPayloadBytes || room_reserved_ < worst) return;
    room_reserved_ -= worst;
    static const std::vector<std::uint8_t> bytes(ha::kMaxPayloadBytes, 0x5c);
    writer_.append(static_cast<ha::RecordType>(input.u16()), input.u64(), {Bytes(bytes).first(size)});
  }

  void read() {
    const std::uint64_t published = group_.published.load();
    ha::Record record;
    std::uint64_t records = 0;
    while (reader_.next(published, record)) {
      ++records;
      FUZZ_REQUIRE(record.payload.size() <= ha::kMaxPayloadBytes);
      FUZZ_REQUIRE(record.payload.data() >= shared().log.data() &&
                   record.payload.data() + record.payload.size() <= shared().log.data() + 2 * kLogBytes);
      // Every byte can be read.
      sum_ += std::accumulate(record.payload.begin(), record.payload.end(), 0U);
      FUZZ_REQUIRE(records <= kLogBytes / sizeof(ha::RecordHeader));
    }
    if (reader_.error().empty()) {
      FUZZ_REQUIRE(reader_.position() == published);
      group_.readers[0].position.store(reader_.position());
    } else {
      // Whoever has refused a log takes nothing from it any more; another twin comes.
      FUZZ_REQUIRE(!reader_.next(published, record));
      reader_ = ha::LogReader(shared().log.data(), kLogBytes, input_position_ += 8);
    }
  }

  void scribble(Input& input) {
    std::uint8_t* at = shared().log.data() + ((reader_.position() + input.u16()) & (kLogBytes - 1));
    const auto bytes = input.bytes(32);
    if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
  }

  ha::SharedGroup& group_;
  ha::LogWriter writer_;
  ha::LogReader reader_;
  std::uint64_t room_reserved_ = 0;
  std::uint64_t input_position_ = 0;
  unsigned sum_ = 0;
};

// ---- A wire's rings ----

/// The memory of a wire, each piece exactly as long as it is said to be.
struct WireHeap {
  static constexpr WireGeometry kGeometry{16, 2048, 8};

  WireHeap()
      : control(std::make_unique<WireControl>()),
        words(new std::uint32_t[kGeometry.frames]()),
        umem(new std::uint8_t[kGeometry.umem_bytes()]()),
        fill(new std::uint64_t[kGeometry.ring_entries]()),
        completion(new std::uint64_t[kGeometry.ring_entries]()),
        rx(new Descriptor[kGeometry.ring_entries]()),
        tx(new Descriptor[kGeometry.ring_entries]()) {}

  [[nodiscard]] WireView view() const { return {kGeometry, control.get(), words.get(), umem.get()}; }
  [[nodiscard]] Rings rings() {
    const std::uint32_t size = kGeometry.ring_entries;
    return {{&indices[0], &indices[1], nullptr, fill.get(), size},
            {&indices[2], &indices[3], nullptr, completion.get(), size},
            {&indices[4], &indices[5], nullptr, rx.get(), size},
            {&indices[6], &indices[7], nullptr, tx.get(), size}};
  }

  std::unique_ptr<WireControl> control;
  std::unique_ptr<std::uint32_t[]> words;
  std::unique_ptr<std::uint8_t[]> umem;
  std::unique_ptr<std::uint64_t[]> fill, completion;
  std::unique_ptr<Descriptor[]> rx, tx;
  std::array<std::uint32_t, 8> indices{};
};

class WireWorld;

/// After each store of the owner's the other one may write, too.
struct HostileProbe {
  static constexpr bool active = true;
  void operator()(WireStep) const;
  WireWorld* world = nullptr;
};

class WireWorld {
 public:
  explicit WireWorld(Input& input) : in_(input) {
    rings_.emplace(heap_.view(), heap_.rings(), HostileProbe{this});
    rings_->start();
    rings_->fill();
  }

  void run() {
    for (std::size_t i = 0; i < kMaxSteps && !in_.empty(); ++i) {
      stores_ = 0;
      step();
    }
  }

  void after_store() {
    // No operation stores more than some words a frame and ring entry.
    ++stores_;
    FUZZ_REQUIRE(stores_ <= 16 * (WireHeap::kGeometry.frames + 4 * WireHeap::kGeometry.ring_entries));
    if (writes_between_ != 0) {
      --writes_between_;
      write_something();
    }
  }

 private:
  void step() {
    switch (in_.below(16)) {
      case 0:
      case 1:
        kernel_receives();
        break;
      case 2:
        kernel_sends();
        break;
      case 3:
      case 4:
        peek();
        break;
      case 5:
        if (!shown_.empty()) {
          const std::size_t which = in_.below(shown_.size());
          rings_->rx_done(shown_[which]);
          shown_.erase(shown_.begin() + static_cast<std::ptrdiff_t>(which));
        }
        break;
      case 6:
        mark_ = rings_->mark();
        rings_->rx_release();
        break;
      case 7:
      case 8:
        stage();
        break;
      case 9:
        rings_->tx_release(in_.below(4) == 0 ? in_.u32() : rings_->mark().tx_index);
        break;
      case 10:
        rings_->reap();
        rings_->fill();
        break;
      case 11:
        die_and_adopt();
        break;
      case 12:
        writes_between_ = in_.u8() % 8;
        break;
      case 13:
        // What leak checks and metrics look at.
        (void)rings_->census();
        (void)rings_->tx_pending();
        break;
      default:
        write_something();
    }
  }

  // ---- A kernel that keeps its rules ----

  void kernel_receives() {
    const auto fill = heap_.rings().fill;
    const auto rx = heap_.rings().rx;
    if (*fill.consumer == *fill.producer || *rx.producer - *rx.consumer >= rx.size) return;
    const std::uint64_t address = fill.at((*fill.consumer)++);
    if (address > WireHeap::kGeometry.umem_bytes() - WireHeap::kGeometry.frame_bytes) return;
    rx.at((*rx.producer)++) = {address + kFrameHeadroom, 60U + in_.u8(), 0};
  }
  void kernel_sends() {
    const auto tx = heap_.rings().tx;
    const auto completion = heap_.rings().completion;
    if (*tx.consumer == *tx.producer || *completion.producer - *completion.consumer >= completion.size) return;
    const Descriptor descriptor = tx.at((*tx.consumer)++);
    completion.at((*completion.producer)++) = descriptor.address;
  }

  // ---- The owner ----

  void peek() {
    std::vector<RxFrame> frames(1 + in_.below(8));
    frames.resize(rings_->peek(frames));
    for (const RxFrame& frame : frames) {
      // The stack reads all of it, and refers to it until it says that it does not.
      touch(frame.bytes);
      for (const std::uint32_t other : shown_) FUZZ_REQUIRE(other != frame.cookie);
      shown_.push_back(frame.cookie);
    }
  }
  void stage() {
    const auto room = rings_->tx_reserve(in_.u16() % 2200);
    if (room.empty()) return;
    touch(room);
    if (in_.below(8) != 0) rings_->tx_stage();
  }
  void die_and_adopt() {
    shown_.clear();
    rings_.reset();
    rings_.emplace(heap_.view(), heap_.rings(), HostileProbe{this});
    std::optional<WireMark> mark = mark_;
    switch (in_.below(4)) {
      case 0:
        mark.reset();
        break;
      case 1:
        mark = WireMark{in_.u32(), in_.u32()};
        break;
      default:
        break;
    }
    rings_->adopt(mark ? &*mark : nullptr, [this](std::span<const std::uint8_t> packet) {
      sum_ += std::accumulate(packet.begin(), packet.end(), 0U);
    });
  }
  void touch(std::span<std::uint8_t> bytes) {
    sum_ += std::accumulate(bytes.begin(), bytes.end(), 0U);
    std::fill(bytes.begin(), bytes.end(), std::uint8_t{0xcd});
  }

  // ---- The other one ----

  std::uint64_t any_address() {
    switch (in_.below(4)) {
      case 0:
        return in_.u64();
      case 1:
        return std::uint64_t{in_.below(WireHeap::kGeometry.frames + 2)} * WireHeap::kGeometry.frame_bytes +
               in_.u16() % 2100;
      default:
        return std::uint64_t{in_.below(WireHeap::kGeometry.frames)} * WireHeap::kGeometry.frame_bytes + kFrameHeadroom;
    }
  }

  void write_something() {
    switch (in_.below(8)) {
      case 0:
      case 1: {
        std::uint32_t& index = heap_.indices[in_.below(heap_.indices.size())];
        index = in_.below(4) == 0 ? in_.u32() : index + static_cast<std::uint32_t>(in_.number<std::int8_t>());
        break;
      }
      case 2:
        heap_.fill[in_.below(WireHeap::kGeometry.ring_entries)] = any_address();
        break;
      case 3:
        heap_.completion[in_.below(WireHeap::kGeometry.ring_entries)] = any_address();
        break;
      case 4:
        heap_.rx[in_.below(WireHeap::kGeometry.ring_entries)] = {any_address(),
                                                                 in_.below(4) == 0 ? in_.u32() : in_.u8(), 0};
        break;
      case 5:
        heap_.tx[in_.below(WireHeap::kGeometry.ring_entries)] = {any_address(),
                                                                 in_.below(4) == 0 ? in_.u32() : in_.u8(), 0};
        break;
      case 6:
        heap_.words[in_.below(WireHeap::kGeometry.frames)] =
            in_.below(4) == 0 ? in_.u32() : FrameWord::make(static_cast<FrameOwner>(in_.below(kFrameOwners)), in_.u8());
        break;
      default: {
        SharedIndex& intent = in_.below(2) == 0 ? heap_.control->fill_intent : heap_.control->tx_intent;
        intent.value =
            in_.below(4) == 0 ? in_.u32() : intent.value + static_cast<std::uint32_t>(in_.number<std::int8_t>());
      }
    }
  }

  Input& in_;
  WireHeap heap_;
  std::optional<WireRings<HostileProbe>> rings_;
  std::vector<std::uint32_t> shown_;
  std::optional<WireMark> mark_;
  std::size_t stores_ = 0;
  std::size_t writes_between_ = 0;
  unsigned sum_ = 0;
};

void HostileProbe::operator()(WireStep) const {
  if (world != nullptr) world->after_store();
}

}  // namespace
}  // namespace tandem::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tandem::fuzz;
  Input input(data, size);
  if (input.u8() % 3 == 0) {
    LogWorld world;
    for (std::size_t i = 0; i < kMaxSteps && !input.empty(); ++i) world.step(input);
  } else {
    WireWorld(input).run();
  }
  return 0;
}
