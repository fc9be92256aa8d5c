// SPDX-License-Identifier: BSD-3-Clause
//
// Neighbour discovery (RFC 4861) as a host with configured addresses and routers: solicitations and advertisements are sent and
// answered, redirects followed. Of a router's advertisement only its link address is taken.
#include <algorithm>

#include "neighbours.hpp"
#include "stack_impl.hpp"
#include "tandem/planted.hpp"
#include "wire/octets.hpp"

namespace tandem {

using wire::NdEnvelope;
using wire::NdMessage;
using wire::NdType;

void Neighbours::icmp_input(Bytes icmp, const NdEnvelope& envelope, const MacAddress& from) {
  if (icmp[0] == ICMP6_TYPE_PTB) {
    take_packet_too_big(icmp);
    return;
  }
  const auto message = wire::parse_nd(icmp, envelope);
  if (!message) {
    ++malformed_nd_;
    return;
  }
  if (from == stack_.device.mac()) {
    return;  // our own, come back
  }
  switch (message->type) {
    case NdType::neighbour_solicitation:
      take_solicitation(*message, envelope, from);
      break;
    case NdType::neighbour_advertisement:
      take_advertisement(*message, from);
      break;
    case NdType::redirect:
      take_redirect(*message, envelope);
      break;
    case NdType::router_advertisement:
      if (Entry* const entry = cache_.find(envelope.source); entry != nullptr && message->source_mac) {
        cache_.learn(*entry, *message->source_mac);
        entry->router = true;
        learned(*entry);
      }
      break;
  }
}

void Neighbours::take_solicitation(const NdMessage& message, const NdEnvelope& envelope, const MacAddress& from) {
  if (!is_own(message.target)) {
    return;
  }
  if (is_own(envelope.source)) {
    claimed_by_another(envelope.source, from);
    return;
  }
  if (envelope.source.is_any()) {
    // Somebody wants the address and asks whether it is free.
    advertise(message.target, wire::all_nodes(), wire::multicast_mac(wire::all_nodes()), false);
    return;
  }
  if (message.source_mac) {
    const bool may_be_new = next_hops_.is_on_link(envelope.source);
    Entry* const entry = may_be_new ? cache_.find_or_make(envelope.source) : cache_.find(envelope.source);
    if (entry != nullptr) {
      cache_.learn(*entry, *message.source_mac);
      learned(*entry);
    }
  }
  advertise(message.target, envelope.source, message.source_mac, true);
}

void Neighbours::take_advertisement(const NdMessage& message, const MacAddress& from) {
  if (is_own(message.target)) {
    if (message.target_mac.value_or(from) != stack_.device.mac()) {
      claimed_by_another(message.target, message.target_mac.value_or(from));
    }
    return;
  }
  Entry* const entry = cache_.find(message.target);
  if (entry == nullptr || (!message.solicited && TANDEM_PLANTED(announcement_ignored))) {
    return;
  }
  const bool was_ignored = !entry->has_mac() && !message.target_mac;
  cache_.advertise(*entry, message.target_mac ? &*message.target_mac : nullptr, message.solicited, message.override,
                   stack_.now_ns());
  if (!was_ignored) {
    entry->router = message.router;
    learned(*entry);
  }
}

void Neighbours::take_redirect(const NdMessage& message, const NdEnvelope& envelope) {
  // Only the first hop of a destination may name another one for it.
  if (is_own(message.target) || first_hop(message.destination) != envelope.source) {
    ++malformed_nd_;
    return;
  }
  destinations_.renew(message.destination, stack_.now_ns()).next_hop = message.target;
  if (message.target_mac) {
    if (Entry* const entry = cache_.find_or_make(message.target)) {
      cache_.learn(*entry, *message.target_mac);
      entry->router = entry->router || message.target != message.destination;
      learned(*entry);
    }
  }
}

void Neighbours::take_packet_too_big(Bytes icmp) {
  constexpr std::size_t kQuotedAt = 8;
  constexpr std::size_t kQuotedTcpAt = kQuotedAt + IP6_HLEN;
  if (icmp.size() < kQuotedTcpAt) {
    ++malformed_nd_;
    return;
  }
  const std::uint32_t mtu = wire::load_be32(icmp.data() + 4);
  const IpAddress source = wire::load_address(icmp.data() + kQuotedAt + 8, 6);
  const IpAddress destination = wire::load_address(icmp.data() + kQuotedAt + 24, 6);
  // Below the minimum it is to be discarded, and it never raises the estimate (RFC 8201, section 4).
  const std::uint32_t link_mtu = stack_.device.mtu();
  if (!is_own(source) || mtu < IP6_MIN_MTU_LENGTH || mtu >= link_mtu) {
    return;
  }
  // A stranger who has seen no packet of ours knows no connection of ours.
  if (icmp[kQuotedAt + 6] == IP6_NEXTH_TCP && icmp.size() >= kQuotedTcpAt + 4) {
    const Tuple tuple{{source, wire::load_be16(icmp.data() + kQuotedTcpAt)},
                      {destination, wire::load_be16(icmp.data() + kQuotedTcpAt + 2)}};
    if (!stack_.by_tuple.contains(tuple)) {
      return;
    }
  }
  auto& known = destinations_.renew(destination, stack_.now_ns());
  if (known.path_mtu == 0 || mtu < known.path_mtu) {
    known.path_mtu = static_cast<std::uint16_t>(mtu);
  }
}

void Neighbours::solicit_v6(const Entry& entry, bool unicast) {
  NdMessage message;
  message.type = NdType::neighbour_solicitation;
  message.target = entry.address;
  message.source_mac = stack_.device.mac();
  const IpAddress to = unicast ? entry.address : wire::solicited_node(entry.address);
  send_nd(unicast ? entry.mac : wire::multicast_mac(to), asking_address(entry.address), to, message);
}

void Neighbours::advertise(const IpAddress& own, const IpAddress& to, const std::optional<MacAddress>& to_mac,
                           bool solicited) {
  NdMessage message;
  message.type = NdType::neighbour_advertisement;
  message.target = own;
  message.target_mac = stack_.device.mac();
  message.solicited = solicited;
  message.override = true;
  if (to_mac) {
    send_nd(*to_mac, own, to, message);
    return;
  }
  // The one who asked did not say where he is: he is known, or is asked in turn.
  std::array<std::uint8_t, wire::kMaxNdFrameBytes> frame;
  const auto bytes = static_cast<u16_t>(write_nd(frame, {}, {}, own, to, message) - SIZEOF_ETH_HDR);
  if (pbuf* const packet = pbuf_alloc(PBUF_LINK, bytes, PBUF_RAM)) {
    pbuf_take(packet, frame.data() + SIZEOF_ETH_HDR, bytes);
    send(stack_.netifs.front(), *packet, to);
    pbuf_free(packet);
  }
}

void Neighbours::send_nd(const MacAddress& to, const IpAddress& source, const IpAddress& destination,
                         const NdMessage& message) {
  std::array<std::uint8_t, wire::kMaxNdFrameBytes> frame;
  const std::size_t bytes = write_nd(frame, stack_.device.mac(), to, source, destination, message);
  stack_.stage_frame(Bytes(frame).first(bytes));
}

}  // namespace tandem
