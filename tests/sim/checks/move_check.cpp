// SPDX-License-Identifier: BSD-3-Clause
#include "move_check.hpp"

#include <algorithm>

namespace tandem::sim {
namespace {

constexpr std::size_t kDestinationAt = 0, kSourceAt = 6, kTypeAt = 12, kBodyAt = 14;
constexpr std::size_t kArpSenderMacAt = kBodyAt + 8, kArpSenderAt = kBodyAt + 14, kArpTargetAt = kBodyAt + 24;
constexpr std::size_t kArpEnd = kBodyAt + 28;
constexpr std::size_t kIpv6NextAt = kBodyAt + 6, kIcmp6At = kBodyAt + 40, kNdTargetAt = kIcmp6At + 8,
                      kNdEnd = kNdTargetAt + 16;
constexpr std::uint8_t kAdvertisement = 136, kIcmp6 = 58;

bool holds(Bytes frame, std::size_t at, Bytes what) { return std::ranges::equal(frame.subspan(at, what.size()), what); }
bool is_type(Bytes frame, std::uint8_t high, std::uint8_t low) {
  return frame[kTypeAt] == high && frame[kTypeAt + 1] == low;
}

}  // namespace

void MoveCheck::moved(const IpAddress& host, const MacAddress& from, const MacAddress& to) {
  state_ = State::moved;
  host_ = host;
  from_ = from;
  to_ = to;
}

bool MoveCheck::announces(Bytes frame) const {
  if (!holds(frame, kSourceAt, to_.octets) || (frame[kDestinationAt] & 1) == 0) return false;
  if (!host_.is_v6())
    return frame.size() >= kArpEnd && is_type(frame, 8, 6) && holds(frame, kArpSenderMacAt, to_.octets) &&
           holds(frame, kArpSenderAt, host_.bytes()) && holds(frame, kArpTargetAt, host_.bytes());
  return frame.size() >= kNdEnd && is_type(frame, 0x86, 0xdd) && frame[kIpv6NextAt] == kIcmp6 &&
         frame[kIcmp6At] == kAdvertisement && holds(frame, kNdTargetAt, host_.bytes());
}

void MoveCheck::arrives(std::uint32_t group_index, Bytes frame) {
  if (state_ == State::none || frame.size() < kBodyAt) return;
  // What he sent before he moved, and comes late, may tell the old address again.
  if (holds(frame, kSourceAt, from_.octets)) {
    state_ = State::moved;
  } else if (state_ == State::moved && announces(frame)) {
    state_ = State::announced;
    group_index_ = group_index;
  }
}

void MoveCheck::handed_over(std::uint32_t tx_producer, std::uint32_t groups_released) {
  if (adopting_) return;
  if (state_ == State::announced && static_cast<std::int32_t>(groups_released - group_index_) > 0) {
    // A turn hands its packets over before it gives its frames back: those that went with the last call are not later ones.
    state_ = State::told;
    tx_index_ = tx_producer_;
    ++followed_;
  }
  tx_producer_ = tx_producer;
}

void MoveCheck::adopted(std::uint32_t tx_producer) {
  adopting_ = false;
  tx_producer_ = tx_producer;
}

void MoveCheck::reopened() {
  adopting_ = false;
  tx_producer_ = 0;
  if (state_ != State::none) state_ = State::moved;
}

void MoveCheck::leaves(std::uint32_t tx_index, Bytes frame) {
  if (state_ != State::told || static_cast<std::int32_t>(tx_index - tx_index_) < 0) return;
  if (frame.size() >= kBodyAt && holds(frame, kDestinationAt, from_.octets))
    director_.violation("who has moved is followed", "a packet goes to " + from_.to_string() + ", although " +
                                                         host_.to_string() + " has said that it is at " +
                                                         to_.to_string());
}

}  // namespace tandem::sim
