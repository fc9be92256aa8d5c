// SPDX-License-Identifier: BSD-3-Clause
//
// What the network has told us of single IPv6 destinations: a smaller path MTU (RFC 8201), a better first hop (RFC 4861 section 8).
// Bounded and forgotten in the order in which it came. A twin starts without it, and is told again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>

#include "siphash.hpp"
#include "tandem/address.hpp"

namespace tandem {

class DestinationCache {
 public:
  static constexpr std::size_t kMax = 1024;
  static constexpr std::uint64_t kLifetimeNs = 600'000'000'000;  ///< RFC 8201 section 5.3: ten minutes

  struct Destination {
    IpAddress address;
    std::optional<IpAddress> next_hop;
    std::uint16_t path_mtu = 0;  ///< 0: the link's
    std::uint64_t until_ns = 0;
  };

  explicit DestinationCache(SipKey key) : places_(0, Hash{key}) {}

  /// Null when nothing is known, or not any more.
  [[nodiscard]] const Destination* find(const IpAddress& address, std::uint64_t now_ns);
  /// The one known or a new one, for another lifetime.
  Destination& renew(const IpAddress& address, std::uint64_t now_ns);
  [[nodiscard]] bool empty() const { return places_.empty(); }

 private:
  struct Hash {
    SipKey key;
    std::size_t operator()(const IpAddress& address) const { return siphash(key, address.bytes()); }
  };
  using Destinations = std::list<Destination>;
  Destinations in_order_;  ///< the oldest first
  std::unordered_map<IpAddress, Destinations::iterator, Hash> places_;
};

}  // namespace tandem
