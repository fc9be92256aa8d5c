// SPDX-License-Identifier: BSD-3-Clause
//
// Where a packet goes first: what is in one of the configured prefixes is on the link, whatever their lengths (RFC 5942), and so is
// what is link-local; the rest goes through the gateway.
#pragma once

#include <optional>
#include <vector>

#include "tandem/address.hpp"

namespace tandem {

class NextHops {
 public:
  NextHops(const std::vector<IpPrefix>& addresses, const std::vector<IpAddress>& gateways);

  [[nodiscard]] bool is_on_link(const IpAddress& destination) const;
  /// Nothing when it is not on the link and there is no gateway.
  [[nodiscard]] std::optional<IpAddress> of(const IpAddress& destination) const;
  [[nodiscard]] const std::optional<IpAddress>& gateway(std::uint8_t version) const {
    return version == 6 ? gateway_v6_ : gateway_v4_;
  }
  /// The address of ours whose prefix is the longest that holds it; the first configured of several. Nothing when none does.
  [[nodiscard]] std::optional<IpAddress> own_beside(const IpAddress& neighbour) const;
  /// 255.255.255.255 or the last address of one of our networks that have room for one (RFC 3021: not of a /31).
  [[nodiscard]] bool is_broadcast(const IpAddress& destination) const;

 private:
  std::vector<IpPrefix> longest_first_;
  std::optional<IpAddress> gateway_v4_, gateway_v6_;
};

}  // namespace tandem
