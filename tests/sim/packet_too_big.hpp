// SPDX-License-Identifier: BSD-3-Clause
//
// What a router on the path says of a packet that is too long for it: ICMP "fragmentation needed" (RFC 1191), ICMPv6 "packet too
// big" (RFC 4443).
#pragma once

#include <cstdint>
#include <vector>

#include "tandem/address.hpp"

namespace tandem::sim {

/// The whole answer, an Ethernet frame to who sent `frame`. Empty when it was no IP packet.
std::vector<std::uint8_t> packet_too_big(Bytes frame, std::uint32_t mtu);

}  // namespace tandem::sim
