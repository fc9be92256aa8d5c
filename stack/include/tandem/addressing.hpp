// SPDX-License-Identifier: BSD-3-Clause
//
// What addresses and gateways can be given together. Pure functions, for whoever reads a configuration and for the stack itself.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tandem/address.hpp"

namespace tandem {

inline constexpr std::size_t kMaxAddresses = 64;  ///< of each IP version

/// Whether other hosts can have it: no group, broadcast, loopback or reserved address (RFC 6890).
[[nodiscard]] bool is_host_address(const IpAddress& address);

/// The link-local address (RFC 4291 section 2.5.6) that goes with these: what every IPv6 host has, and with which it asks for
/// link-local routers and neighbours. One of the group's own, in the manner of RFC 7217: it follows from the group's name and the
/// lowest of the IPv6 addresses, and from no interface, so that it is the same on primary and twin, moves with them to other
/// hardware, and is not that of the kernel's on the same interface. Nothing when one is among them already, or no IPv6 address is.
[[nodiscard]] std::optional<IpPrefix> derived_link_local(std::string_view group, std::span<const IpPrefix> addresses);

/// Empty, or why these cannot work, a sentence with what to do about it:
/// - an address that names a network or its broadcast address (of a /31 or /32, RFC 3021, and of a /127 or /128, RFC 6164, every
///   address is a host's), is given twice, or is one too many;
/// - a gateway that is on no link: in none of the prefixes, nor link-local (RFC 4861 section 2.1), or more than one an IP version.
[[nodiscard]] std::string addressing_error(std::span<const IpPrefix> addresses, std::span<const IpAddress> gateways);

}  // namespace tandem
