// SPDX-License-Identifier: BSD-3-Clause
//
// What the kernel says about a network interface.
#pragma once

#include <cstdint>
#include <string>

#include "tandem/address.hpp"

namespace tandem {

struct InterfaceInfo {
  int index = 0;
  MacAddress mac;
  std::uint32_t mtu = 0;
  bool up = false;
  std::uint32_t queues = 1;       ///< receive queues in use
  bool strips_vlan_tags = false;  ///< what is received has its tag beside it
  bool one_address = false;       ///< frames to another link address than its own never reach it, whoever asks for them
  bool is_virtual = false;        ///< nothing but memory lies between it and whoever sends to it
};

/// Throws DeviceError: no_interface when there is none of this name.
[[nodiscard]] InterfaceInfo interface_info(const std::string& name);
/// Sets the interface up. False when that is not allowed.
bool set_interface_up(const std::string& name);
/// Has the interface hold at least `packets` that wait to be sent (its txqueuelen). Where that is not allowed it holds what it did.
void lengthen_queue(const std::string& name, std::uint32_t packets);

}  // namespace tandem
