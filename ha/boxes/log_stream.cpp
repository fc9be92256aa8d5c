// SPDX-License-Identifier: BSD-3-Clause
#include "log_stream.hpp"

#include <algorithm>
#include <cstring>

namespace tandem::ha {

std::optional<LogShipper::Shipment> LogShipper::next(std::uint64_t published, std::size_t most) {
  if (published <= position_) return std::nullopt;
  const std::uint64_t left = published - position_;
  const std::size_t bytes = std::min<std::uint64_t>({left, most & ~std::size_t{7}, kMaxFrameBytes});
  const Bytes payload(ring_ + (position_ & (ring_bytes_ - 1)), bytes);
  const FrameHeader header = frame_header(kind_, bytes < left ? kMoreFrames : std::uint16_t{0}, position_, payload);
  position_ += bytes;
  return Shipment{header, payload};
}

bool LogReceiver::take(const Frame& frame) {
  if (!error_.empty()) return false;
  if (frame.value != position_) {
    error_ =
        "bytes of log position " + std::to_string(frame.value) + ", where " + std::to_string(position_) + " is next";
  } else if (frame.payload.empty() || frame.payload.size() % 8 != 0) {
    error_ = "a piece of the log of " + std::to_string(frame.payload.size()) + " bytes";
  } else if (!has_room(frame)) {
    error_ = "a piece of the log that there was no room for";
  }
  if (!error_.empty()) return false;
  std::memcpy(ring_ + (position_ & (room_.ring_bytes() - 1)), frame.payload.data(), frame.payload.size());
  position_ += frame.payload.size();
  if ((frame.flags & kMoreFrames) == 0) published_.store(position_, std::memory_order_release);
  return true;
}

}  // namespace tandem::ha
