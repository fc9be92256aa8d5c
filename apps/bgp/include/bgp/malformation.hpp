// SPDX-License-Identifier: BSD-3-Clause
// Each way in which a message can be wrong has a name and a counter.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tandem::bgp {

enum class Malformation : std::uint8_t {
  // Message header: session reset (RFC 4271 section 6.1).
  header_marker,
  header_length,
  header_type,
  // OPEN: session reset (RFC 4271 section 6.2).
  open_version,
  open_peer_as,
  open_identifier,
  open_hold_time,
  open_parameters,
  open_unsupported_parameter,
  open_capability,  // a capability of the wrong length is passed over, the session goes on
  // NOTIFICATION and ROUTE-REFRESH.
  notification_short,
  refresh_length,
  refresh_family,  // for a family that was not negotiated: passed over (RFC 2918)
  // A message that the session's state does not allow: session reset (RFC 6608).
  unexpected_message,
  // UPDATE: session reset (RFC 7606 sections 3 and 5).
  update_lengths,
  update_nlri,
  update_withdrawn,
  update_mp_reach,
  update_mp_unreach,
  update_mp_duplicate,
  update_unrecognized_well_known,
  update_no_nlri,  // an error in an UPDATE without reachable NLRI (RFC 7606 section 5.2)
  // UPDATE: treat-as-withdraw.
  attribute_overrun,
  attribute_flags,
  missing_well_known,
  origin,
  as_path,
  first_as,
  next_hop,
  med,
  local_pref,
  communities,
  originator_id,
  cluster_list,
  extended_communities,
  large_communities,
  // UPDATE: attribute discard.
  duplicate_attribute,
  atomic_aggregate,
  aggregator,
  as4_path,
  as4_aggregator,
  internal_attribute_from_external,  // LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST from an external neighbour
  // UPDATE: single routes passed over.
  family_not_negotiated,
  martian_prefix,
  // Numbers are kept, since the twin's counters go by them: what came later stands here.
  // UPDATE: treat-as-withdraw, attributes that nobody here uses (attribute_rules.cpp).
  pmsi_tunnel,
  tunnel_encapsulation,
  traffic_engineering,
  ipv6_extended_communities,
  pe_distinguisher_labels,
  only_to_customer,
  attribute_set,
  // UPDATE: attribute discard, likewise.
  aigp,
  link_state,
  next_hop_capability,
  prefix_sid,
  count
};

inline constexpr std::size_t kMalformations = static_cast<std::size_t>(Malformation::count);

/// The counter's name as metrics show it, e.g. "update_nlri".
std::string_view name_of(Malformation m);

using MalformationCounters = std::array<std::uint64_t, kMalformations>;

}  // namespace tandem::bgp
