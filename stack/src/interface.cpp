// SPDX-License-Identifier: BSD-3-Clause
//
// The stack's interface: addresses, packets in and out. lwIP has one IPv4 address an interface, so there is one netif for each,
// all on the same device; the first one carries the IPv6 addresses as well.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "lwip.hpp"
#include "stack_impl.hpp"
#include "wire/octets.hpp"

namespace tandem {

namespace {

constexpr std::size_t kEthernetHeaderBytes = 14;
constexpr std::size_t kSourceMacAt = 6;
constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
constexpr std::uint16_t kEtherTypeArp = 0x0806;
constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;

std::uint16_t load_be16(const std::uint8_t* at) { return static_cast<std::uint16_t>(at[0] << 8 | at[1]); }

std::uint32_t load_be32(const std::uint8_t* at) { return std::uint32_t{load_be16(at)} << 16 | load_be16(at + 2); }

std::uint16_t ether_type(Bytes frame) { return frame.size() < kEthernetHeaderBytes ? 0 : load_be16(frame.data() + 12); }

err_t link_output(netif* interface, pbuf* packet) {
  return static_cast<Stack::Impl*>(interface->state)->stage_packet(*packet);
}

// What must not be sent must not wait for a neighbour's answer either.
err_t output(netif& interface, pbuf& packet, const IpAddress& to) {
  auto& stack = *static_cast<Stack::Impl*>(interface.state);
  return stack.muted || stack.muted_for_input ? err_t{ERR_OK} : stack.neighbours.output(interface, packet, to);
}

err_t output_v4(netif* interface, pbuf* packet, const ip4_addr_t* to) {
  IpAddress destination = IpAddress::any(4);
  std::memcpy(destination.octets.data(), &to->addr, sizeof to->addr);
  return output(*interface, *packet, destination);
}

err_t output_v6(netif* interface, pbuf* packet, const ip6_addr_t* to) {
  IpAddress destination = IpAddress::any(6);
  std::memcpy(destination.octets.data(), to->addr, sizeof to->addr);
  return output(*interface, *packet, destination);
}

err_t init_netif(netif* interface) {
  auto& stack = *static_cast<Stack::Impl*>(interface->state);
  interface->name[0] = 't';
  interface->name[1] = 'd';
  interface->linkoutput = link_output;
  interface->output = output_v4;
  interface->output_ip6 = output_v6;
  interface->mtu = static_cast<u16_t>(std::min<std::uint32_t>(stack.device.mtu(), 0xffff));
  interface->hwaddr_len = 6;
  const auto mac = stack.device.mac();
  std::copy(mac.octets.begin(), mac.octets.end(), interface->hwaddr);
  interface->flags =
      NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP | NETIF_FLAG_MLD6;
  return ERR_OK;
}

}  // namespace

void Stack::Impl::make_interfaces() {
  const auto gateway_of = [&](std::uint8_t version) {
    const auto found = std::find_if(options.gateways.begin(), options.gateways.end(),
                                    [&](const IpAddress& gateway) { return gateway.version == version; });
    return found == options.gateways.end() ? IpAddress::any(version) : *found;
  };
  const auto add = [&](const ip4_addr_t& address, std::uint8_t prefix_bits, const ip4_addr_t& gateway) {
    ip4_addr_t mask;
    ip4_addr_set_u32(&mask, prefix_bits == 0 ? 0 : lwip_htonl(0xffffffffU << (32 - prefix_bits)));
    netif& interface = netifs.emplace_back();
    if (netif_add(&interface, &address, &mask, &gateway, this, init_netif, ethernet_input) == nullptr) {
      throw std::runtime_error("lwIP refuses another interface; give fewer addresses");
    }
  };
  // lwIP looks at the interface that was added last first, so the longest prefix comes last, and of equal ones the one that was given
  // first: its address is the one that connections to neighbours go out with.
  std::vector<IpPrefix> v4;
  std::copy_if(options.addresses.rbegin(), options.addresses.rend(), std::back_inserter(v4),
               [](const IpPrefix& prefix) { return !prefix.address.is_v6(); });
  const IpAddress main = v4.empty() ? IpAddress::any(4) : v4.back().address;
  std::stable_sort(v4.begin(), v4.end(), [](const IpPrefix& a, const IpPrefix& b) { return a.length < b.length; });
  const ip_addr_t gateway4 = to_lwip(gateway_of(4));
  for (const IpPrefix& prefix : v4) {
    const ip_addr_t address = to_lwip(prefix.address);
    add(*ip_2_ip4(&address), prefix.length, *ip_2_ip4(&gateway4));
    if (prefix.address == main) {
      netif_set_default(&netifs.back());
    }
  }
  if (netifs.empty()) {
    ip4_addr_t none{};
    add(none, 0, none);
    netif_set_default(&netifs.front());
  }
}

void Stack::Impl::bring_up() {
  for (netif& interface : netifs) {
    netif_set_up(&interface);
  }
  netif& first = netifs.front();
  bool has_v6 = false;
  s8_t slot = 1;
  bool has_link_local = false;
  for (const IpPrefix& prefix : options.addresses) {
    if (prefix.address.is_v6()) {
      // lwIP wants a link-local address in the first place.
      const s8_t place = prefix.address.is_link_local() && !std::exchange(has_link_local, true) ? s8_t{0} : slot++;
      ip_addr_t address = to_lwip(prefix.address);
      add_zone(address);
      netif_ip6_addr_set(&first, place, ip_2_ip6(&address));
      netif_ip6_addr_set_state(&first, place, IP6_ADDR_PREFERRED);
      has_v6 = true;
    }
  }
  if (has_v6 && !has_link_local) {
    netif_create_ip6_linklocal_address(&first, 1);
    netif_ip6_addr_set_state(&first, 0, IP6_ADDR_PREFERRED);
  }
}

void Stack::Impl::add_zone(ip_addr_t& address) {
  if (IP_IS_V6_VAL(address) && ip6_addr_lacks_zone(ip_2_ip6(&address), IP6_UNKNOWN)) {
    ip6_addr_assign_zone(ip_2_ip6(&address), IP6_UNKNOWN, &netifs.front());
  }
}

void Stack::Impl::announce_addresses() {
  // IPv4: netif_set_up has sent a gratuitous ARP for each.
  const netif& first = netifs.front();
  for (s8_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; ++i) {
    if (ip6_addr_isvalid(netif_ip6_addr_state(&first, i))) {
      neighbours.announce(from_lwip(*netif_ip_addr6(&first, i)));
    }
  }
  neighbours.probe_own_addresses();
}

void Stack::Impl::count_segment(Bytes frame) {
  constexpr std::uint8_t kTcp = 6;
  constexpr std::size_t kIpv6HeaderBytes = 40;
  std::size_t at = kEthernetHeaderBytes;
  std::size_t end = frame.size();
  if (ether_type(frame) == kEtherTypeIpv4 && frame.size() >= at + 20 && frame[at + 9] == kTcp) {
    end = at + load_be16(frame.data() + at + 2);
    at += (frame[at] & 0xfU) * 4U;
  } else if (ether_type(frame) == kEtherTypeIpv6 && frame.size() >= at + kIpv6HeaderBytes && frame[at + 6] == kTcp) {
    at += kIpv6HeaderBytes;
  } else {
    return;
  }
  if (frame.size() < at + TCP_HLEN) {
    return;
  }
  counters.resets_sent += (frame[at + 13] & TCP_RST) != 0 ? 1 : 0;
  const bool has_data = end > at + (frame[at + 12] >> 4) * 4U;
  const tcp_pcb* const pcb = last_touched != nullptr ? last_touched->pcb : nullptr;
  if (has_data && pcb != nullptr && pcb->persist_backoff == 0 && load_be16(frame.data() + at) == pcb->local_port &&
      load_be16(frame.data() + at + 2) == pcb->remote_port) {
    // TCP takes note of what it has sent afterwards, so a new segment is not behind snd_nxt yet.
    const auto seq = load_be32(frame.data() + at + 4);
    counters.retransmissions += !seq_before(seq, pcb->lastack) && seq_before(seq, pcb->snd_nxt) ? 1 : 0;
  }
}

err_t Stack::Impl::stage_packet(const pbuf& packet) {
  if (muted) {
    return ERR_OK;
  }
  if (!link.up) {
    // It would leave when the link is up again, out of date.
    ++counters.frames_out_dropped;
    return ERR_OK;
  }
  const auto frame = device.tx_reserve(packet.tot_len);
  if (frame.size() < packet.tot_len) {
    ++counters.frames_out_dropped;
    return ERR_BUF;
  }
  pbuf_copy_partial(&packet, frame.data(), packet.tot_len, 0);
  count_segment(frame.first(packet.tot_len));
  device.tx_stage();
  ++counters.frames_out;
  return ERR_OK;
}

void Stack::Impl::stage_frame(Bytes frame) {
  if (muted) {
    return;
  }
  const auto room = device.tx_reserve(static_cast<std::uint32_t>(frame.size()));
  if (room.size() < frame.size()) {
    ++counters.frames_out_dropped;
    return;
  }
  std::copy(frame.begin(), frame.end(), room.begin());
  device.tx_stage();
  ++counters.frames_out;
}

netif& Stack::Impl::netif_for(const RxFrame& frame) {
  // lwIP answers ARP, ICMP and closed ports only for the address of the interface that a packet came in by.
  constexpr std::size_t kArpTargetAt = kEthernetHeaderBytes + 24;
  constexpr std::size_t kIpv4DestinationAt = kEthernetHeaderBytes + 16;
  const auto type = ether_type(frame.bytes);
  const std::size_t at = type == kEtherTypeArp ? kArpTargetAt : kIpv4DestinationAt;
  if (netifs.size() > 1 && (type == kEtherTypeArp || type == kEtherTypeIpv4) && frame.bytes.size() >= at + 4) {
    const auto target = load_be32(frame.bytes.data() + at);
    for (netif& interface : netifs) {
      if (lwip_ntohl(ip4_addr_get_u32(netif_ip4_addr(&interface))) == target) {
        return interface;
      }
    }
  }
  return netifs.front();
}

void Stack::Impl::input(RxFrame frame) {
  if (dormant) {
    device.rx_done(frame.cookie);
    return;
  }
  catch_up();
  ++counters.frames_in;
  const auto type = ether_type(frame.bytes);
  constexpr std::size_t kNextHeaderAt = kEthernetHeaderBytes + 6;
  const std::size_t next_header_at = type == kEtherTypeIpv6 ? kNextHeaderAt : kEthernetHeaderBytes + 9;
  if (frame.bytes.size() > next_header_at) {
    const std::uint8_t protocol = frame.bytes[next_header_at];
    if ((type == kEtherTypeIpv6 && protocol == IP6_NEXTH_ICMP6) ||
        (type == kEtherTypeIpv4 && protocol == IP_PROTO_ICMP)) {
      packet_too_big(frame.bytes, type == kEtherTypeIpv6);
    }
  }
  if (type == kEtherTypeArp) {
    neighbours.arp_input(frame.bytes);
    device.rx_done(frame.cookie);
    settle();
    return;
  }
  if (type != 0) {
    input_from = wire::load_mac(frame.bytes.data() + kSourceMacAt);
  }
  netif& interface = netif_for(frame);
  if (pbuf* const packet = rx_frames.wrap(frame)) {
    in_input = true;
    choose_checksums(interface, frame.bytes);
    if (interface.input(packet, &interface) != ERR_OK) {
      pbuf_free(packet);
    }
    in_input = muted_for_input = false;
    least_iss.reset();
    note_checksum_errors();
  }
  input_from.reset();
  settle();
}

bool Stack::Impl::owns(const IpAddress& address) const {
  return std::any_of(options.addresses.begin(), options.addresses.end(),
                     [&](const IpPrefix& prefix) { return prefix.address == address; });
}

}  // namespace tandem
