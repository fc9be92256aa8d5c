// SPDX-License-Identifier: BSD-3-Clause
//
// ARP (RFC 826) with what RFC 5227 adds: probes are answered and teach nothing, and who claims an address of ours is told.
#include <algorithm>

#include "neighbours.hpp"
#include "stack_impl.hpp"
#include "tandem/addressing.hpp"
#include "tandem/planted.hpp"
#include "wire/octets.hpp"

namespace tandem {

void Neighbours::arp_input(Bytes frame) {
  using wire::ArpPacket;
  const auto packet = wire::parse_arp(frame);
  if (!packet || !wire::is_unicast(packet->sender_mac)) {
    ++malformed_arp_;
    return;
  }
  const MacAddress own_mac = stack_.device.mac();
  if (packet->sender_mac == own_mac) {
    return;  // our own, come back
  }
  const bool is_request = packet->operation == ArpPacket::kRequest;
  const bool is_for_us = is_own(packet->target);
  if (packet->sender.is_any()) {
    if (is_request && is_for_us) {
      send_arp(ArpPacket::kReply, packet->sender_mac, packet->target, packet->sender_mac, packet->sender);
    }
    return;
  }
  if (is_own(packet->sender)) {
    claimed_by_another(packet->sender, packet->sender_mac);
    return;
  }
  if (!is_host_address(packet->sender) || next_hops_.is_broadcast(packet->sender)) {
    ++malformed_arp_;
    return;
  }
  if (packet->sender == packet->target && TANDEM_PLANTED(announcement_ignored)) {
    return;
  }
  // Who asks for us will soon hear from us. Nobody else makes an entry, but what he says of himself corrects one.
  const bool may_be_new = is_request && is_for_us && next_hops_.is_on_link(packet->sender);
  Entry* const entry = may_be_new ? cache_.find_or_make(packet->sender) : cache_.find(packet->sender);
  if (entry != nullptr) {
    const bool answers_us = !is_request && is_for_us && wire::load_mac(frame.data()) == own_mac;
    if (answers_us) {
      cache_.advertise(*entry, &packet->sender_mac, true, true, stack_.now_ns());
    } else {
      cache_.learn(*entry, packet->sender_mac);
    }
    learned(*entry);
  }
  if (is_request && is_for_us) {
    send_arp(ArpPacket::kReply, packet->sender_mac, packet->target, packet->sender_mac, packet->sender);
  }
}

void Neighbours::send_arp(std::uint16_t operation, const MacAddress& to, const IpAddress& sender,
                          const MacAddress& target_mac, const IpAddress& target) {
  std::array<std::uint8_t, wire::kArpFrameBytes> frame;
  wire::write_arp(frame, to, {operation, stack_.device.mac(), sender, target_mac, target});
  stack_.stage_frame(frame);
}

}  // namespace tandem
