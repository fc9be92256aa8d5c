// SPDX-License-Identifier: BSD-3-Clause
//
// Who owns a frame at each moment. The word of a frame in shared memory says it; the word is stored before the ring index
// that makes it true, and the ring index is what counts for an adopter.
//
//                                 refill                     kernel                    rx_peek
//            +--------+  word: fill, then producer  +------+  fills it  +---------+  word: receiving  +-----------+
//      +---> |  free  | --------------------------> | fill | ---------> | RX ring | ----------------> | receiving |
//      |     +--------+                             +------+            | (word   |                   +-----------+
//      |       |    ^                                                   |  fill)  |       rx_release: word, then
//      |       |    |                                                   +---------+       consumer    |        |
//      |       |    +------------------------ done with ----------------------------------------------+        |
//      |       |    |                            rx_done                                         not done      |
//      |       |    +------------------------------------------------------+------+                            |
//      |       |                                                           | held | <--------------------------+
//      |       | tx_reserve                                                +------+
//      |       v
//      |     +--------+  tx_release: intent, words, producer  +--------------+
//      |     | staged | ------------------------------------> | transmitting |  TX ring, kernel, completion ring
//      |     +--------+                                       +--------------+
//      |                         refill: word free, then completion consumer |
//      +---------------------------------------------------------------------+
//
// A frame that is in the RX ring belongs to the ring, whatever its word says (a dying owner may have marked it free). A
// frame whose word says fill or transmitting and that is in no ring is in the kernel's hands and is never reclaimed.
//
// Receiving and sending have a share each, together all frames, so that neither can starve the other.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tandem/planted.hpp"
#include "wire_memory.hpp"

namespace tandem {

enum class FrameOwner : std::uint8_t { free = 0, fill, receiving, held, staged, transmitting };
constexpr std::size_t kFrameOwners = 6;

/// The word: owner, and the low bits of the ring index that the frame was given when it got this owner.
struct FrameWord {
  static constexpr std::uint32_t kSlotMask = 0x00ff'ffff;
  static constexpr std::uint32_t make(FrameOwner owner, std::uint32_t slot) {
    return static_cast<std::uint32_t>(owner) << 24 | (slot & kSlotMask);
  }
  static constexpr FrameOwner owner(std::uint32_t word) { return static_cast<FrameOwner>(word >> 24); }
  static constexpr std::uint32_t slot(std::uint32_t word) { return word & kSlotMask; }
};

/// The frames of one wire as their owner sees them: the shared words, and this process's list of the free ones.
class FramePool {
 public:
  explicit FramePool(const WireView& view)
      : view_(view),
        receive_share_(view.geometry.frames / 2),
        transmit_share_(view.geometry.frames - receive_share_),
        use_(view.geometry.frames, Use::uncounted) {
    // Its memory is touched now, not by a takeover.
    free_.resize(view.geometry.frames);
    free_.clear();
  }

  [[nodiscard]] std::uint32_t frames() const { return view_.geometry.frames; }
  [[nodiscard]] std::uint64_t address(std::uint32_t frame) const {
    return std::uint64_t{frame} * view_.geometry.frame_bytes;
  }
  /// The frame that an address lies in; count() or more when it lies in none.
  [[nodiscard]] std::uint64_t frame_at(std::uint64_t address) const { return address / view_.geometry.frame_bytes; }
  [[nodiscard]] std::uint8_t* data(std::uint64_t address) const { return view_.umem + address; }

  [[nodiscard]] FrameOwner owner(std::uint32_t frame) const {
    return FrameWord::owner(load_acquire(&view_.words[frame]));
  }
  [[nodiscard]] std::uint32_t word(std::uint32_t frame) const { return load_acquire(&view_.words[frame]); }
  void set(std::uint32_t frame, FrameOwner owner, std::uint32_t slot) {
    store_release(&view_.words[frame], FrameWord::make(owner, slot));
  }

  [[nodiscard]] std::size_t free_count() const { return free_.size(); }
  /// Frames that receiving (sending) may still take.
  [[nodiscard]] std::size_t receive_room() const { return room(receiving_, receive_share_); }
  [[nodiscard]] std::size_t transmit_room() const { return room(transmitting_, transmit_share_); }

  /// The n-th of the frames that take_* would give next.
  [[nodiscard]] std::uint32_t peek_free(std::size_t n) const { return free_[free_.size() - 1 - n]; }
  void take_for_receive(std::size_t n) {
    assert(n <= receive_room());
    for (std::size_t i = 0; i < n; ++i) use_[peek_free(i)] = Use::receiving;
    free_.resize(free_.size() - n);
    receiving_ += n;
  }
  std::uint32_t take_for_transmit() {
    assert(transmit_room() > 0);
    const std::uint32_t frame = free_.back();
    free_.pop_back();
    use_[frame] = Use::transmitting;
    ++transmitting_;
    return frame;
  }
  /// The word is already stored. A frame that was not taken for this is not put back: a ring has named it twice, or wrongly.
  void put_back_received(std::uint32_t frame) { put_back(frame, Use::receiving, receiving_); }
  void put_back_transmitted(std::uint32_t frame) { put_back(frame, Use::transmitting, transmitting_); }
  /// Forgets what this process thought, to count again what the words say: by count() for single frames, by count_some() for
  /// the others in turn. Until that is through, fewer frames are known to be free, and fewer to be in use, than there are.
  void recount() {
    free_.clear();
    receiving_ = transmitting_ = 0;
    uncounted_ = frames();
    std::fill(use_.begin(), use_.end(), Use::uncounted);
  }
  [[nodiscard]] bool is_counted() const { return uncounted_ == 0; }
  [[nodiscard]] bool is_counted(std::uint32_t frame) const { return uncounted_ == 0 || use_[frame] != Use::uncounted; }
  /// Counts one frame as its word says.
  void count(std::uint32_t frame) {
    switch (owner(frame)) {
      case FrameOwner::free:
        use_[frame] = Use::free;
        free_.push_back(frame);
        break;
      case FrameOwner::fill:
      case FrameOwner::receiving:
      case FrameOwner::held:
        use_[frame] = Use::receiving;
        ++receiving_;
        break;
      default:
        use_[frame] = Use::transmitting;
        ++transmitting_;
        break;
    }
  }
  /// Counts the others, highest first, until `enough()`; shows each to `before` beforehand.
  template <class Before, class Enough>
  void count_some(Before before, Enough enough) {
    while (uncounted_ != 0 && !enough()) {
      const std::uint32_t frame = --uncounted_;
      if (use_[frame] != Use::uncounted) continue;
      before(frame);
      count(frame);
    }
  }

 private:
  enum class Use : std::uint8_t { uncounted, free, receiving, transmitting };

  void put_back(std::uint32_t frame, Use expected, std::size_t& users) {
    if (use_[frame] != expected && !TANDEM_PLANTED(frame_freed_twice)) return;
    use_[frame] = Use::free;
    --users;
    free_.push_back(frame);
  }
  [[nodiscard]] std::size_t room(std::size_t used, std::size_t share) const {
    const std::size_t left = used < share ? share - used : 0;
    return left < free_.size() ? left : free_.size();
  }

  WireView view_;
  std::size_t receive_share_, transmit_share_;
  std::size_t receiving_ = 0, transmitting_ = 0;
  std::vector<std::uint32_t> free_;
  std::vector<Use> use_;         ///< a frame, as this process believes, whatever the shared words say
  std::uint32_t uncounted_ = 0;  ///< frames below it have not been come to
};

}  // namespace tandem
