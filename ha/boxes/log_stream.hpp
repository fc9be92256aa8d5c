// SPDX-License-Identifier: BSD-3-Clause
//
// One log in two rings (design.md section 4, "One log, several readers"): what is published in one is shipped as it stands, and
// written at the same positions into the other, which readers there read like any other. Nothing is published there before a
// whole transaction has come.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "box_frame.hpp"
#include "log/log_ring.hpp"
#include "members/shared_group.hpp"

namespace tandem::ha {

/// The end at which the log is written. It is a reader of it: what it has not shipped, or what may have to be shipped again, must stay
/// in the ring.
class LogShipper {
 public:
  /// A frame, of two pieces. `payload` lies in the ring.
  struct Shipment {
    FrameHeader header;
    Bytes payload;
  };

  /// `ring` is mapped twice in a row. `kind`: FrameKind::log or snapshot.
  LogShipper(const std::uint8_t* ring, std::uint64_t ring_bytes, std::uint64_t position, FrameKind kind)
      : ring_(ring), ring_bytes_(ring_bytes), position_(position), kind_(kind) {}

  /// The next frame of what is published, with at most `most` bytes of payload (a multiple of 8, up to kMaxFrameBytes); nothing when
  /// all of that has been shipped.
  std::optional<Shipment> next(std::uint64_t published, std::size_t most);
  /// Everything before it has been shipped.
  [[nodiscard]] std::uint64_t position() const { return position_; }

 private:
  const std::uint8_t* ring_;
  std::uint64_t ring_bytes_;
  std::uint64_t position_;
  FrameKind kind_;
};

/// The other end. It is the only writer of its ring.
class LogReceiver {
 public:
  /// Goes on at `published`, and waits for `readers`.
  LogReceiver(std::atomic<std::uint64_t>& published, std::span<const ReaderSlot> readers, std::uint8_t* ring,
              std::uint64_t ring_bytes)
      : published_(published), room_(readers, ring_bytes), ring_(ring), position_(published.load()) {}

  /// Whether a frame finds room now. If not, its readers are waited for, and the connection is not read meanwhile.
  [[nodiscard]] bool has_room(const Frame& frame) const {
    return frame.payload.size() <= room_.bytes(position_, published_.load(std::memory_order_relaxed));
  }
  /// Of FrameKind::log or snapshot, for which there is room. False: it does not follow from what came before; error() says why, and
  /// nothing of it is in the ring that anybody reads.
  bool take(const Frame& frame);
  [[nodiscard]] const std::string& error() const { return error_; }
  /// Everything before it has come, if not yet the end of its transaction.
  [[nodiscard]] std::uint64_t position() const { return position_; }

 private:
  std::atomic<std::uint64_t>& published_;
  RingRoom room_;
  std::uint8_t* ring_;
  std::uint64_t position_;
  std::string error_;
};

}  // namespace tandem::ha
