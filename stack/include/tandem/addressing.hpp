// SPDX-License-Identifier: BSD-3-Clause
//
// What addresses and gateways can be given together. Pure functions, for whoever reads a configuration and for the stack itself.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "tandem/address.hpp"

namespace tandem {

inline constexpr std::size_t kMaxAddresses = 64;  ///< of each IP version

/// Whether other hosts can have it: no group, broadcast, loopback or reserved address (RFC 6890).
[[nodiscard]] bool is_host_address(const IpAddress& address);

/// Empty, or why these cannot work, a sentence with what to do about it:
/// - an address that names a network or its broadcast address (of a /31 or /32, RFC 3021, and of a /127 or /128, RFC 6164, every
///   address is a host's), is given twice, or is one too many;
/// - a gateway that is on no link: in none of the prefixes, nor link-local (RFC 4861 section 2.1), or more than one an IP version.
[[nodiscard]] std::string addressing_error(std::span<const IpPrefix> addresses, std::span<const IpAddress> gateways);

}  // namespace tandem
