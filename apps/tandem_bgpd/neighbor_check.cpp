// SPDX-License-Identifier: BSD-3-Clause
#include "neighbor_check.hpp"

#include <algorithm>

#include "bgp_application.hpp"

namespace tandem::bgpd {
namespace {

bool holds(const IpPrefix& prefix, const IpAddress& address) {
  if (prefix.address.version != address.version) return false;
  for (unsigned bit = 0; bit < prefix.length; ++bit) {
    const unsigned mask = 0x80U >> bit % 8;
    if (((prefix.address.octets[bit / 8] ^ address.octets[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

bool is_link_local(const IpAddress& address) {
  return address.is_v6() && address.octets[0] == 0xfe && (address.octets[1] & 0xc0) == 0x80;
}

bool is_loopback(const IpAddress& address) {
  if (!address.is_v6()) return address.octets[0] == 127;
  IpAddress one = IpAddress::any(6);
  one.octets[15] = 1;
  return address == one;
}

/// The network's own address and its broadcast, where a prefix has them (RFC 3021: one of 31 bits has neither).
bool is_broadcast(const IpPrefix& prefix, const IpAddress& address) {
  if (address.is_v6() || prefix.length > 30 || !holds(prefix, address)) return false;
  bool ones = true;
  for (unsigned bit = prefix.length; bit < 32; ++bit) ones = ones && (address.octets[bit / 8] & 0x80U >> bit % 8) != 0;
  return ones;
}

std::string problem_of(const IpAddress& address, const NodeOptions& options) {
  const auto any_own = [&](auto test) { return std::any_of(options.addresses.begin(), options.addresses.end(), test); };
  const std::string version = address.is_v6() ? "IPv6" : "IPv4";
  if (any_own([&](const IpPrefix& own) { return own.address == address; }))
    return "is this node's own --address; give the neighbor's";
  if (is_loopback(address)) return "is a loopback address, at which no neighbor can be; give one on the link";
  if (any_own([&](const IpPrefix& own) { return is_broadcast(own, address); }))
    return "is the broadcast address of this node's network; give the neighbor's";
  if (!any_own([&](const IpPrefix& own) { return own.address.version == address.version; }))
    return "is an " + version + " address, and this node has none: add an " + version + " --address";
  const bool on_link = is_link_local(address) || any_own([&](const IpPrefix& own) { return holds(own, address); });
  const bool has_gateway = std::any_of(options.gateways.begin(), options.gateways.end(),
                                       [&](const IpAddress& gateway) { return gateway.version == address.version; });
  if (!on_link && !has_gateway)
    return "is not on the link of any --address, and there is no --gateway for " + version +
           ": add one, or mend the prefix length of --address";
  return {};
}

}  // namespace

std::string unreachable_neighbor(const bgp::Configuration& configuration, const NodeOptions& options) {
  for (const bgp::NeighborConfiguration& neighbor : configuration.neighbors) {
    const std::string problem = problem_of(to_tandem(neighbor.address), options);
    if (!problem.empty()) return "neighbor " + neighbor.address.to_string() + " " + problem;
  }
  return {};
}

}  // namespace tandem::bgpd
