// SPDX-License-Identifier: BSD-3-Clause
#include "bgp/message.hpp"

#include <string_view>

namespace tandem::bgp {

namespace {

constexpr std::array<std::string_view, kMalformations> kNames{"header_marker",
                                                              "header_length",
                                                              "header_type",
                                                              "open_version",
                                                              "open_peer_as",
                                                              "open_identifier",
                                                              "open_hold_time",
                                                              "open_parameters",
                                                              "open_unsupported_parameter",
                                                              "open_capability",
                                                              "notification_short",
                                                              "refresh_length",
                                                              "refresh_family",
                                                              "unexpected_message",
                                                              "update_lengths",
                                                              "update_nlri",
                                                              "update_withdrawn",
                                                              "update_mp_reach",
                                                              "update_mp_unreach",
                                                              "update_mp_duplicate",
                                                              "update_unrecognized_well_known",
                                                              "update_no_nlri",
                                                              "attribute_overrun",
                                                              "attribute_flags",
                                                              "missing_well_known",
                                                              "origin",
                                                              "as_path",
                                                              "first_as",
                                                              "next_hop",
                                                              "med",
                                                              "local_pref",
                                                              "communities",
                                                              "originator_id",
                                                              "cluster_list",
                                                              "extended_communities",
                                                              "large_communities",
                                                              "duplicate_attribute",
                                                              "atomic_aggregate",
                                                              "aggregator",
                                                              "as4_path",
                                                              "as4_aggregator",
                                                              "internal_attribute_from_external",
                                                              "family_not_negotiated",
                                                              "martian_prefix",
                                                              "pmsi_tunnel",
                                                              "tunnel_encapsulation",
                                                              "traffic_engineering",
                                                              "ipv6_extended_communities",
                                                              "pe_distinguisher_labels",
                                                              "only_to_customer",
                                                              "attribute_set",
                                                              "aigp",
                                                              "link_state",
                                                              "next_hop_capability",
                                                              "prefix_sid"};

std::string_view code_name(std::uint8_t code) {
  constexpr std::array<std::string_view, 7> names{"Reserved",
                                                  "Message Header Error",
                                                  "OPEN Message Error",
                                                  "UPDATE Message Error",
                                                  "Hold Timer Expired",
                                                  "Finite State Machine Error",
                                                  "Cease"};
  return code < names.size() ? names[code] : "Unknown Error";
}

std::string_view subcode_name(std::uint8_t code, std::uint8_t subcode) {
  constexpr std::array<std::string_view, 4> header{"", "Connection Not Synchronized", "Bad Message Length",
                                                   "Bad Message Type"};
  constexpr std::array<std::string_view, 8> open{
      "", "Unsupported Version Number", "Bad Peer AS",           "Bad BGP Identifier", "Unsupported Optional Parameter",
      "", "Unacceptable Hold Time",     "Unsupported Capability"};
  constexpr std::array<std::string_view, 12> update{"",
                                                    "Malformed Attribute List",
                                                    "Unrecognized Well-known Attribute",
                                                    "Missing Well-known Attribute",
                                                    "Attribute Flags Error",
                                                    "Attribute Length Error",
                                                    "Invalid ORIGIN Attribute",
                                                    "",
                                                    "Invalid NEXT_HOP Attribute",
                                                    "Optional Attribute Error",
                                                    "Invalid Network Field",
                                                    "Malformed AS_PATH"};
  constexpr std::array<std::string_view, 4> fsm{"", "Unexpected Message in OpenSent State",
                                                "Unexpected Message in OpenConfirm State",
                                                "Unexpected Message in Established State"};
  constexpr std::array<std::string_view, 11> cease{"",
                                                   "Maximum Number of Prefixes Reached",
                                                   "Administrative Shutdown",
                                                   "Peer De-configured",
                                                   "Administrative Reset",
                                                   "Connection Rejected",
                                                   "Other Configuration Change",
                                                   "Connection Collision Resolution",
                                                   "Out of Resources",
                                                   "Hard Reset",
                                                   "BFD Down"};
  const auto pick = [&](const auto& names) { return subcode < names.size() ? names[subcode] : std::string_view{}; };
  switch (static_cast<ErrorCode>(code)) {
    case ErrorCode::header:
      return pick(header);
    case ErrorCode::open:
      return pick(open);
    case ErrorCode::update:
      return pick(update);
    case ErrorCode::fsm:
      return pick(fsm);
    case ErrorCode::cease:
      return pick(cease);
    case ErrorCode::hold_timer:
      break;
  }
  return {};
}

}  // namespace

std::string_view name_of(Malformation m) {
  const auto index = static_cast<std::size_t>(m);
  return index < kNames.size() ? kNames[index] : "none";
}

std::string Notification::to_string() const {
  std::string text(code_name(code));
  if (const auto name = subcode_name(code, subcode); !name.empty()) text.append("/").append(name);
  return text + " (" + std::to_string(code) + "/" + std::to_string(subcode) + ")";
}

void Update::clear() {
  withdrawn.clear();
  announced_ipv4.clear();
  announced_ipv6.clear();
  attributes.clear();
  next_hop_ipv6 = Address{};
  next_hop_link_local.reset();
  end_of_rib = {};
  handling = ErrorHandling::none;
  reset = Notification{};
}

}  // namespace tandem::bgp
