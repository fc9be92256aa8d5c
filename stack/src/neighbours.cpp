// SPDX-License-Identifier: BSD-3-Clause
//
// Neighbours as the observer sees them, and as a promoted stack puts them in place: lwIP holds back almost everything that goes
// to an address which it has not resolved.
#include <algorithm>
#include <array>
#include <cstring>

#include "lwip.hpp"
#include "stack_impl.hpp"

namespace tandem {

namespace {

MacAddress mac_of(const std::uint8_t* octets) {
  MacAddress mac;
  std::copy_n(octets, mac.octets.size(), mac.octets.begin());
  return mac;
}

/// Lets lwIP believe that it has just received the neighbour's ARP reply. Takes no memory of lwIP's: a takeover that is short of
/// it must not forget whom its connections speak to.
void install_v4(netif& interface, const IpAddress& address, const MacAddress& mac) {
  constexpr u16_t kBytes = SIZEOF_ETH_HDR + SIZEOF_ETHARP_HDR;
  constexpr std::uint8_t kReplyHead[] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2};
  alignas(MEM_ALIGNMENT) std::array<std::uint8_t, kBytes> reply;
  auto* at = reply.data();
  const auto put = [&at](const void* bytes, std::size_t count) {
    std::memcpy(at, bytes, count);
    at += count;
  };
  put(interface.hwaddr, 6);
  put(mac.octets.data(), 6);
  put(kReplyHead, sizeof kReplyHead);
  put(mac.octets.data(), 6);
  put(address.octets.data(), 4);
  put(interface.hwaddr, 6);
  put(netif_ip4_addr(&interface), 4);
  pbuf_custom frame{};
  frame.custom_free_function = [](pbuf*) {};
  // ARP keeps nothing of a packet beyond this call.
  pbuf* const packet = pbuf_alloced_custom(PBUF_RAW, kBytes, PBUF_REF, &frame, reply.data(), kBytes);
  if (interface.input(packet, &interface) != ERR_OK) {
    pbuf_free(packet);
  }
}

void install_v6(netif& interface, const ip6_addr_t& address, const MacAddress& mac) {
  nd6_neighbor_cache_entry* place = nullptr;
  for (int i = 0; i < LWIP_ND6_NUM_NEIGHBORS; ++i) {
    auto& entry = neighbor_cache[i];
    if (entry.state == ND6_NO_ENTRY) {
      place = place == nullptr ? &entry : place;
    } else if (ip6_addr_eq(&entry.next_hop_address, &address)) {
      place = &entry;
      break;
    }
  }
  if (place == nullptr) {
    return;
  }
  if (place->state == ND6_NO_ENTRY) {
    *place = {};
    place->next_hop_address = address;
  }
  place->netif = &interface;
  std::copy(mac.octets.begin(), mac.octets.end(), place->lladdr);
  place->state = ND6_REACHABLE;
  place->counter.reachable_time = reachable_time;
}

}  // namespace

std::vector<Neighbour> Stack::Impl::read_neighbours() {
  std::vector<Neighbour> found;
  for (size_t i = 0; i < ARP_TABLE_SIZE; ++i) {
    ip4_addr_t* address = nullptr;
    netif* interface = nullptr;
    eth_addr* mac = nullptr;
    if (etharp_get_entry(i, &address, &interface, &mac) != 0) {
      Neighbour neighbour{IpAddress::any(4), mac_of(mac->addr)};
      std::memcpy(neighbour.address.octets.data(), &address->addr, 4);
      found.push_back(neighbour);
    }
  }
  for (int i = 0; i < LWIP_ND6_NUM_NEIGHBORS; ++i) {
    const auto& entry = neighbor_cache[i];
    // An address that came with the neighbour's own question lets nothing go that waits for the answer to ours. Whoever takes over
    // must see that those packets are still to be sent.
    if (entry.state >= ND6_REACHABLE && entry.q == nullptr) {
      Neighbour neighbour{IpAddress::any(6), mac_of(entry.lladdr)};
      std::memcpy(neighbour.address.octets.data(), entry.next_hop_address.addr, 16);
      found.push_back(neighbour);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

void Stack::Impl::show_neighbours() {
  if (dormant || !neighbours_touched) {
    return;
  }
  neighbours_touched = false;
  auto now = read_neighbours();
  if (observer != nullptr) {
    for (const auto& neighbour : now) {
      if (!std::binary_search(known_neighbours.begin(), known_neighbours.end(), neighbour)) {
        observer->on_neighbour(neighbour);
      }
    }
  }
  known_neighbours = std::move(now);
}

bool Stack::Impl::can_reach(const ip_addr_t& local, const ip_addr_t& remote) {
  netif* const interface = ip_route(&local, &remote);
  if (interface == nullptr) {
    return false;
  }
  if (IP_IS_V6_VAL(remote)) {
    const auto is_resolved = [](const ip6_addr_t& address) {
      return std::any_of(neighbor_cache, neighbor_cache + LWIP_ND6_NUM_NEIGHBORS, [&](const auto& entry) {
        return entry.state >= ND6_REACHABLE && ip6_addr_eq(&entry.next_hop_address, &address);
      });
    };
    return is_resolved(*ip_2_ip6(&remote)) || (gateway6 && is_resolved(*gateway6));
  }
  const ip4_addr_t* const destination = ip_2_ip4(&remote);
  const bool on_link = ip4_addr_net_eq(destination, netif_ip4_addr(interface), netif_ip4_netmask(interface));
  eth_addr* mac = nullptr;
  const ip4_addr_t* entry = nullptr;
  return etharp_find_addr(interface, on_link ? destination : netif_ip4_gw(interface), &mac, &entry) >= 0;
}

void Stack::Impl::install_neighbour(const Neighbour& neighbour) {
  ip_addr_t address = to_lwip(neighbour.address);
  if (neighbour.address.is_v6()) {
    add_zone(address);
    install_v6(netifs.front(), *ip_2_ip6(&address), neighbour.mac);
    return;
  }
  netif* interface = ip4_route(ip_2_ip4(&address));
  install_v4(interface != nullptr ? *interface : netifs.front(), neighbour.address, neighbour.mac);
}

void Stack::Impl::install_neighbours() {
  for (const auto& neighbour : known_neighbours) {
    install_neighbour(neighbour);
  }
  // The tables may have had no room for all. Whoever is not in them is new when it comes back, and the next twin has to be told.
  known_neighbours = read_neighbours();
}

}  // namespace tandem
