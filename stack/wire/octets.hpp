// SPDX-License-Identifier: BSD-3-Clause
//
// Reading and writing of fields in network order. Whoever calls has checked that they are there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tandem/address.hpp"

namespace tandem::wire {

[[nodiscard]] inline std::uint16_t load_be16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}

[[nodiscard]] inline std::uint32_t load_be32(const std::uint8_t* at) {
  return std::uint32_t{load_be16(at)} << 16 | load_be16(at + 2);
}

inline void store_be16(std::uint8_t* at, std::uint16_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}

[[nodiscard]] inline MacAddress load_mac(const std::uint8_t* at) {
  MacAddress mac;
  std::copy_n(at, mac.octets.size(), mac.octets.begin());
  return mac;
}

inline void store(std::uint8_t* at, const MacAddress& mac) { std::copy(mac.octets.begin(), mac.octets.end(), at); }

[[nodiscard]] inline IpAddress load_address(const std::uint8_t* at, std::uint8_t version) {
  IpAddress address = IpAddress::any(version);
  std::copy_n(at, address.bytes().size(), address.octets.begin());
  return address;
}

inline void store(std::uint8_t* at, const IpAddress& address) {
  std::copy(address.bytes().begin(), address.bytes().end(), at);
}

inline constexpr MacAddress kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

/// Of one interface, not of a group and not the one that nobody has.
[[nodiscard]] inline bool is_unicast(const MacAddress& mac) { return (mac.octets[0] & 1) == 0 && mac != MacAddress{}; }

}  // namespace tandem::wire
