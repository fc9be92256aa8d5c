// SPDX-License-Identifier: BSD-3-Clause
//
// Messages of neighbour discovery (RFC 4861 section 4), as a host reads and writes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "tandem/address.hpp"

namespace tandem::wire {

enum class NdType : std::uint8_t {
  router_advertisement = 134,
  neighbour_solicitation = 135,
  neighbour_advertisement = 136,
  redirect = 137,
};

struct NdMessage {
  NdType type{};
  bool router = false, solicited = false, override = false;  ///< of an advertisement
  IpAddress target = IpAddress::any(6);                      ///< all but a router's advertisement
  IpAddress destination = IpAddress::any(6);                 ///< of a redirect
  std::optional<MacAddress> source_mac, target_mac;          ///< options
};

/// What surrounds a message.
struct NdEnvelope {
  IpAddress source, destination;
  std::uint8_t hop_limit = 0;
};

/// From an ICMPv6 message whose checksum is right. Nothing when a rule of RFC 4861 sections 6.1.2, 7.1 or 8.1 that can be judged
/// from it is broken: hop limit, code, lengths, options, multicast targets, what an unspecified source excludes.
[[nodiscard]] std::optional<NdMessage> parse_nd(Bytes icmp, const NdEnvelope& envelope);

/// A whole frame with a solicitation or an advertisement, with `source_mac` or `target_mac` where they are set.
inline constexpr std::size_t kMaxNdFrameBytes = 14 + 40 + 24 + 8;
[[nodiscard]] std::size_t write_nd(std::span<std::uint8_t, kMaxNdFrameBytes> frame, const MacAddress& from,
                                   const MacAddress& to, const IpAddress& source, const IpAddress& destination,
                                   const NdMessage& message);

[[nodiscard]] IpAddress solicited_node(const IpAddress& target);  ///< RFC 4291 section 2.7.1
[[nodiscard]] IpAddress all_nodes();                              ///< ff02::1
[[nodiscard]] MacAddress multicast_mac(const IpAddress& group);   ///< RFC 2464 section 7, RFC 1112 section 6.4
[[nodiscard]] bool is_multicast(const IpAddress& address);
[[nodiscard]] bool is_link_local(const IpAddress& address);  ///< fe80::/10

}  // namespace tandem::wire
