// SPDX-License-Identifier: BSD-3-Clause
//
// Drives the four rings and the frames of one wire as a turn does (design.md section 3), so that the process may die after
// any store and another one can go on without losing or doubling a frame. It knows memory only: the rings may be a
// kernel's, a TAP's or a test's. `Probe` is called after every store that an adopter could find.
//
// What stands in shared memory is believed as far as it can be true. An entry that names no frame of ours, or an index further
// than its ring is long, can only come from somebody who wrote where he should not: such entries and rings are left alone.
//
// What each operation stores, in this order:
//   peek       saved bytes, word receiving                     (the consumer stays)
//   stage      word staged, descriptor beyond the producer     (the producer stays)
//   tx_release tx_intent, words transmitting, producer         intent beyond producer: the adopter completes it
//   rx_release words free or held, consumer                    entries still in the ring: the ring wins over the words
//   reap       words free, consumer                            still in the ring: the adopter reaps again
//   fill       entries, fill_intent, words fill, producer      intent beyond producer: the adopter completes it
#pragma once

#include <algorithm>
#include <cassert>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "frame_pool.hpp"
#include "jumbo_buffers.hpp"
#include "tandem/device.hpp"
#include "tandem/planted.hpp"
#include "wire_probe.hpp"

namespace tandem {

template <class Probe>
class WireRings {
 public:
  WireRings(const WireView& view, const Rings& rings, Probe probe = {})
      : view_(view), rings_(rings), pool_(view), probe_(probe), showing_(view.geometry.frames, Shown::no) {}

  /// Packets that do not fit one frame, up to this many bytes, come and go in several (wire_jumbo.hpp). Not before this is called.
  void allow_jumbo(std::uint32_t largest_bytes) { jumbo_.emplace(largest_bytes); }

  /// First owner: every frame is free in fresh memory.
  void start() {
    pool_.recount();
    reclaim_all();
    shown_ = load_acquire(rings_.rx.consumer);
    staged_ = load_acquire(rings_.tx.producer);
    active_ = true;
  }

  /// From here on nothing is touched, whoever still calls.
  void stop() { active_ = false; }
  /// Undoes stop().
  void go_on() { active_ = true; }
  [[nodiscard]] bool active() const { return active_; }

  std::size_t peek(std::span<RxFrame> frames);
  [[nodiscard]] bool rx_ready() const { return active_ && load_acquire(rings_.rx.producer) != shown_; }
  void rx_done(std::uint32_t frame);
  void rx_release();

  std::span<std::uint8_t> tx_reserve(std::uint32_t bytes);
  void tx_stage();
  /// True when packets were handed over.
  bool tx_release(std::uint32_t index);
  /// Shows the packets that tx_release(index) would hand over.
  template <class Visit>
  void for_each_staged(std::uint32_t index, const Visit& visit) const {
    const std::uint32_t producer = load_acquire(rings_.tx.producer);
    const std::uint32_t count = rings_.tx.ahead(index, producer);
    if (!active_ || count > staged_ - producer) return;
    for (std::uint32_t i = producer; i != index; ++i) {
      const Descriptor descriptor = rings_.tx.read(i);
      if (!inside(descriptor)) continue;
      if (jumbo_ && jumbo_->collects(descriptor, pool_.data(descriptor.address))) continue;
      if (jumbo_ && !jumbo_->collected().empty())
        visit(jumbo_->take_collected());
      else
        visit(Bytes(pool_.data(descriptor.address), descriptor.length));
    }
  }
  /// Handed over and not yet taken.
  [[nodiscard]] bool tx_pending() const {
    return active_ && load_acquire(rings_.tx.consumer) != load_acquire(rings_.tx.producer);
  }

  [[nodiscard]] WireMark mark() const { return {shown_, staged_}; }
  void reap();
  void fill();

  using Observer = std::function<void(std::span<const std::uint8_t> packet)>;
  /// `handed_over` sees each packet of the dead owner's that goes now. `first_is_out` is called, if there is any, when the first
  /// one stands in the ring and the others do not yet.
  void adopt(
      const WireMark* committed, const Observer& handed_over, const std::function<void()>& first_is_out = [] {});
  [[nodiscard]] std::uint64_t adopted_packets() const { return adopted_packets_; }

