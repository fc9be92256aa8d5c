// SPDX-License-Identifier: BSD-3-Clause
// The messages of BGP-4 as plain data (RFC 4271, 4760, 2918, 5492, 6793).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bgp/address.hpp"
#include "bgp/attributes.hpp"
#include "bgp/malformation.hpp"

namespace tandem::bgp {

inline constexpr std::size_t kHeaderBytes = 19;
inline constexpr std::size_t kMaxMessageBytes = 4096;  // RFC 8654's longer messages are not negotiated

enum class MessageType : std::uint8_t { open = 1, update = 2, notification = 3, keepalive = 4, route_refresh = 5 };
inline constexpr std::size_t kMessageTypes = 6;  // counters are indexed by the type's number; 0 is unused

/// NOTIFICATION error codes (RFC 4271 section 4.5).
enum class ErrorCode : std::uint8_t { header = 1, open = 2, update = 3, hold_timer = 4, fsm = 5, cease = 6 };

/// Subcodes of Cease (RFC 4486).
enum class CeaseCode : std::uint8_t {
  maximum_prefixes = 1,
  administrative_shutdown = 2,
  peer_deconfigured = 3,
  administrative_reset = 4,
  connection_rejected = 5,
  other_configuration_change = 6,
  collision_resolution = 7,
  out_of_resources = 8
};

struct Open {
  std::uint8_t version = 4;
  std::uint32_t as = 0;  // of the 4-octet capability when there is one
  std::uint16_t hold_time_s = 0;
  std::uint32_t router_id = 0;
  std::array<bool, kFamilies> family{};  // MP-BGP capability present
  bool any_multiprotocol = false;        // some MP-BGP capability, of whatever family
  bool four_octet_as = false;
  bool route_refresh = false;
  bool operator==(const Open&) const = default;
};

struct Notification {
  std::uint8_t code = 0;
  std::uint8_t subcode = 0;
  std::vector<std::uint8_t> data;
  bool operator==(const Notification&) const = default;
  /// "Cease/Administrative Shutdown (6/2)"
  std::string to_string() const;
};

struct RouteRefresh {
  std::uint16_t afi = 0;
  std::uint8_t safi = 0;
};

/// What an error in an UPDATE leads to (RFC 7606 section 2), from the weakest to the strongest.
enum class ErrorHandling : std::uint8_t { none, attribute_discard, treat_as_withdraw, session_reset };

/// One UPDATE, decoded. With treat_as_withdraw the announced prefixes stand here as always, and the reader takes them
/// as withdrawn.
struct Update {
  std::vector<Prefix> withdrawn;  // of both families
  std::vector<Prefix> announced_ipv4;
  std::vector<Prefix> announced_ipv6;
  /// attributes.next_hop is that of announced_ipv4; that of announced_ipv6 stands beside it.
  PathAttributes attributes;
  Address next_hop_ipv6;
  std::optional<std::array<std::uint8_t, 16>> next_hop_link_local;
  std::array<bool, kFamilies> end_of_rib{};  // RFC 4724 section 2
  ErrorHandling handling = ErrorHandling::none;
  Notification reset;  // with session_reset: what to send

  void clear();
};

}  // namespace tandem::bgp
