// SPDX-License-Identifier: BSD-3-Clause
//
// What was dealt with by the last turn that was published is shown to nobody again, and what was not is shown to whoever adopts: in
// each receive queue he goes on exactly there (I4).
#pragma once

#include <array>
#include <cstdint>

#include "kernel.hpp"
#include "tandem/device.hpp"

namespace tandem::sim {

class QueueCheck {
 public:
  explicit QueueCheck(Director& director) : director_(director) {}

  // ---- What the interface sees ----
  /// The owner reads this frame in the turn that is under way.
  void shown(FramePlace place) { shown_[place.source] = place.index + 1; }
  /// An adopter has left the consumer of this queue's RX ring here.
  void adopted(std::uint32_t queue, std::uint32_t rx_consumer);
  /// Other rings.
  void reopened() { shown_ = published_ = {}; }

  // ---- What World sees ----
  /// The turn is published.
  void published() { published_ = shown_; }

 private:
  Director& director_;
  std::array<std::uint32_t, kMostQueues> shown_{}, published_{};
};

}  // namespace tandem::sim