  [[nodiscard]] FrameCensus census() const;
  [[nodiscard]] const DeviceStatistics& counters() const { return counters_; }
  [[nodiscard]] std::uint64_t held() const { return held_; }
  [[nodiscard]] const Rings& rings() const { return rings_; }
  /// Whether this lies in one frame, behind the bytes that are kept there.
  [[nodiscard]] bool inside(const Descriptor& descriptor) const {
    const std::uint64_t frame = pool_.frame_at(descriptor.address);
    if (frame >= pool_.frames()) return false;
    const std::uint64_t offset = descriptor.address - pool_.address(static_cast<std::uint32_t>(frame));
    return offset >= kSavedBytes && offset + descriptor.length <= view_.geometry.frame_bytes;
  }
  [[nodiscard]] const FramePool& pool() const { return pool_; }

 private:
  static constexpr std::uint32_t kNone = 0xffff'ffff;
  static constexpr std::uint32_t kReclaimPerTurn = 512;  ///< frames; one to two microseconds

  /// False when there is no room for it, or it is not there as a whole yet.
  bool peek_jumbo(std::uint32_t producer, RxFrame& frame, bool& shown);
  std::span<std::uint8_t> reserve_jumbo(std::uint32_t bytes);
  void stage_jumbo();
  /// Takes a frame for sending; false when there is none.
  bool reserve_frame();
  void adopt_fill();
  void adopt_tx(const WireMark* committed, const Observer& handed_over, const std::function<void()>& first_is_out);
  void adopt_completion();
  void adopt_rx(const WireMark* committed);
  void reclaim(std::uint32_t frame);
  void reclaim_until_sendable();
  void reclaim_some();
  void reclaim_all();
  void meet(std::uint32_t frame);
  [[nodiscard]] std::uint32_t frame_of(std::uint64_t address) const {
    return static_cast<std::uint32_t>(pool_.frame_at(address));
  }

