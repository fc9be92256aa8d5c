// SPDX-License-Identifier: BSD-3-Clause
#include "next_hop.hpp"

#include <algorithm>

#include "wire/neighbour_discovery.hpp"
#include "wire/octets.hpp"

namespace tandem {

NextHops::NextHops(const std::vector<IpPrefix>& addresses, const std::vector<IpAddress>& gateways)
    : longest_first_(addresses) {
  std::stable_sort(longest_first_.begin(), longest_first_.end(),
                   [](const IpPrefix& a, const IpPrefix& b) { return a.length > b.length; });
  for (const IpAddress& gateway : gateways) {
    (gateway.is_v6() ? gateway_v6_ : gateway_v4_) = gateway;
  }
}

bool NextHops::is_on_link(const IpAddress& destination) const {
  return wire::is_link_local(destination) ||
         std::any_of(longest_first_.begin(), longest_first_.end(),
                     [&](const IpPrefix& prefix) { return prefix.contains(destination); });
}

std::optional<IpAddress> NextHops::of(const IpAddress& destination) const {
  if (is_on_link(destination)) {
    return destination;
  }
  return gateway(destination.version);
}

std::optional<IpAddress> NextHops::own_beside(const IpAddress& neighbour) const {
  for (const IpPrefix& prefix : longest_first_) {
    if (prefix.contains(neighbour)) {
      return prefix.address;
    }
  }
  return std::nullopt;
}

bool NextHops::is_broadcast(const IpAddress& destination) const {
  if (destination.is_v6()) {
    return false;
  }
  constexpr std::uint32_t kAll = 0xffffffff;
  const std::uint32_t value = wire::load_be32(destination.octets.data());
  return value == kAll || std::any_of(longest_first_.begin(), longest_first_.end(), [&](const IpPrefix& prefix) {
           constexpr int kLastWithBroadcast = 30;
           return prefix.length <= kLastWithBroadcast && prefix.contains(destination) &&
                  (value | ~(kAll >> prefix.length)) == kAll;
         });
}

}  // namespace tandem
