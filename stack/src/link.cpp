// SPDX-License-Identifier: BSD-3-Clause
//
// What the link's life means to the stack: it goes and comes back, it gets narrower, it gets another address.
#include <algorithm>
#include <limits>
#include <utility>

#include "lwip.hpp"
#include "stack_impl.hpp"

namespace tandem {

namespace {

/// RFC 4861 section 10, MAX_NEIGHBOR_ADVERTISEMENT; RFC 5227 section 1.1 has 2 for ARP. A second apart.
constexpr int kAnnouncements = 3;
constexpr std::uint32_t kTcpHeader = 20;
constexpr std::uint32_t kIpv4Header = 20;
constexpr std::uint32_t kIpv6Header = 40;

}  // namespace

void Stack::Impl::link_changed() {
  const LinkCapabilities before = std::exchange(link, device.capabilities());
  const MacAddress mac = device.mac();
  bool moved = false;
  for (netif& interface : netifs) {
    interface.mtu = static_cast<u16_t>(std::min<std::uint32_t>(link.mtu, 0xffff));
    moved = moved || !std::equal(mac.octets.begin(), mac.octets.end(), interface.hwaddr);
    std::copy(mac.octets.begin(), mac.octets.end(), interface.hwaddr);
  }
  if (dormant) {
    return;
  }
  if (link.mtu < before.mtu) {
    for (const auto& [id, connection] : connections) {
      narrow(*connection, link.mtu);
    }
  }
  if (link.up && (!before.up || moved)) {
    announce();
    repeat_what_is_lost();
  }
}

bool Stack::Impl::narrow(Connection::Impl& connection, std::uint32_t mtu) {
  tcp_pcb* const pcb = connection.pcb;
  if (pcb == nullptr) {
    return false;
  }
  const std::uint32_t headers = kTcpHeader + (IP_IS_V6_VAL(pcb->remote_ip) ? kIpv6Header : kIpv4Header);
  if (pcb->mss <= mtu - headers) {
    return false;
  }
  pcb->mss = static_cast<u16_t>(mtu - headers);
  ++counters.mss_lowered;
  // What is on its way may be too large to arrive: the timer comes with its next tick, and each segment is made to fit as it leaves.
  if (pcb->unacked != nullptr && pcb->rtime >= 0) {
    pcb->rtime = std::max(pcb->rtime, pcb->rto);
  }
  touch(connection);
  return true;
}

void Stack::Impl::repeat_what_is_lost() {
  for (const auto& [id, connection] : connections) {
    tcp_pcb* const pcb = connection->pcb;
    if (pcb == nullptr || pcb->unacked == nullptr || pcb->rtime < 0) {
      continue;
    }
    // How often the timer ran out says nothing about the peer: the link was not there.
    pcb->nrtx = 0;
    pcb->rtime = std::max(pcb->rtime, pcb->rto);
    touch(*connection);
  }
}

void Stack::Impl::announce() { announcements_left = kAnnouncements; }

void Stack::Impl::announce_if_due() {
  if (announcements_left == 0 || now_ns() < announce_next_ns || !link.up) {
    return;
  }
  constexpr std::uint64_t kIntervalNs = 1'000'000'000;
  --announcements_left;
  announce_next_ns = now_ns() + kIntervalNs;
  for (netif& interface : netifs) {
    if (!ip4_addr_isany_val(*netif_ip4_addr(&interface))) {
      neighbours.announce(from_lwip(interface.ip_addr));
    }
    // A switch that looks into MLD (RFC 4541) sends on to us only what we have asked for.
    mld6_report_groups(&interface);
  }
  announce_addresses();
}

std::uint64_t Stack::Impl::next_announcement_ns() const {
  return announcements_left == 0 || !link.up ? std::numeric_limits<std::uint64_t>::max() : announce_next_ns;
}

}  // namespace tandem
