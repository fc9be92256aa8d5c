// SPDX-License-Identifier: BSD-3-Clause
//
// IEEE 802.1Q tags, below the stack: what it is shown has none, what it sends gets ours. VLAN 0 is no VLAN but a priority alone
// (section 6.9.3: such a frame is as good as untagged), so that tag is taken off where we are in no VLAN.
//
// The tag is taken off when a frame is shown and not when it comes: until then, and for whoever adopts the ring, it lies there as
// it arrived (wire_rings.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace tandem {

inline constexpr std::uint32_t kVlanTagBytes = 4;
inline constexpr std::uint16_t kVlanMost = 4094;
inline constexpr std::size_t kMacPairBytes = 12;
inline constexpr std::uint8_t kVlanType[] = {0x81, 0x00};

/// Bytes of a frame beside its packet.
[[nodiscard]] constexpr std::uint32_t link_header_bytes(std::uint16_t vlan) {
  return 14 + (vlan == 0 ? 0 : kVlanTagBytes);
}

[[nodiscard]] inline bool is_tagged(std::span<const std::uint8_t> frame) {
  return frame.size() >= kMacPairBytes + 2 && std::memcmp(&frame[kMacPairBytes], kVlanType, 2) == 0;
}

/// The frame without its tag, within where it lies; empty when it is none of `vlan` (0: of no VLAN).
[[nodiscard]] inline std::span<std::uint8_t> untagged(std::span<std::uint8_t> frame, std::uint16_t vlan) {
  if (!is_tagged(frame)) return vlan == 0 ? frame : std::span<std::uint8_t>{};
  if (frame.size() < kMacPairBytes + kVlanTagBytes + 2) return {};
  const auto id = static_cast<std::uint16_t>((frame[kMacPairBytes + 2] << 8 | frame[kMacPairBytes + 3]) & 0xfff);
  if (id != vlan) return {};
  std::memmove(&frame[kVlanTagBytes], frame.data(), kMacPairBytes);
  return frame.subspan(kVlanTagBytes);
}

/// `frame` begins with room for a tag; behind it lies an untagged frame. Afterwards the whole is the tagged one.
inline void put_tag(std::span<std::uint8_t> frame, std::uint16_t vlan) {
  std::memmove(frame.data(), frame.data() + kVlanTagBytes, kMacPairBytes);
  std::memcpy(&frame[kMacPairBytes], kVlanType, 2);
  frame[kMacPairBytes + 2] = static_cast<std::uint8_t>(vlan >> 8);
  frame[kMacPairBytes + 3] = static_cast<std::uint8_t>(vlan);
}

}  // namespace tandem
