// SPDX-License-Identifier: BSD-3-Clause
//
// What the stack needs of a link device. port/ implements it; the stack includes nothing of port/.
#pragma once

#include <cstdint>
#include <span>

#include "tandem/address.hpp"

namespace tandem {

/// Where a frame came in: through which of the device's receive rings, and its index there, which counts without end. A frame that an
/// owner had not dealt with is shown to whoever takes the device over, at the same place.
struct FramePlace {
  std::uint32_t index = 0;
  std::uint32_t source = 0;
  bool operator==(const FramePlace&) const = default;
};

/// A received Ethernet frame, without FCS. `cookie` is the device's own name for the frame.
struct RxFrame {
  std::span<std::uint8_t> bytes;
  std::uint32_t cookie = 0;
  FramePlace place{};
};

/// What a link can do, and how it is at this moment. `mtu` and `up` may change while it lives, and so may the device's MAC
/// address: its owner then calls Stack::link_changed().
struct LinkCapabilities {
  std::uint32_t mtu = 1500;  ///< largest IP packet, bytes
  std::uint32_t queues = 1;  ///< receive queues that the device reads
  bool up = true;            ///< packets can pass
  /// Only memory lies between us and whoever sends on this link (veth, macvlan, a guest's NIC), so senders leave TCP's and UDP's
  /// checksum to hardware that is not there: a field that holds the pseudo-header's sum alone is as good as a right checksum.
  bool unfinished_checksums = false;
  bool operator==(const LinkCapabilities&) const = default;
};

class LinkDevice {
 public:
  virtual ~LinkDevice() = default;

  [[nodiscard]] virtual MacAddress mac() const = 0;
  [[nodiscard]] virtual LinkCapabilities capabilities() const = 0;
  /// Largest IP packet, bytes.
  [[nodiscard]] std::uint32_t mtu() const { return capabilities().mtu; }

  /// Room for one frame of `bytes` (Ethernet header included), or an empty span when the device has no frame or no
  /// descriptor left; the packet is then lost as on any link, and counted by the device. The frame is private to the
  /// stack until tx_stage.
  virtual std::span<std::uint8_t> tx_reserve(std::uint32_t bytes) = 0;
  /// Puts the frame last reserved behind those staged before. Nothing leaves: packets go when the turn is committed
  /// (design.md section 3).
  virtual void tx_stage() = 0;

  /// The stack refers to this received frame no longer. May come during Stack::input or many turns later.
  virtual void rx_done(std::uint32_t cookie) = 0;
};

}  // namespace tandem
