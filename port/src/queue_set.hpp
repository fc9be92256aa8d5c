// SPDX-License-Identifier: BSD-3-Clause
//
// Receive queues beside a device's first one, driven as one: shown in turn, counted, adopted and given back with the first. What is
// sent goes through the first queue alone, so these only take in. `Queue` has `rings` (a WireRings) and wake_receive(); AF_XDP's are
// in receive_queues.hpp, and the simulator has its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "tandem/device.hpp"
#include "tandem/planted.hpp"

namespace tandem {

/// A cookie's part that says of which of these queues a frame is; 0: of none.
inline constexpr std::uint32_t kQueueShift = 20;
inline constexpr std::uint32_t kQueueMask = (kMostQueues - 1) << kQueueShift;

template <class Queue>
class QueueSet {
 public:
  [[nodiscard]] bool empty() const { return queues_.empty(); }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(queues_.size()); }
  [[nodiscard]] static bool owns(std::uint32_t cookie) { return (cookie & kQueueMask) != 0; }
  void add(std::unique_ptr<Queue> queue) { queues_.push_back(std::move(queue)); }

  /// First owner.
  void start() {
    for (const auto& queue : queues_) queue->rings.start();
  }

  /// Shows frames of all queues in turn. `keep` looks at those of one, and says how many stay; it may give others back (done).
  template <class Keep>
  std::size_t peek(std::span<RxFrame> frames, const Keep& keep) {
    std::size_t count = 0;
    for (std::uint32_t i = 0; i < size() && count < frames.size(); ++i) {
      const std::uint32_t place = (next_ + i) % size();
      const auto room = frames.subspan(count);
      const auto shown = room.first(queues_[place]->rings.peek(room));
      for (RxFrame& frame : shown) {
        frame.cookie |= (place + 1) << kQueueShift;
        frame.place.source = place + 1;
      }
      count += keep(shown);
    }
    // Whoever is first may take all the room there is.
    if (!queues_.empty()) next_ = (next_ + 1) % size();
    return count;
  }
  [[nodiscard]] bool ready() const {
    return std::any_of(queues_.begin(), queues_.end(), [](const auto& queue) { return queue->rings.rx_ready(); });
  }
  void done(std::uint32_t cookie) {
    const std::uint32_t number = (cookie & kQueueMask) >> kQueueShift;
    constexpr std::uint32_t kFrame = (1U << kQueueShift) - 1;
    if (number <= size()) queues_[number - 1]->rings.rx_done(cookie & kFrame);
  }
  void release() {
    for (const auto& queue : queues_) queue->rings.rx_release();
  }
  void refill() {
    for (const auto& queue : queues_) {
      queue->rings.reap();
      queue->rings.fill();
      if (queue->rings.active()) queue->wake_receive();
    }
  }
  void add_to(WireMark& mark) const {
    mark.more_queues = size();
    for (std::uint32_t i = 0; i < size(); ++i) mark.more_rx_indices[i] = queues_[i]->rings.mark().rx_index;
  }
  void adopt(const WireMark* committed) {
    for (std::uint32_t i = 0; i < size(); ++i) {
      WireMark its;
      const bool known = committed != nullptr && i < committed->more_queues && !TANDEM_PLANTED(queue_marks_ignored);
      if (known) its.rx_index = TANDEM_PLANTED(queue_marks_mixed) ? committed->rx_index : committed->more_rx_indices[i];
      queues_[i]->rings.adopt(known ? &its : nullptr, {});
    }
  }
  void stop() {
    for (const auto& queue : queues_) queue->rings.stop();
  }
  void go_on() {
    for (const auto& queue : queues_) queue->rings.go_on();
  }
  void add_census(FrameCensus& census) const {
    for (const auto& queue : queues_) {
      const FrameCensus its = queue->rings.census();
      census.total += its.total;
      census.free += its.free;
      census.fill += its.fill;
      census.receiving += its.receiving;
      census.held += its.held;
      census.staged += its.staged;
      census.transmitting += its.transmitting;
      census.missing += its.missing;
      census.duplicated += its.duplicated;
    }
  }

 protected:
  std::vector<std::unique_ptr<Queue>> queues_;

 private:
  std::uint32_t next_ = 0;
};

}  // namespace tandem
