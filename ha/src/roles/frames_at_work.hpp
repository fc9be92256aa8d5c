// SPDX-License-Identifier: BSD-3-Clause
//
// Where an owner is among the frames of its turn, kept in its slot for whoever takes over: two relaxed stores a frame. A frame is
// named by its place (FramePlace), which it keeps from owner to owner. Neither its number among those that are shown would do, since
// several queues are shown in turn, nor its bytes, which nobody can afford to look at.
//
//   OwnerSlot::frames    bit 63: set | bit 62: behind them | 32 u32 source | 0 u32 index of the one that is being processed
//   OwnerSlot::reached   of each source: bit 63: set | 0 u32 index behind the last one that was processed
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "members/shared_group.hpp"

namespace tandem::ha {

/// What an owner was at when it ended: nothing, one frame, or behind several, with handlers and timers.
struct FramesLeft {
  std::optional<FramePlace> one;
  /// Of each source: those in front of this index. Empty with `one`.
  std::array<std::optional<std::uint32_t>, kFrameSources> before{};

  [[nodiscard]] bool any() const;
  /// Whether this frame is one of them. Those of one source are asked for in their order: what has been passed is forgotten.
  bool take(FramePlace place);
  /// What the mark counts as dealt with will not be shown.
  void forget_dealt_with(const WireMark& mark);
};

/// Every word is believed as far as it can be true.
FramesLeft frames_left(const OwnerSlot& slot);

/// The owner's side.
class FramesAtWork {
 public:
  /// `slot`: nullptr when nobody could take over.
  explicit FramesAtWork(OwnerSlot* slot = nullptr) : slot_(slot) {}

  /// This frame is processed now.
  void at(FramePlace place) {
    if (slot_ == nullptr || place.source >= kFrameSources) return;
    slot_->frames.store(kSet | std::uint64_t{place.source} << 32 | place.index, std::memory_order_relaxed);
    slot_->reached[place.source].store(kSet | static_cast<std::uint32_t>(place.index + 1), std::memory_order_relaxed);
    sources_ |= 1U << place.source;
    ++count_;
  }
  /// Handlers and timers go on with what they have brought. Of a single one it is known still which it was.
  void behind() {
    if (slot_ != nullptr && count_ > 1) slot_->frames.store(kSet | kBehind, std::memory_order_relaxed);
  }
  /// All of them are dealt with.
  void published();

 private:
  friend FramesLeft frames_left(const OwnerSlot& slot);
  static constexpr std::uint64_t kSet = std::uint64_t{1} << 63;
  static constexpr std::uint64_t kBehind = std::uint64_t{1} << 62;
  static_assert(kFrameSources <= 32);

  OwnerSlot* slot_;
  std::uint32_t sources_ = 0;  ///< a bit for each that has been reached
  std::uint32_t count_ = 0;
};

}  // namespace tandem::ha
