// SPDX-License-Identifier: BSD-3-Clause
#include "arp.hpp"

#include <algorithm>

#include "octets.hpp"

namespace tandem::wire {

namespace {

// Offsets in a frame.
constexpr std::size_t kSourceMacAt = 6;
constexpr std::size_t kTypeAt = 12;  ///< Ethernet's type, then what is the same in each packet
constexpr std::size_t kOperationAt = 20;
constexpr std::size_t kSenderMacAt = 22;
constexpr std::size_t kSenderAt = 28;
constexpr std::size_t kTargetMacAt = 32;
constexpr std::size_t kTargetAt = 38;
// ARP; Ethernet; IPv4; lengths of their addresses.
constexpr std::uint8_t kFixed[] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4};

}  // namespace

std::optional<ArpPacket> parse_arp(Bytes frame) {
  if (frame.size() < kArpFrameBytes || !std::equal(std::begin(kFixed), std::end(kFixed), frame.begin() + kTypeAt)) {
    return std::nullopt;
  }
  const std::uint8_t* const at = frame.data();
  const ArpPacket packet{load_be16(at + kOperationAt), load_mac(at + kSenderMacAt), load_address(at + kSenderAt, 4),
                         load_mac(at + kTargetMacAt), load_address(at + kTargetAt, 4)};
  if (packet.operation != ArpPacket::kRequest && packet.operation != ArpPacket::kReply) {
    return std::nullopt;
  }
  return packet;
}

void write_arp(std::span<std::uint8_t, kArpFrameBytes> frame, const MacAddress& to, const ArpPacket& packet) {
  std::uint8_t* const at = frame.data();
  store(at, to);
  store(at + kSourceMacAt, packet.sender_mac);
  std::copy(std::begin(kFixed), std::end(kFixed), at + kTypeAt);
  store_be16(at + kOperationAt, packet.operation);
  store(at + kSenderMacAt, packet.sender_mac);
  store(at + kSenderAt, packet.sender);
  store(at + kTargetMacAt, packet.target_mac);
  store(at + kTargetAt, packet.target);
}

}  // namespace tandem::wire