  WireView view_;
  Rings rings_;
  FramePool pool_;
  Probe probe_;
  bool active_ = false;
  enum class Shown : std::uint8_t { no, yes, done, held };
  std::vector<Shown>
      showing_;               ///< a frame: shown and still in the ring, the stack is done with it, or it is given back
  std::uint32_t shown_ = 0;   ///< RX index up to which frames were shown
  std::uint32_t staged_ = 0;  ///< TX index that the staged packets reach
  std::uint32_t reserved_ = kNone;  ///< a frame
  std::uint32_t reserved_bytes_ = 0;
  mutable std::optional<JumboBuffers> jumbo_;
  std::uint64_t held_ = 0;
  std::uint64_t adopted_packets_ = 0;
  DeviceStatistics counters_;
};

template <class Probe>
std::size_t WireRings<Probe>::peek(std::span<RxFrame> frames) {
  if (!active_) return 0;
  const std::uint32_t producer = shown_ + rings_.rx.ahead(load_acquire(rings_.rx.producer), shown_);
  std::size_t count = 0;
  while (count < frames.size() && shown_ != producer) {
    const Descriptor descriptor = rings_.rx.read(shown_);
    if (jumbo_ && (descriptor.options & kContinued) != 0) {
      bool shown = false;
      if (!peek_jumbo(producer, frames[count], shown)) break;
      count += shown ? 1 : 0;
      continue;
    }
    const std::uint32_t slot = shown_++;
    if (!inside(descriptor) || showing_[frame_of(descriptor.address)] != Shown::no) {
      ++counters_.rx_invalid;
      continue;
    }
    const std::uint32_t frame = frame_of(descriptor.address);
    std::uint8_t* data = pool_.data(descriptor.address);
    // The stack changes headers in place. An adopter must be able to show the frame as it arrived.
    if (!TANDEM_PLANTED(saved_bytes_stale))
      std::memcpy(pool_.data(pool_.address(frame)), data, std::min(descriptor.length, kSavedBytes));
    probe_(WireStep::rx_saved);
    meet(frame);
    pool_.set(frame, FrameOwner::receiving, slot);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    probe_(WireStep::rx_word);
    showing_[frame] = Shown::yes;
    frames[count++] = {{data, descriptor.length}, frame, {slot, 0}};
    ++counters_.rx_frames;
    counters_.rx_bytes += descriptor.length;
  }
  return count;
}

template <class Probe>
void WireRings<Probe>::rx_done(std::uint32_t frame) {
  if (!active_ || frame >= pool_.frames()) return;
  if (jumbo_) jumbo_->done(frame);
  assert(showing_[frame] == Shown::yes || showing_[frame] == Shown::held);
  if (showing_[frame] == Shown::yes) {
    showing_[frame] = Shown::done;  // still in the ring: rx_release frees it
  } else if (showing_[frame] == Shown::held) {
    showing_[frame] = Shown::no;
    pool_.set(frame, FrameOwner::free, 0);
    pool_.put_back_received(frame);
    --held_;
    probe_(WireStep::rx_released_word);
  }
}

template <class Probe>
void WireRings<Probe>::rx_release() {
  if (!active_) return;
  const std::uint32_t given_back = load_acquire(rings_.rx.consumer);
  if (given_back == shown_) return;
  const std::uint32_t consumer = shown_ - rings_.rx.ahead(shown_, given_back);
  for (std::uint32_t index = consumer; index != shown_; ++index) {
    const Descriptor descriptor = rings_.rx.read(index);
    if (!inside(descriptor)) continue;
    const std::uint32_t frame = frame_of(descriptor.address);
    if (showing_[frame] == Shown::done) {
      showing_[frame] = Shown::no;
      pool_.set(frame, FrameOwner::free, 0);
      pool_.put_back_received(frame);
      if (TANDEM_PLANTED(frame_freed_twice)) pool_.put_back_received(frame);
    } else if (showing_[frame] == Shown::yes) {
      showing_[frame] = Shown::held;
      pool_.set(frame, FrameOwner::held, index);
      ++held_;
    }
    probe_(WireStep::rx_released_word);
    if (index - consumer == (shown_ - consumer) / 2) probe_(WireStep::rx_words_half);
  }
  probe_(WireStep::rx_words);
  store_release(rings_.rx.consumer, shown_);
  probe_(WireStep::rx_consumer);
}

template <class Probe>
std::span<std::uint8_t> WireRings<Probe>::tx_reserve(std::uint32_t bytes) {
  if (!active_) return {};
  if (bytes > view_.geometry.capacity()) return reserve_jumbo(bytes);
  if (jumbo_) jumbo_->outgoing = {};
  if (staged_ - load_acquire(rings_.tx.consumer) >= rings_.tx.size) {
    ++counters_.tx_ring_full;
    return {};
  }
  if (!reserve_frame()) return {};
  reserved_bytes_ = bytes;
  return {pool_.data(pool_.address(reserved_) + kFrameHeadroom), bytes};
}

template <class Probe>
bool WireRings<Probe>::reserve_frame() {
  if (reserved_ != kNone) return true;
  if (pool_.transmit_room() == 0) reap();
  if (pool_.transmit_room() == 0) reclaim_until_sendable();
  if (pool_.transmit_room() == 0) {
    ++counters_.tx_no_frame;
    return false;
  }
  reserved_ = pool_.take_for_transmit();
  pool_.set(reserved_, FrameOwner::staged, staged_);
  probe_(WireStep::tx_staged);
  return true;
}

template <class Probe>
void WireRings<Probe>::tx_stage() {
  if (active_ && jumbo_ && !jumbo_->outgoing.empty()) return stage_jumbo();
  if (!active_ || reserved_ == kNone) return;
  rings_.tx.at(staged_) = {pool_.address(reserved_) + kFrameHeadroom, reserved_bytes_, 0};
  ++staged_;
  reserved_ = kNone;
  probe_(WireStep::tx_staged);
}

template <class Probe>
bool WireRings<Probe>::tx_release(std::uint32_t index) {
  if (!active_) return false;
  const std::uint32_t producer = load_acquire(rings_.tx.producer);
  const std::uint32_t count = rings_.tx.ahead(index, producer);
  if (count == 0 || count > staged_ - producer) return false;
  store_release(&view_.control->tx_intent.value, index);
  probe_(WireStep::tx_intent);
  for (std::uint32_t i = producer; i != index; ++i) {
    const Descriptor descriptor = rings_.tx.read(i);
    if (inside(descriptor)) pool_.set(frame_of(descriptor.address), FrameOwner::transmitting, i);
    ++counters_.tx_frames;
    counters_.tx_bytes += descriptor.length;
    probe_(WireStep::tx_word);
  }
  probe_(WireStep::tx_words);
  if (Probe::active && count > 1) {
    store_release(rings_.tx.producer, producer + count / 2);
    probe_(WireStep::tx_half);
  }
  store_release(rings_.tx.producer, index);
  probe_(WireStep::tx_producer);
  return true;
}

template <class Probe>
void WireRings<Probe>::reap() {
  if (!active_) return;
  const std::uint32_t consumer = load_acquire(rings_.completion.consumer);
  const std::uint32_t producer = consumer + rings_.completion.ahead(load_acquire(rings_.completion.producer), consumer);
  if (producer == consumer) return;
  for (std::uint32_t index = consumer; index != producer; ++index) {
    const std::uint64_t frame = pool_.frame_at(rings_.completion.read(index));
    if (frame >= pool_.frames()) continue;
    meet(static_cast<std::uint32_t>(frame));
    pool_.set(static_cast<std::uint32_t>(frame), FrameOwner::free, 0);
    pool_.put_back_transmitted(static_cast<std::uint32_t>(frame));
    probe_(WireStep::completion_word);
  }
  store_release(rings_.completion.consumer, producer);
  probe_(WireStep::completion_consumer);
}

template <class Probe>
void WireRings<Probe>::fill() {
  if (!active_) return;
  const std::uint32_t producer = load_acquire(rings_.fill.producer);
  const std::size_t space =
      rings_.fill.size - std::min(producer - load_acquire(rings_.fill.consumer), rings_.fill.size);
  if (!pool_.is_counted()) {
    // The first turns after an adoption have somebody waiting, and the ring still has most of what it had.
    if (space <= rings_.fill.size / 2) return reclaim_some();
    reclaim_all();
  }
  const std::size_t count = std::min(space, pool_.receive_room());
  if (count == 0) return;
  for (std::size_t i = 0; i < count; ++i)
    rings_.fill.at(producer + static_cast<std::uint32_t>(i)) = pool_.address(pool_.peek_free(i));
  const std::uint32_t target = producer + static_cast<std::uint32_t>(count);
  store_release(&view_.control->fill_intent.value, target);
  probe_(WireStep::fill_intent);
  for (std::size_t i = 0; i < count; ++i) {
    pool_.set(pool_.peek_free(i), FrameOwner::fill, producer + static_cast<std::uint32_t>(i));
    probe_(WireStep::fill_word);
  }
  pool_.take_for_receive(count);
  store_release(rings_.fill.producer, target);
  probe_(WireStep::fill_producer);
}

template <class Probe>
void WireRings<Probe>::adopt(const WireMark* committed, const Observer& handed_over,
                             const std::function<void()>& first_is_out) {
  // Every step can be cut in two and done again from its start. Rings first, words last: the rings win.
  active_ = false;
  adopt_fill();
  probe_(WireStep::adopt_fill);
  adopt_tx(committed, handed_over, first_is_out);
  probe_(WireStep::adopt_tx);
  adopt_completion();
  adopt_rx(committed);
  probe_(WireStep::adopt_rx);
  // Somebody waits, and most words are of frames that lie where they lay: they are gone through by the turns that follow, some
  // each, or when frames are needed.
  pool_.recount();
  shown_ = load_acquire(rings_.rx.consumer);
  staged_ = load_acquire(rings_.tx.producer);
  reserved_ = kNone;
  held_ = 0;
  std::fill(showing_.begin(), showing_.end(), Shown::no);
  active_ = true;
}

template <class Probe>
void WireRings<Probe>::adopt_fill() {
  if (TANDEM_PLANTED(fill_intent_ignored)) return;
  const std::uint32_t producer = load_acquire(rings_.fill.producer);
  const std::uint32_t intent = producer + rings_.fill.ahead(load_acquire(&view_.control->fill_intent.value), producer);
  std::uint32_t target = producer;
  for (; target != intent; ++target) {
    const std::uint64_t frame = pool_.frame_at(rings_.fill.read(target));
    if (frame >= pool_.frames()) break;
    pool_.set(static_cast<std::uint32_t>(frame), FrameOwner::fill, target);
    probe_(WireStep::adopt_store);
  }
  if (target == producer) return;
  store_release(rings_.fill.producer, target);
  probe_(WireStep::adopt_store);
}

template <class Probe>
void WireRings<Probe>::adopt_tx(const WireMark* committed, const Observer& handed_over,
                                const std::function<void()>& first_is_out) {
  const std::uint32_t producer = load_acquire(rings_.tx.producer);
  std::uint32_t count = rings_.tx.ahead(load_acquire(&view_.control->tx_intent.value), producer);
  if (committed != nullptr) count = std::max(count, rings_.tx.ahead(committed->tx_index, producer));
  if (TANDEM_PLANTED(packets_not_sent)) count = 0;
  // A descriptor that does not fit its frame's word was not staged for this index: nothing from there on may leave.
  std::uint32_t target = producer;
  for (; target != producer + count; ++target) {
    const Descriptor descriptor = rings_.tx.read(target);
    if (!inside(descriptor)) break;
    const std::uint32_t word = pool_.word(frame_of(descriptor.address));
    const FrameOwner owner = FrameWord::owner(word);
    if ((owner != FrameOwner::staged && owner != FrameOwner::transmitting) ||
        FrameWord::slot(word) != (target & FrameWord::kSlotMask))
      break;
  }
  counters_.tx_invalid += producer + count - target;
  if (target == producer) {
    // Handed over by the dead owner, and not yet taken.
    if (load_acquire(rings_.tx.consumer) != producer) first_is_out();
    return;
  }
  store_release(&view_.control->tx_intent.value, target);
  probe_(WireStep::adopt_store);
  for (std::uint32_t index = producer; index != target; ++index) {
    const Descriptor descriptor = rings_.tx.read(index);
    if (!inside(descriptor)) continue;
    if (handed_over) handed_over({pool_.data(descriptor.address), descriptor.length});
    pool_.set(frame_of(descriptor.address), FrameOwner::transmitting, index);
    probe_(WireStep::adopt_store);
  }
  store_release(rings_.tx.producer, producer + 1);
  probe_(WireStep::adopt_store);
  first_is_out();
  store_release(rings_.tx.producer, target);
  adopted_packets_ += target - producer;
  probe_(WireStep::adopt_store);
}

template <class Probe>
void WireRings<Probe>::adopt_completion() {
  const std::uint32_t consumer = load_acquire(rings_.completion.consumer);
  const std::uint32_t producer = consumer + rings_.completion.ahead(load_acquire(rings_.completion.producer), consumer);
  if (producer == consumer) return;
  for (std::uint32_t index = consumer; index != producer; ++index) {
    const std::uint64_t frame = pool_.frame_at(rings_.completion.read(index));
    if (frame < pool_.frames()) pool_.set(static_cast<std::uint32_t>(frame), FrameOwner::free, 0);
    probe_(WireStep::adopt_store);
  }
  store_release(rings_.completion.consumer, producer);
  probe_(WireStep::adopt_store);
}

template <class Probe>
void WireRings<Probe>::adopt_rx(const WireMark* committed) {
  std::uint32_t consumer = load_acquire(rings_.rx.consumer);
  const std::uint32_t producer = consumer + rings_.rx.ahead(load_acquire(rings_.rx.producer), consumer);
  const std::uint32_t dealt_with = committed != nullptr ? rings_.rx.ahead(committed->rx_index, consumer) : 0;
  if (dealt_with != 0 && dealt_with <= producer - consumer) {
    for (std::uint32_t index = consumer; index != consumer + dealt_with; ++index) {
      const Descriptor descriptor = rings_.rx.read(index);
      if (inside(descriptor)) pool_.set(frame_of(descriptor.address), FrameOwner::free, 0);
      probe_(WireStep::adopt_store);
    }
    consumer += dealt_with;
    store_release(rings_.rx.consumer, consumer);
    probe_(WireStep::adopt_store);
  }
  for (std::uint32_t index = consumer; index != producer; ++index) {
    const Descriptor descriptor = rings_.rx.read(index);
    if (!inside(descriptor)) continue;
    const std::uint32_t frame = frame_of(descriptor.address);
    if (pool_.owner(frame) == FrameOwner::fill) continue;  // never shown
    std::memcpy(pool_.data(descriptor.address), pool_.data(pool_.address(frame)),
                std::min(descriptor.length, kSavedBytes));
    probe_(WireStep::adopt_store);
    pool_.set(frame, FrameOwner::fill, index);
    probe_(WireStep::adopt_store);
  }
}

/// The frame is about to change hands: what the dead owner made of it is counted before.
template <class Probe>
void WireRings<Probe>::meet(std::uint32_t frame) {
  if (!pool_.is_counted(frame)) pool_.count(frame);
}

/// What the dead owner held, and no ring has, is free.
template <class Probe>
void WireRings<Probe>::reclaim(std::uint32_t frame) {
  switch (pool_.owner(frame)) {
    case FrameOwner::free:
    case FrameOwner::fill:
    case FrameOwner::transmitting:
      break;
    default:
      pool_.set(frame, FrameOwner::free, 0);
      probe_(WireStep::adopt_store);
  }
}

template <class Probe>
void WireRings<Probe>::reclaim_until_sendable() {
  pool_.count_some([this](std::uint32_t frame) { reclaim(frame); }, [this] { return pool_.transmit_room() != 0; });
}

template <class Probe>
void WireRings<Probe>::reclaim_some() {
  std::uint32_t left = kReclaimPerTurn;
  pool_.count_some([this](std::uint32_t frame) { reclaim(frame); }, [&left] { return left-- == 0; });
}

template <class Probe>
void WireRings<Probe>::reclaim_all() {
  if (!pool_.is_counted()) pool_.count_some([this](std::uint32_t frame) { reclaim(frame); }, [] { return false; });
}

template <class Probe>
FrameCensus WireRings<Probe>::census() const {
  FrameCensus census;
  census.total = pool_.frames();
  std::vector<std::uint8_t> places(pool_.frames(), 0);
  const auto seen = [&](std::uint64_t address, std::size_t& counter, std::initializer_list<FrameOwner> expected) {
    const std::uint64_t frame = pool_.frame_at(address);
    const bool fits =
        frame < pool_.frames() && ++places[frame] == 1 &&
        std::find(expected.begin(), expected.end(), pool_.owner(static_cast<std::uint32_t>(frame))) != expected.end();
    ++(fits ? counter : census.duplicated);
  };
  const auto queued = [](const auto& ring) {
    return ring.ahead(load_acquire(ring.producer), load_acquire(ring.consumer));
  };
  for (std::uint32_t i = load_acquire(rings_.fill.consumer), n = queued(rings_.fill); n != 0; ++i, --n)
    seen(rings_.fill.read(i), census.fill, {FrameOwner::fill});
  for (std::uint32_t i = load_acquire(rings_.rx.consumer), n = queued(rings_.rx); n != 0; ++i, --n)
    seen(rings_.rx.read(i).address, census.receiving, {FrameOwner::fill, FrameOwner::receiving});
  for (std::uint32_t i = load_acquire(rings_.tx.consumer), n = queued(rings_.tx); n != 0; ++i, --n)
    seen(rings_.tx.read(i).address, census.transmitting, {FrameOwner::transmitting});
  for (std::uint32_t i = load_acquire(rings_.completion.consumer), n = queued(rings_.completion); n != 0; ++i, --n)
    seen(rings_.completion.read(i), census.transmitting, {FrameOwner::transmitting});
  for (std::uint32_t frame = 0; frame < pool_.frames(); ++frame) {
    if (places[frame] != 0) continue;
    switch (pool_.owner(frame)) {
      case FrameOwner::free:
        ++census.free;
        break;
      case FrameOwner::held:
        ++census.held;
        break;
      case FrameOwner::staged:
        ++census.staged;
        break;
      default:
        ++census.missing;
        break;
    }
  }
  return census;
}

}  // namespace tandem

#include "wire_jumbo.hpp"
