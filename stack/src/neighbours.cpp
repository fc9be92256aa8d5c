// SPDX-License-Identifier: BSD-3-Clause
//
// Packets meet neighbours: what leaves at once, what waits, and what the twin is told.
#include "neighbours.hpp"

#include <algorithm>
#include <cstring>

#include "stack_impl.hpp"
#include "wire/octets.hpp"

namespace tandem {

namespace {

/// The purpose of a stack's random numbers is its own; here they spread the reachable time.
std::function<std::uint32_t()> random_of(Stack::Impl& stack) {
  return [&stack] { return stack.random_value(); };
}

err_t put_on_link(netif& interface, pbuf& packet, const MacAddress& to, std::uint8_t version) {
  eth_addr source;
  eth_addr destination;
  std::memcpy(source.addr, interface.hwaddr, sizeof source.addr);
  std::copy(to.octets.begin(), to.octets.end(), destination.addr);
  return ethernet_output(&interface, &packet, &source, &destination, version == 6 ? ETHTYPE_IPV6 : ETHTYPE_IP);
}

}  // namespace

Neighbours::Neighbours(Stack::Impl& stack, SipKey key)
    : stack_(stack),
      next_hops_(stack.options.addresses, stack.options.gateways),
      cache_(stack.options.max_neighbours, key, random_of(stack), [this](Entry& entry) { pending_.drop_all(entry); }),
      destinations_(key) {
  for (const IpAddress& gateway : stack.options.gateways) {
    cache_.pin(gateway);
  }
}

Neighbours::~Neighbours() { clear(); }

err_t Neighbours::output(netif& interface, pbuf& packet, const IpAddress& destination) {
  if (wire::is_multicast(destination)) {
    return put_on_link(interface, packet, wire::multicast_mac(destination), destination.version);
  }
  if (next_hops_.is_broadcast(destination)) {
    return put_on_link(interface, packet, wire::kBroadcastMac, destination.version);
  }
  const auto hop = first_hop(destination);
  return hop ? send(interface, packet, *hop) : err_t{ERR_RTE};
}

std::optional<IpAddress> Neighbours::first_hop(const IpAddress& destination) {
  if (!destinations_.empty() && destination.is_v6()) {
    const auto* const known = destinations_.find(destination, stack_.now_ns());
    if (known != nullptr && known->next_hop) {
      return known->next_hop;
    }
  }
  return next_hops_.of(destination);
}

err_t Neighbours::send(netif& interface, pbuf& packet, const IpAddress& neighbour) {
  Entry* entry = cache_.find(neighbour);
  const auto now = stack_.now_ns();
  if (entry != nullptr && cache_.use(*entry, now)) {
    return put_on_link(interface, packet, entry->mac, neighbour.version);
  }
  const bool is_new = entry == nullptr;
  if (is_new) {
    entry = cache_.find_or_make(neighbour);
    if (entry == nullptr) {
      return ERR_MEM;
    }
    entry->recent = true;
  }
  const bool kept = wait_for(*entry, packet);
  if (is_new) {
    cache_.advance(*entry, now);
    ask(*entry, false);
  }
  return kept ? err_t{ERR_OK} : err_t{ERR_MEM};
}

bool Neighbours::wait_for(Entry& entry, pbuf& packet) {
  // Whoever fills all places with packets to hosts that do not exist loses his own, the oldest first.
  while (pending_.is_full()) {
    Entry* const oldest = cache_.oldest_incomplete();
    if (oldest == nullptr || oldest == &entry) {
      break;
    }
    cache_.remove(*oldest);
  }
  return pending_.keep(entry, packet);
}

void Neighbours::send_pending(Entry& entry) {
  while (pbuf* const packet = pending_.take(entry)) {
    if (cache_.use(entry, stack_.now_ns())) {
      put_on_link(stack_.netifs.front(), *packet, entry.mac, entry.address.version);
    }
    pbuf_free(packet);
  }
}

void Neighbours::learned(Entry& entry) {
  if (entry.has_mac()) {
    send_pending(entry);
  }
}

void Neighbours::ask(Entry& entry, bool unicast) {
  if (entry.address.is_v6()) {
    solicit_v6(entry, unicast);
  } else {
    const MacAddress& to = unicast ? entry.mac : wire::kBroadcastMac;
    send_arp(wire::ArpPacket::kRequest, to, asking_address(entry.address), {}, entry.address);
  }
}

bool Neighbours::is_own(const IpAddress& address) const {
  if (!address.is_v6()) {
    return stack_.owns(address);
  }
  const ip_addr_t wanted = to_lwip(address);
  netif& first = stack_.netifs.front();
  for (s8_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; ++i) {
    if (ip6_addr_isvalid(netif_ip6_addr_state(&first, i)) &&
        ip6_addr_zoneless_eq(netif_ip6_addr(&first, i), ip_2_ip6(&wanted))) {
      return true;
    }
  }
  return false;
}

IpAddress Neighbours::asking_address(const IpAddress& neighbour) const {
  // One that the neighbour takes for a neighbour's of its own; an alias of another network it might not answer.
  if (const auto beside = next_hops_.own_beside(neighbour)) {
    return *beside;
  }
  if (neighbour.is_v6()) {
    ip_addr_t link_local{};
    IP_SET_TYPE_VAL(link_local, IPADDR_TYPE_V6);
    *ip_2_ip6(&link_local) = *netif_ip6_addr(&stack_.netifs.front(), 0);
    return from_lwip(link_local);
  }
  for (const IpPrefix& own : stack_.options.addresses) {
    if (!own.address.is_v6()) {
      return own.address;
    }
  }
  return IpAddress::any(4);
}

bool Neighbours::can_reach(const IpAddress& destination) {
  const auto hop = first_hop(destination);
  const Entry* const entry = hop ? cache_.find(*hop) : nullptr;
  return entry != nullptr && entry->has_mac();
}

bool Neighbours::was_reached(const IpAddress& destination) {
  const auto hop = first_hop(destination);
  const Entry* const entry = hop ? cache_.find(*hop) : nullptr;
  return entry != nullptr && entry->has_mac() && entry->inherited;
}

std::uint16_t Neighbours::path_mtu(const IpAddress& destination) {
  if (destinations_.empty()) {
    return 0;
  }
  const auto* const known = destinations_.find(destination, stack_.now_ns());
  return known == nullptr ? std::uint16_t{0} : known->path_mtu;
}

void Neighbours::confirm(const IpAddress& destination) {
  const auto hop = first_hop(destination);
  Entry* const entry = hop ? cache_.find(*hop) : nullptr;
  if (entry != nullptr && entry->state != NeighbourCache::State::reachable) {
    cache_.confirm(*entry, stack_.now_ns());
  }
}

void Neighbours::run_due(std::uint64_t now_ns) {
  // What is left over is due at once: the turn after this one goes on.
  constexpr int kPerTurn = 256;
  for (int i = 0; i < kPerTurn; ++i) {
    Entry* const entry = cache_.due(now_ns);
    if (entry == nullptr) {
      return;
    }
    switch (cache_.advance(*entry, now_ns)) {
      case NeighbourCache::Due::ask_all:
        ask(*entry, false);
        break;
      case NeighbourCache::Due::ask_it:
        ask(*entry, true);
        break;
      case NeighbourCache::Due::give_up:
        // The next packet asks everybody anew.
        ++unreachable_;
        cache_.remove(*entry);
        break;
    }
  }
}

std::vector<Neighbour> Neighbours::list() {
  std::vector<Neighbour> found;
  cache_.for_each([&](const Entry& entry) {
    if (entry.has_mac()) {
      found.push_back({entry.address, entry.mac});
    }
  });
  std::sort(found.begin(), found.end());
  return found;
}

std::optional<Neighbour> Neighbours::find(const IpAddress& address) {
  const Entry* const entry = cache_.find(address);
  if (entry == nullptr || !entry->has_mac()) {
    return std::nullopt;
  }
  return Neighbour{address, entry->mac};
}

void Neighbours::install(const Neighbour& neighbour) {
  if (Entry* const entry = cache_.find_or_make(neighbour.address)) {
    cache_.learn(*entry, neighbour.mac);
    entry->inherited = true;
  }
}

void Neighbours::show_news(ConnectionObserver* observer) {
  cache_.visit_news([&](const Entry& entry) {
    if (observer != nullptr) {
      observer->on_neighbour({entry.address, entry.mac});
    }
  });
}

void Neighbours::pin(const IpAddress& remote) {
  if (next_hops_.is_on_link(remote)) {
    cache_.pin(remote);
  }
}

void Neighbours::unpin(const IpAddress& remote) {
  if (next_hops_.is_on_link(remote)) {
    cache_.unpin(remote);
  }
}

void Neighbours::read_counters(StackStatistics& counters) const {
  counters.arp_malformed = malformed_arp_;
  counters.icmp_malformed += malformed_nd_;
  counters.address_conflicts = claims_;
  counters.neighbours = cache_.size();
  counters.neighbours_evicted = cache_.evictions();
  counters.neighbours_refused = cache_.refusals();
  counters.neighbours_unreachable = unreachable_;
  counters.packets_unresolved = pending_.given_up() + cache_.refusals();
}

}  // namespace tandem
