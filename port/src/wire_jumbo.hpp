// SPDX-License-Identifier: BSD-3-Clause
//
// Packets that do not fit one frame (AF_XDP's multi-buffer): several descriptors, all but the last marked kContinued. To the rings and
// to who adopts them each is a frame like any other. What comes is shown as one copy, what goes is divided when it is staged; a
// mark never falls between the frames of one packet.
#pragma once

#include "wire_rings.hpp"

namespace tandem {

/// The kernel's MAX_SKB_FRAGS, and the first one. What claims to be longer is no packet.
constexpr std::uint32_t kMostPieces = 18;

template <class Probe>
bool WireRings<Probe>::peek_jumbo(std::uint32_t producer, RxFrame& frame, bool& shown) {
  std::uint32_t end = shown_, bytes = 0;
  bool fits = true;
  for (bool more = true; more; ++end) {
    if (end == producer) return false;  // the kernel shows a packet as a whole
    const Descriptor piece = rings_.rx.read(end);
    more = (piece.options & kContinued) != 0 && end - shown_ < kMostPieces;
    fits = fits && end - shown_ < kMostPieces && inside(piece) && showing_[frame_of(piece.address)] == Shown::no &&
           piece.length <= jumbo_->largest() - bytes;
    if (fits) bytes += piece.length;
  }
  if (!fits) {
    counters_.rx_invalid += end - shown_;
    shown_ = end;
    return true;
  }
  if (jumbo_->is_full()) return false;
  const std::uint32_t first = frame_of(rings_.rx.read(shown_).address);
  const std::span<std::uint8_t> whole = jumbo_->take(first);
  const std::uint32_t place = shown_;
  std::uint32_t at = 0;
  while (shown_ != end) {
    const Descriptor piece = rings_.rx.read(shown_);
    const std::uint32_t slot = shown_++;
    const std::uint32_t part = frame_of(piece.address);
    const std::uint8_t* data = pool_.data(piece.address);
    const std::uint32_t length = std::min(piece.length, bytes - at);
    std::memcpy(whole.data() + at, data, length);
    at += length;
    // Nobody changes it here, but an adopter knows no difference.
    std::memcpy(pool_.data(pool_.address(part)), data, std::min(length, kSavedBytes));
    probe_(WireStep::rx_saved);
    meet(part);
    pool_.set(part, FrameOwner::receiving, slot);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    probe_(WireStep::rx_word);
    showing_[part] = part == first ? Shown::yes : Shown::done;
  }
  frame = {whole.first(at), first, {place, 0}};
  shown = true;
  ++counters_.rx_frames;
  counters_.rx_bytes += at;
  return true;
}

template <class Probe>
std::span<std::uint8_t> WireRings<Probe>::reserve_jumbo(std::uint32_t bytes) {
  if (!jumbo_ || bytes > jumbo_->largest()) return {};
  const std::uint32_t capacity = view_.geometry.capacity();
  const std::uint32_t pieces = (bytes + capacity - 1) / capacity;
  if (staged_ - load_acquire(rings_.tx.consumer) + pieces > rings_.tx.size) {
    ++counters_.tx_ring_full;
    return {};
  }
  const auto has_room = [&] { return pool_.transmit_room() + (reserved_ != kNone ? 1 : 0) >= pieces; };
  if (!has_room()) reap();
  if (!has_room()) reclaim_all();
  if (!has_room()) {
    ++counters_.tx_no_frame;
    return {};
  }
  return jumbo_->reserve(bytes);
}

template <class Probe>
void WireRings<Probe>::stage_jumbo() {
  std::span<std::uint8_t> rest = std::exchange(jumbo_->outgoing, {});
  while (!rest.empty() && reserve_frame()) {
    const std::size_t length = std::min<std::size_t>(rest.size(), view_.geometry.capacity());
    pool_.set(reserved_, FrameOwner::staged, staged_);
    const std::uint64_t address = pool_.address(reserved_) + kFrameHeadroom;
    std::memcpy(pool_.data(address), rest.data(), length);
    rest = rest.subspan(length);
    rings_.tx.at(staged_) = {address, static_cast<std::uint32_t>(length), rest.empty() ? 0 : kContinued};
    ++staged_;
    reserved_ = kNone;
    probe_(WireStep::tx_staged);
  }
}

}  // namespace tandem
