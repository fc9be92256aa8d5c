// SPDX-License-Identifier: BSD-3-Clause
#include "attribute_rules.hpp"

#include <algorithm>
#include <array>

#include "wire.hpp"

namespace tandem::bgp {

namespace {

using Value = std::span<const std::uint8_t>;

bool is_list_of(Value value, std::size_t item) { return !value.empty() && value.size() % item == 0; }

/// Whole TLVs, at least one: a type of `type_bytes`, a length of two octets.
bool are_tlvs(Value value, std::size_t type_bytes) {
  WireReader reader(value);
  Value skipped;
  std::uint16_t length = 0;
  while (reader.left() > 0)
    if (!reader.bytes(type_bytes, skipped) || !reader.u16(length) || !reader.bytes(length, skipped)) return false;
  return !value.empty();
}

/// RFC 5543: one descriptor or more, each with its fixed part of 36 octets.
bool traffic_engineering(Value value) { return value.size() >= 36; }

/// The length of a tunnel's identifier, RFC 6514 section 5 and 7524, 8556, 9574 for the later types.
bool identifies_tunnel(std::uint8_t type, std::size_t bytes) {
  switch (type) {
    case 0:  // none
      return bytes == 0;
    case 1:  // RSVP-TE point to multipoint
      return bytes == 12 || bytes == 24;
    case 2:  // mLDP trees: a FEC element, with a root address in it
    case 7:
      return bytes >= 10;
    case 3:  // PIM trees: two addresses
    case 4:
    case 5:
      return bytes == 8 || bytes == 32;
    case 6:  // ingress replication: one address
      return bytes == 4 || bytes == 16;
    default:
      return type >= 8 && type <= 15;
  }
}

bool pmsi_tunnel(Value value) {
  constexpr std::size_t kFixedBytes = 5;     // flags, type, label
  constexpr std::uint8_t kComposite = 0x80;  // RFC 8317
  if (value.size() < kFixedBytes) return false;
  return identifies_tunnel(value[1] & static_cast<std::uint8_t>(~kComposite), value.size() - kFixedBytes);
}

/// RFC 9012 section 3: tunnels, each of sub-TLVs whose length has one octet, from type 128 on two.
bool tunnel_encapsulation(Value value) {
  WireReader reader(value);
  while (reader.left() > 0) {
    std::uint16_t type = 0;
    std::uint16_t bytes = 0;
    Value tunnel;
    if (!reader.u16(type) || !reader.u16(bytes) || !reader.bytes(bytes, tunnel)) return false;
    for (WireReader parts(tunnel); parts.left() > 0;) {
      std::uint8_t part = 0;
      std::uint8_t short_length = 0;
      std::uint16_t length = 0;
      Value skipped;
      if (!parts.u8(part) || !(part < 128 ? parts.u8(short_length) : parts.u16(length))) return false;
      if (!parts.bytes(part < 128 ? short_length : length, skipped)) return false;
    }
  }
  return !value.empty();
}

bool ipv6_extended_communities(Value value) { return is_list_of(value, 20); }

/// RFC 7311 section 3: TLVs whose length counts the three octets in front, too; the metric's is 11.
bool aigp(Value value) {
  constexpr std::uint8_t kMetric = 1;
  WireReader reader(value);
  while (reader.left() > 0) {
    std::uint8_t type = 0;
    std::uint16_t length = 0;
    Value skipped;
    if (!reader.u8(type) || !reader.u16(length) || length < 3 || !reader.bytes(length - 3u, skipped)) return false;
    if (type == kMetric && length != 11) return false;
  }
  return !value.empty();
}

/// RFC 6514 section 8: an address and a label, once or more often, all of one family.
bool pe_distinguisher_labels(Value value) { return is_list_of(value, 4 + 3) || is_list_of(value, 16 + 3); }

bool link_state(Value value) { return value.empty() || are_tlvs(value, 2); }

/// RFC 9234 section 5.
bool only_to_customer(Value value) {
  std::uint32_t as = 0;
  return value.size() == 4 && WireReader(value).u32(as) && as != 0;
}

/// draft-ietf-idr-entropy-label: a next hop with its family, then capabilities.
bool next_hop_capability(Value value) {
  WireReader reader(value);
  std::uint16_t afi = 0;
  std::uint8_t safi = 0;
  std::uint8_t bytes = 0;
  Value next_hop;
  if (!reader.u16(afi) || !reader.u8(safi) || !reader.u8(bytes) || bytes == 0 || !reader.bytes(bytes, next_hop))
    return false;
  std::uint16_t code = 0;
  std::uint16_t length = 0;
  while (reader.left() > 0)
    if (!reader.u16(code) || !reader.u16(length) || !reader.bytes(length, next_hop)) return false;
  return true;
}

/// RFC 8669 section 3: a label index of 7 octets, an originator's SRGBs of 2 and 6 each.
bool prefix_sid(Value value) {
  WireReader reader(value);
  while (reader.left() > 0) {
    std::uint8_t type = 0;
    std::uint16_t length = 0;
    Value tlv;
    if (!reader.u8(type) || !reader.u16(length) || !reader.bytes(length, tlv)) return false;
    if (type == 1 && length != 7) return false;
    if (type == 3 && (length < 8 || (length - 2) % 6 != 0)) return false;
  }
  return !value.empty();
}

/// RFC 6368 section 5: an AS, then attributes of which none may be MP_REACH_NLRI or MP_UNREACH_NLRI.
bool attribute_set(Value value) {
  WireReader reader(value);
  std::uint32_t as = 0;
  if (!reader.u32(as)) return false;
  while (reader.left() > 0) {
    std::uint8_t flags = 0;
    std::uint8_t type = 0;
    std::uint8_t short_length = 0;
    std::uint16_t length = 0;
    Value skipped;
    if (!reader.u8(flags) || !reader.u8(type)) return false;
    const bool extended = (flags & kFlagExtendedLength) != 0;
    if (!(extended ? reader.u16(length) : reader.u8(short_length))) return false;
    if (!reader.bytes(extended ? length : short_length, skipped)) return false;
    if (type == static_cast<std::uint8_t>(AttributeType::mp_reach) ||
        type == static_cast<std::uint8_t>(AttributeType::mp_unreach))
      return false;
  }
  return true;
}

using enum AttributeUse;
using M = Malformation;
constexpr auto kWithdraw = ErrorHandling::treat_as_withdraw;
constexpr auto kDiscard = ErrorHandling::attribute_discard;
constexpr auto kReset = ErrorHandling::session_reset;

constexpr std::array kRules{
    AttributeRule{1, "ORIGIN", kWellKnown, decoded, kWithdraw, kWithdraw, M::origin, nullptr, "RFC 4271"},
    AttributeRule{2, "AS_PATH", kWellKnown, decoded, kWithdraw, kWithdraw, M::as_path, nullptr, "RFC 4271"},
    AttributeRule{3, "NEXT_HOP", kWellKnown, decoded, kWithdraw, kWithdraw, M::next_hop, nullptr, "RFC 4271"},
    AttributeRule{4, "MULTI_EXIT_DISC", kOptionalNonTransitive, decoded, kWithdraw, kWithdraw, M::med, nullptr,
                  "RFC 4271"},
    AttributeRule{5, "LOCAL_PREF", kWellKnown, internal, kWithdraw, kWithdraw, M::local_pref, nullptr, "RFC 4271"},
    AttributeRule{6, "ATOMIC_AGGREGATE", kWellKnown, decoded, kWithdraw, kDiscard, M::atomic_aggregate, nullptr,
                  "RFC 4271"},
    AttributeRule{7, "AGGREGATOR", kOptionalTransitive, decoded, kWithdraw, kDiscard, M::aggregator, nullptr,
                  "RFC 4271"},
    AttributeRule{8, "COMMUNITIES", kOptionalTransitive, decoded, kWithdraw, kWithdraw, M::communities, nullptr,
                  "RFC 1997"},
    AttributeRule{9, "ORIGINATOR_ID", kOptionalNonTransitive, internal, kWithdraw, kWithdraw, M::originator_id, nullptr,
                  "RFC 4456"},
    AttributeRule{10, "CLUSTER_LIST", kOptionalNonTransitive, internal, kWithdraw, kWithdraw, M::cluster_list, nullptr,
                  "RFC 4456"},
    AttributeRule{14, "MP_REACH_NLRI", kOptionalNonTransitive, decoded, kWithdraw, kReset, M::update_mp_reach, nullptr,
                  "RFC 4760"},
    AttributeRule{15, "MP_UNREACH_NLRI", kOptionalNonTransitive, decoded, kWithdraw, kReset, M::update_mp_unreach,
                  nullptr, "RFC 4760"},
    AttributeRule{16, "EXTENDED COMMUNITIES", kOptionalTransitive, decoded, kWithdraw, kWithdraw,
                  M::extended_communities, nullptr, "RFC 4360"},
    AttributeRule{17, "AS4_PATH", kOptionalTransitive, decoded, kWithdraw, kDiscard, M::as4_path, nullptr, "RFC 6793"},
    AttributeRule{18, "AS4_AGGREGATOR", kOptionalTransitive, decoded, kWithdraw, kDiscard, M::as4_aggregator, nullptr,
                  "RFC 6793"},
    AttributeRule{22, "PMSI_TUNNEL", kOptionalTransitive, judged, kWithdraw, kWithdraw, M::pmsi_tunnel, pmsi_tunnel,
                  "RFC 6514"},
    AttributeRule{23, "Tunnel Encapsulation", kOptionalTransitive, judged, kWithdraw, kWithdraw,
                  M::tunnel_encapsulation, tunnel_encapsulation, "RFC 9012"},
    AttributeRule{24, "Traffic Engineering", kOptionalNonTransitive, judged, kWithdraw, kWithdraw,
                  M::traffic_engineering, traffic_engineering, "RFC 5543"},
    AttributeRule{25, "IPv6 Address Specific Extended Community", kOptionalTransitive, judged, kWithdraw, kWithdraw,
                  M::ipv6_extended_communities, ipv6_extended_communities, "RFC 5701"},
    AttributeRule{26, "AIGP", kOptionalNonTransitive, judged, kDiscard, kDiscard, M::aigp, aigp, "RFC 7311"},
    AttributeRule{27, "PE Distinguisher Labels", kOptionalTransitive, judged, kWithdraw, kWithdraw,
                  M::pe_distinguisher_labels, pe_distinguisher_labels, "RFC 6514"},
    AttributeRule{29, "BGP-LS", kOptionalNonTransitive, judged, kDiscard, kDiscard, M::link_state, link_state,
                  "RFC 9552"},
    AttributeRule{32, "LARGE_COMMUNITY", kOptionalTransitive, decoded, kWithdraw, kWithdraw, M::large_communities,
                  nullptr, "RFC 8092"},
    AttributeRule{35, "Only to Customer", kOptionalTransitive, judged, kWithdraw, kWithdraw, M::only_to_customer,
                  only_to_customer, "RFC 9234"},
    AttributeRule{39, "Next Hop Capability", kOptionalTransitive, judged, kDiscard, kDiscard, M::next_hop_capability,
                  next_hop_capability, "draft-ietf-idr-entropy-label"},
    AttributeRule{40, "BGP Prefix-SID", kOptionalTransitive, judged, kDiscard, kDiscard, M::prefix_sid, prefix_sid,
                  "RFC 8669"},
    AttributeRule{128, "ATTR_SET", kOptionalTransitive, judged, kWithdraw, kWithdraw, M::attribute_set, attribute_set,
                  "RFC 6368"},
};
static_assert(std::is_sorted(kRules.begin(), kRules.end(),
                             [](const auto& a, const auto& b) { return a.type < b.type; }));

}  // namespace

std::span<const AttributeRule> attribute_rules() { return kRules; }

const AttributeRule* rule_of(std::uint8_t type) {
  // A table by type, so that an attribute is found without a search.
  static constexpr auto kByType = [] {
    std::array<std::uint8_t, 256> places{};
    for (std::size_t i = 0; i < kRules.size(); ++i) places[kRules[i].type] = static_cast<std::uint8_t>(i + 1);
    return places;
  }();
  return kByType[type] == 0 ? nullptr : &kRules[kByType[type] - 1u];
}

}  // namespace tandem::bgp
