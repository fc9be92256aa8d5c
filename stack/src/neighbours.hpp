// SPDX-License-Identifier: BSD-3-Clause
//
// ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861) of a stack: who is asked, what is answered and believed, which packets
// wait, and who else claims an address of ours. lwIP's own are not used; it is asked for nothing and takes no memory here but for
// packets that wait.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "destination_cache.hpp"
#include "lwip.hpp"
#include "neighbour_cache.hpp"
#include "next_hop.hpp"
#include "pending_packets.hpp"
#include "tandem/observer.hpp"
#include "tandem/stack.hpp"
#include "wire/arp.hpp"
#include "wire/neighbour_discovery.hpp"

namespace tandem {

class Neighbours {
 public:
  Neighbours(Stack::Impl& stack, SipKey key);
  ~Neighbours();
  Neighbours(const Neighbours&) = delete;
  Neighbours& operator=(const Neighbours&) = delete;

  // ---- Packets on their way out (neighbours.cpp) ----

  /// A packet of lwIP's to an address of one of ours, a group's or anybody's.
  err_t output(netif& interface, pbuf& packet, const IpAddress& destination);
  /// Whether a packet there would leave at once.
  [[nodiscard]] bool can_reach(const IpAddress& destination);
  /// Whether what the process before has sent there has left. Packets that wait for their neighbour die with the process; who answers
  /// since does not bring them back.
  [[nodiscard]] bool was_reached(const IpAddress& destination);
  /// 0: nothing smaller than the link's is known.
  [[nodiscard]] std::uint16_t path_mtu(const IpAddress& destination);
  /// TCP made progress with this host, so its first hop takes packets (RFC 4861 section 7.3.1).
  void confirm(const IpAddress& destination);

  // ---- Frames that came in (arp.cpp, neighbour_discovery.cpp) ----
  void arp_input(Bytes frame);
  /// An ICMPv6 message of types 2 and 134 to 137, with the address it came from on the link.
  void icmp_input(Bytes icmp, const wire::NdEnvelope& envelope, const MacAddress& from);

  // ---- Our own addresses (address_claims.cpp) ----

  /// Asks whether anybody else has them (RFC 5227 section 2.1.1, RFC 4862 section 5.4.2). Nothing waits for the answer.
  void probe_own_addresses();
  /// Says that they are here: unsolicited advertisements (RFC 4861 section 7.2.6), ARP announcements.
  void announce(const IpAddress& own);
  [[nodiscard]] const std::vector<AddressConflict>& conflicts() const { return conflicts_; }

  // ---- Time ----
  void run_due(std::uint64_t now_ns);
  [[nodiscard]] std::uint64_t next_due_ns() const { return cache_.next_due_ns(); }

  // ---- The mirror ----
  [[nodiscard]] std::vector<Neighbour> list();  ///< resolved ones, sorted
  [[nodiscard]] std::optional<Neighbour> find(const IpAddress& address);
  void install(const Neighbour& neighbour);  ///< on a dormant stack
  void show_news(ConnectionObserver* observer);
  void clear() { cache_.clear(); }

  /// A live connection begins, or ceases, to speak to it: its neighbour's entry stays.
  void pin(const IpAddress& remote);
  void unpin(const IpAddress& remote);
  [[nodiscard]] const NextHops& next_hops() const { return next_hops_; }
  void read_counters(StackStatistics& counters) const;

 private:
  using Entry = NeighbourCache::Entry;

  [[nodiscard]] std::optional<IpAddress> first_hop(const IpAddress& destination);
  err_t send(netif& interface, pbuf& packet, const IpAddress& neighbour);
  bool wait_for(Entry& entry, pbuf& packet);
  void send_pending(Entry& entry);
  void ask(Entry& entry, bool unicast);
  [[nodiscard]] bool is_own(const IpAddress& address) const;
  /// The address of ours that a neighbour is asked with.
  [[nodiscard]] IpAddress asking_address(const IpAddress& neighbour) const;
  void learned(Entry& entry);

  void send_arp(std::uint16_t operation, const MacAddress& to, const IpAddress& sender, const MacAddress& target_mac,
                const IpAddress& target);
  void solicit_v6(const Entry& entry, bool unicast);
  void advertise(const IpAddress& own, const IpAddress& to, const std::optional<MacAddress>& to_mac, bool solicited);
  void send_nd(const MacAddress& to, const IpAddress& source, const IpAddress& destination,
               const wire::NdMessage& message);
  void take_solicitation(const wire::NdMessage& message, const wire::NdEnvelope& envelope, const MacAddress& from);
  void take_advertisement(const wire::NdMessage& message, const MacAddress& from);
  void take_redirect(const wire::NdMessage& message, const wire::NdEnvelope& envelope);
  void take_packet_too_big(Bytes icmp);
  void claimed_by_another(const IpAddress& own, const MacAddress& by);

  Stack::Impl& stack_;
  NextHops next_hops_;
  PendingPackets pending_;
  NeighbourCache cache_;
  DestinationCache destinations_;
  std::vector<AddressConflict> conflicts_;  ///< at most one for each address of ours
  std::uint64_t malformed_arp_ = 0, malformed_nd_ = 0, unreachable_ = 0, claims_ = 0;
};

}  // namespace tandem
