// SPDX-License-Identifier: BSD-3-Clause
//
// Our addresses are ours: whoever else claims one is told so and reported, and we keep it (RFC 5227 section 2.4 (c)). A service
// that gave its address up would end every connection, and a twin that waited for detection could not take over in time.
#include <algorithm>

#include "neighbours.hpp"
#include "stack_impl.hpp"
#include "wire/octets.hpp"

namespace tandem {

namespace {

constexpr std::uint64_t kDefendIntervalNs = 10'000'000'000;  // RFC 5227 section 1.1

}  // namespace

void Neighbours::probe_own_addresses() {
  for (const IpPrefix& own : stack_.options.addresses) {
    if (!own.address.is_v6()) {
      send_arp(wire::ArpPacket::kRequest, wire::kBroadcastMac, IpAddress::any(4), {}, own.address);
      continue;
    }
    wire::NdMessage question;
    question.type = wire::NdType::neighbour_solicitation;
    question.target = own.address;
    const IpAddress to = wire::solicited_node(own.address);
    send_nd(wire::multicast_mac(to), IpAddress::any(6), to, question);
  }
}

void Neighbours::announce(const IpAddress& own) {
  if (own.is_v6()) {
    advertise(own, wire::all_nodes(), wire::multicast_mac(wire::all_nodes()), false);
  } else {
    send_arp(wire::ArpPacket::kRequest, wire::kBroadcastMac, own, {}, own);
  }
}

void Neighbours::claimed_by_another(const IpAddress& own, const MacAddress& by) {
  ++claims_;
  const auto now = stack_.now_ns();
  auto known = std::find_if(conflicts_.begin(), conflicts_.end(),
                            [&](const AddressConflict& conflict) { return conflict.address == own; });
  const bool is_first = known == conflicts_.end();
  if (is_first) {
    known = conflicts_.insert(conflicts_.end(), AddressConflict{own, by, 0, now});
  }
  ++known->count;
  known->claimed_by = by;
  // One answer in ten seconds: two hosts that both defend themselves must not go on without end.
  if (is_first || now - known->answered_ns >= kDefendIntervalNs) {
    known->answered_ns = now;
    announce(own);
    if (stack_.options.on_address_conflict) {
      stack_.options.on_address_conflict(*known);
    }
  }
}

}  // namespace tandem
