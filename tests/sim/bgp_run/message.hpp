// SPDX-License-Identifier: BSD-3-Clause
//
// BGP messages as the peer reads and writes them (RFC 4271, 4760). It shares no code with apps/bgp, so that what one of them
// misunderstands the other does not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tandem/address.hpp"

namespace tandem::sim {

namespace bgp_type {
inline constexpr std::uint8_t kOpen = 1, kUpdate = 2, kNotification = 3, kKeepalive = 4, kRefresh = 5;
inline constexpr std::uint8_t kOrigin = 1, kAsPath = 2, kNextHop = 3, kMed = 4, kLocalPref = 5, kAtomic = 6,
                              kAggregator = 7, kCommunities = 8, kOriginatorId = 9, kClusterList = 10, kReach = 14,
                              kUnreach = 15, kExtended = 16, kLarge = 32;
inline constexpr std::uint8_t kOptional = 0x80, kTransitive = 0x40, kPartial = 0x20;
}  // namespace bgp_type

inline constexpr std::size_t kBgpHeaderBytes = 19;
inline constexpr std::size_t kBgpMostBytes = 4096;

struct BgpAttribute {
  std::uint8_t flags = 0;  ///< without the one that says how long the length is
  std::uint8_t type = 0;
  std::string value;
  auto operator<=>(const BgpAttribute&) const = default;
};

/// What is said of one prefix: attributes by ascending type. The next hop stands among them as NEXT_HOP in both families.
using BgpRoute = std::vector<BgpAttribute>;

const BgpAttribute* find(const BgpRoute& route, std::uint8_t type);
void put(BgpRoute& route, BgpAttribute attribute);
void drop(BgpRoute& route, std::uint8_t type);
std::uint32_t number_at(std::string_view bytes, std::size_t at);
std::string octets_of(std::uint32_t number);

struct BgpUpdate {
  std::vector<IpPrefix> withdrawn;
  std::vector<IpPrefix> announced;
  BgpRoute attributes;  ///< without a next hop
  std::string next_hop_v4, next_hop_v6;
  [[nodiscard]] BgpRoute route_of(const IpPrefix& prefix) const;
};

struct BgpOpen {
  std::uint32_t as = 0;
  std::uint32_t router_id = 0;
  std::uint16_t hold_s = 0;
};

std::string write_message(std::uint8_t type, std::string_view body);
std::string write_open(const BgpOpen& open);
std::string write_update(const BgpUpdate& update);

/// Nothing: not what the RFCs say. `message` is whole, with its header.
std::optional<BgpOpen> read_open(Bytes message);
std::optional<BgpUpdate> read_update(Bytes message);
/// Attributes alone, as they stand in an UPDATE.
std::optional<BgpRoute> read_attributes(std::string_view field);

std::string to_string(const BgpRoute& route);
/// One line for a reader of the trace.
std::string tell_message(Bytes message);

}  // namespace tandem::sim
