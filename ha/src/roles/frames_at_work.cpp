// SPDX-License-Identifier: BSD-3-Clause
#include "roles/frames_at_work.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace tandem::ha {
namespace {

/// Indices count without end.
bool is_before(std::uint32_t index, std::uint32_t other) { return static_cast<std::int32_t>(index - other) < 0; }

}  // namespace

void FramesAtWork::published() {
  if (slot_ == nullptr) return;
  slot_->frames.store(0, std::memory_order_relaxed);
  for (; sources_ != 0; sources_ &= sources_ - 1)
    slot_->reached[static_cast<std::size_t>(std::countr_zero(sources_))].store(0, std::memory_order_relaxed);
  count_ = 0;
}

FramesLeft frames_left(const OwnerSlot& slot) {
  FramesLeft left;
  const std::uint64_t word = slot.frames.load();
  if ((word & FramesAtWork::kSet) == 0) return left;
  if ((word & FramesAtWork::kBehind) == 0) {
    left.one = {static_cast<std::uint32_t>(word), static_cast<std::uint32_t>(word >> 32) & 0xffffU};
    return left;
  }
  for (std::size_t source = 0; source < kFrameSources; ++source) {
    const std::uint64_t reached = slot.reached[source].load();
    if ((reached & FramesAtWork::kSet) != 0) left.before[source] = static_cast<std::uint32_t>(reached);
  }
  return left;
}

bool FramesLeft::any() const {
  return one || std::any_of(before.begin(), before.end(), [](const auto& index) { return index.has_value(); });
}

bool FramesLeft::take(FramePlace place) {
  if (one) {
    if (one->source != place.source || is_before(place.index, one->index)) return false;
    return std::exchange(one, std::nullopt)->index == place.index;
  }
  if (place.source >= kFrameSources || !before[place.source]) return false;
  if (is_before(place.index, *before[place.source])) return true;
  before[place.source].reset();
  return false;
}

void FramesLeft::forget_dealt_with(const WireMark& mark) {
  for (std::uint32_t source = 0; source <= mark.more_queues && source < kMostQueues; ++source) {
    const std::uint32_t shown_next = source == 0 ? mark.rx_index : mark.more_rx_indices[source - 1];
    if (one && one->source == source && is_before(one->index, shown_next)) one.reset();
    if (before[source] && !is_before(shown_next, *before[source])) before[source].reset();
  }
}

}  // namespace tandem::ha
