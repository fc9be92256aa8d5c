// SPDX-License-Identifier: BSD-3-Clause
//
// The two memory files of a wire, both mapped by primary and twin: "umem" holds the frames, "wire" holds what an adopter has
// to know about them.
//
//   wire:  0      WireControl     version, geometry, ring intents, indices and poison of emulated rings
//          4096   frame words     one 32-bit word a frame: owner in bits 24 to 31, slot in bits 0 to 23
//          ...    emulated rings  fill, completion, rx, tx (TAP and the in-memory wire; AF_XDP has the kernel's)
//
//   umem:  frame i at i * frame_bytes:
//          0      the first 128 bytes of the received frame as it arrived (the stack changes headers in place)
//          256    data, received or to be sent
//
// Both are left out of core dumps (MADV_DONTDUMP): a dump of them would delay a takeover by seconds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "ring.hpp"
#include "tandem/give_back.hpp"
#include "unique_fd.hpp"

namespace tandem {

constexpr std::uint64_t kWireMagic = 0x65726957'646e6154;  // "TandWire"
constexpr std::uint32_t kWireVersion = 1;
constexpr std::uint32_t kFrameHeadroom = 256;  ///< bytes before the data; AF_XDP's XDP_PACKET_HEADROOM
constexpr std::uint32_t kSavedBytes = 128;
constexpr std::size_t kFrameWordsOffset = 4096;

struct WireGeometry {
  std::uint32_t frames = 0;        ///< power of two
  std::uint32_t frame_bytes = 0;   ///< 2048 or 4096; 16384 where no kernel has a say (AF_XDP: a page at most)
  std::uint32_t ring_entries = 0;  ///< power of two

  bool operator==(const WireGeometry&) const = default;
  [[nodiscard]] std::size_t umem_bytes() const { return std::size_t{frames} * frame_bytes; }
  [[nodiscard]] std::size_t wire_bytes() const;
  [[nodiscard]] std::size_t emulated_rings_offset() const { return kFrameWordsOffset + std::size_t{frames} * 4; }
  /// Largest Ethernet frame.
  [[nodiscard]] std::uint32_t capacity() const { return frame_bytes - kFrameHeadroom; }
  /// Empty when it can be used; else what is wrong with it.
  [[nodiscard]] std::string error() const;
};

/// Smallest usable frame for IP packets of `mtu` bytes, or 0 when none is large enough.
[[nodiscard]] std::uint32_t frame_bytes_for(std::uint32_t mtu);

/// An index on a cache line of its own.
struct alignas(64) SharedIndex {
  std::uint32_t value = 0;
};

/// Offset, size:  0 magic 8 | 8 version 4 | 12 frames 4 | 16 frame_bytes 4 | 20 ring_entries 4 | 24 poison 16
///                64 fill_intent | 128 tx_intent | 192.. indices of emulated rings, 64 bytes each
struct WireControl {
  std::uint64_t magic = 0;
  std::uint32_t version = 0;
  std::uint32_t frames = 0;
  std::uint32_t frame_bytes = 0;
  std::uint32_t ring_entries = 0;
  /// Drawn at random once; a frame that a TAP read is about to fill starts with it.
  std::array<std::uint8_t, 16> poison{};

  /// Where the fill producer is about to be moved. Entries before it are written. An adopter completes the move.
  SharedIndex fill_intent;
  /// Where the TX producer is about to be moved: the packets before it are committed. An adopter completes the move.
  SharedIndex tx_intent;

  SharedIndex fill_producer, rx_consumer, tx_producer, completion_consumer;
  /// The emulated kernel takes a frame from the fill ring and shows it in the RX ring with one store: fill consumer and RX
  /// producer are one word. So are TX consumer and completion producer.
  SharedIndex received, transmitted;
  /// TAP: one more than the RX index whose frame was poisoned for a read.
  SharedIndex poisoned;
};
static_assert(sizeof(WireControl) <= kFrameWordsOffset);
static_assert(offsetof(WireControl, fill_intent) == 64 && offsetof(WireControl, tx_intent) == 128);

/// Where the pieces of a wire are mapped in this process.
struct WireView {
  WireGeometry geometry;
  WireControl* control = nullptr;
  std::uint32_t* words = nullptr;
  std::uint8_t* umem = nullptr;
};

/// One shared mapping.
class Mapping {
 public:
  Mapping() = default;
  /// Throws std::system_error.
  Mapping(int fd, std::size_t bytes, std::uint64_t offset = 0);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  [[nodiscard]] std::uint8_t* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return bytes_; }

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Both memory files, mapped. Throws std::system_error or std::invalid_argument.
class WireMemory {
 public:
  /// First owner: new files, geometry and poison written, everything else zero (so every frame is free).
  static WireMemory create(const WireGeometry& geometry);
  /// Twin: maps what it was given. Refuses another version, geometry or size, and reads nothing else.
  static WireMemory map(UniqueFd umem, UniqueFd wire, const WireGeometry& geometry);

  [[nodiscard]] WireView view() const;
  /// Drops the frames from this process, not from others.
  void give_back() { give_back_in_pieces(umem_.data(), umem_.size(), std::size_t{256} * 1024); }
  [[nodiscard]] int umem_fd() const { return umem_fd_.get(); }
  [[nodiscard]] int wire_fd() const { return wire_fd_.get(); }
  /// The rings of the wire memory itself.
  [[nodiscard]] Rings emulated_rings() const;

 private:
  WireMemory(UniqueFd umem, UniqueFd wire, const WireGeometry& geometry);

  WireGeometry geometry_;
  UniqueFd umem_fd_, wire_fd_;
  Mapping umem_, wire_;
};

}  // namespace tandem
