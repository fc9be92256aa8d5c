// SPDX-License-Identifier: BSD-3-Clause
//
// ARP on Ethernet for IPv4 (RFC 826).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "tandem/address.hpp"

namespace tandem::wire {

struct ArpPacket {
  static constexpr std::uint16_t kRequest = 1, kReply = 2;
  std::uint16_t operation = kRequest;
  MacAddress sender_mac;
  IpAddress sender;
  MacAddress target_mac;
  IpAddress target;
};

inline constexpr std::size_t kArpFrameBytes = 14 + 28;

/// From a whole frame. Nothing when it is too short or of other hardware, protocol or operation.
[[nodiscard]] std::optional<ArpPacket> parse_arp(Bytes frame);
/// Writes a whole frame.
void write_arp(std::span<std::uint8_t, kArpFrameBytes> frame, const MacAddress& to, const ArpPacket& packet);

}  // namespace tandem::wire
