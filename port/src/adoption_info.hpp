// SPDX-License-Identifier: BSD-3-Clause
//
// What a primary tells its twin about a wire, beside the descriptors. Little-endian:
//
//   offset size
//        0    4  magic "TDAI"
//        4    2  version, 1
//        6    2  bytes in all, 56; a later version may append
//        8    1  kind (DeviceSpec::Kind)
//        9    1  mode that was got (DeviceSpec::Mode)
//       10    2  VLAN, 0 for none
//       12    4  frames
//       16    4  bytes a frame
//       20    4  ring entries
//       24    4  MTU, bytes
//       28    4  queue
//       32    6  MAC address
//       38    2  queues that are read, 0 when it is the one above
//       40   16  interface name, zero padded
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tandem/device.hpp"
#include "wire_memory.hpp"

namespace tandem {

/// The widest link that a device is opened on.
constexpr std::uint32_t kLargestMtu = 16110;

struct AdoptionInfo {
  DeviceSpec::Kind kind = DeviceSpec::Kind::tap;
  DeviceSpec::Mode mode = DeviceSpec::Mode::automatic;
  WireGeometry geometry;
  std::uint32_t mtu = 0;
  std::uint32_t queue = 0;
  std::uint16_t queues = 0;
  std::uint16_t vlan = 0;
  MacAddress mac;
  std::string interface;

  bool operator==(const AdoptionInfo&) const = default;
  [[nodiscard]] std::vector<std::uint8_t> encode() const;
  /// Throws DeviceError (bad_option) on anything that encode() of a version that we know would not have written.
  static AdoptionInfo decode(std::span<const std::uint8_t> bytes);
};

/// The descriptor of this name, duplicated. Throws DeviceError when it was not passed.
[[nodiscard]] UniqueFd take_descriptor(std::span<const NamedDescriptor> descriptors, std::string_view name);

}  // namespace tandem
