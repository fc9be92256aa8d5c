// SPDX-License-Identifier: BSD-3-Clause
//
// The TAP device. A TAP has no rings in memory: reads and writes are system calls, and what a process has read and not
// dealt with dies with it. So the rings are emulated in the wire memory, and the process plays the kernel's part itself.
//
// Receiving, one frame at a time, in this order:
//   1. poison the first bytes of the next frame of the fill ring, then store `poisoned` = its index + 1
//   2. read() into it
//   3. write its RX descriptor, then store `received` = its index + 1
// A process that dies between 2 and 3 leaves a frame that is poisoned no more: the adopter takes its length from the IP or
// ARP header and completes step 3.
//
// The reads are plain non-blocking ones, not io_uring's. A read in flight in io_uring belongs to the kernel until the dead
// process's ring has been torn down, milliseconds after its robust futex told the twin; until then it may still take a
// frame out of the TAP's queue into memory that nobody looks at any more. A plain read is over when its thread is: when
// the futex is marked, no read is under way and none will be.
//
// Sending: write(), then store `transmitted`. A process that dies in between has its packet sent once more. Nothing is lost.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "adoption_info.hpp"
#include "tandem/device.hpp"

namespace tandem {

/// Throw DeviceError.
std::unique_ptr<Device> open_tap_device(const DeviceOptions& options);
std::unique_ptr<Device> attach_tap_device(const AdoptionInfo& info, std::span<const NamedDescriptor> descriptors);

/// The default address: locally administered, the same wherever group and interface are the same, never `kernel_side`.
[[nodiscard]] MacAddress tap_default_mac(std::string_view group, std::string_view interface,
                                         const MacAddress& kernel_side);
/// The length of an Ethernet frame as its ARP, IPv4 or IPv6 header says, or 0 when it has none of these or a wrong one.
[[nodiscard]] std::uint32_t frame_length_from_headers(std::span<const std::uint8_t> frame);

}  // namespace tandem
