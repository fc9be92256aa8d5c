// SPDX-License-Identifier: BSD-3-Clause
//
// A sender that leaves its checksums to the hardware writes the sum of the pseudo-header into the field, for the hardware to go on
// from. Where there is no hardware in between (veth, macvlan, a guest's NIC) the packet arrives like that, and nothing else is
// wrong with it.
#pragma once

#include "tandem/address.hpp"

namespace tandem {

/// Whether the TCP or UDP checksum of this Ethernet frame is the pseudo-header's sum alone. False for fragments, for extension
/// headers, and for anything too short to tell; one finished checksum in 65,536 looks the same.
[[nodiscard]] bool checksum_is_unfinished(Bytes frame);

}  // namespace tandem
