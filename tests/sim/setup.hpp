// SPDX-License-Identifier: BSD-3-Clause
//
// What one run is made of: drawn from its seed, and then, if a run fails, made smaller piece by piece by the shrinker. So
// everything that a run does follows from this structure and from the seed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "link.hpp"
#include "prng.hpp"

namespace tandem::sim {

class Script;

/// Setup::ports_again: so many.
inline constexpr std::uint32_t kPortsAgain = 2;

struct Setup {
  std::uint64_t seed = 0;
  bool v6 = false;
  std::uint32_t disturbances = 1;  ///< deaths, switchovers, pauses
  std::uint32_t transfers = 1;     ///< exchanges
  std::uint32_t max_bytes = 4096;  ///< of an exchange, each way
  std::uint32_t batch_frames = 64;
  std::uint32_t reprotect_delay_ms = 0;
  std::uint32_t window_bytes = 65536;
  std::uint32_t send_queue_bytes = 65536;
  std::uint32_t nic_frames = 256;
  std::uint32_t ring_entries = 128;
  std::uint32_t busy_permille = 0;
  std::uint64_t start_ns = 1'000'000'000'000;
  std::uint64_t poke_interval_ns = 500'000;
  std::uint64_t link_delay_ns = 10'000;
  std::uint64_t wake_latency_ns = 20'000;
  std::uint32_t detect_ms = 50;
  std::uint32_t die_within_steps = 2000;
  std::uint32_t respawn_within_ns = 2'000'000;
  bool active_opens = true;
  bool aborts = false;
  bool lazy = false;
  bool deaf = false;  ///< the peer reads nothing for so long that its shut window is probed, and goes on sending
  bool pauses = false;
  bool switchovers = true;
  bool twin_deaths = true;
  bool deaths_in_takeover = false;  ///< the group is lost then
  bool chosen_steps = true;         ///< deaths at a step that was chosen, whoever comes there
  bool newcomer_deaths = true;      ///< a process may die before it is a member
  bool partitions = false;
  bool stalls = false;      ///< a twin stands still for so long that it is removed, and goes on beside the next ones
  bool slow_joins = false;  ///< a newcomer's snapshot takes many turns
  bool quiet = false;       ///< nothing new is said for longer than a retransmission timeout while all goes on
  bool bulk = false;        ///< more than the windows hold, read slowly
  bool mtu_changes = false;
  bool slow_twins = false;    ///< each of their steps takes longer
  bool terminations = false;  ///< SIGTERM to whoever it is
  bool control_clients = false;
  bool attach_clients = false;  ///< who are no twins
  bool twin_spins = false;
  bool sequence_numbers_wrap = false;
  bool deaths_at_start = false;
  bool deaths_at_end = false;
  std::uint32_t neighbour_delay_ns = 0;  ///< ARP and neighbour discovery come late
  std::uint32_t preempt_within_steps = 0;
  std::uint32_t preempt_ns = 0;
  std::uint32_t short_memory_permille = 0;  ///< of lwIP's allocations fail
  std::uint32_t log_bytes = 0;              ///< 0: large enough for everything
  std::uint32_t bgp_neighbours = 0;  ///< not 0: the processes run tandem-bgpd, with so many neighbours (bgp_run/)
  std::uint32_t bgp_changes = 0;     ///< of routes
  bool peer_moves = false;           ///< to another link address, and says so
  bool deadly_frame = false;   ///< a segment ends every process that reads it, or holds it, and is sent again and again
  bool syn_flood = false;      ///< from a host that opens nothing
  bool stopped_twins = false;  ///< one stands still for good, and then its primary dies
  std::uint32_t pid_namespaces =
      0;  ///< 1: every process is number 1 of one of its own; 2: every second one, in that of the others
  bool bgp_restarts = false;          ///< neighbours end their sessions, several at once, and come again
  std::uint32_t route_cost_ns = 200;  ///< of processor time
  bool mixed_versions = false;        ///< some of the processes know no newer log format than 2
  std::uint32_t queues = 1;           ///< receive queues, over which the interface spreads what arrives
  bool ports_again = false;           ///< the peer opens from the same few ports again and again, and we close first
  bool lingers = false;               ///< clients leave us in FIN-WAIT-2
  bool refuses_probes = false;        ///< the peer's windows are not scaled, and while one is shut it takes not a byte
  LinkFaults faults;
  Script* script = nullptr;  ///< what happens, where it is not drawn

  static Setup draw(std::uint64_t seed);
  /// Makes it a run of tandem-bgpd, if it is none.
  void draw_bgp();
  /// No seed draws more than eight disturbances, but a setup may ask for thousands: the run is longer by as much.
  [[nodiscard]] std::uint64_t stretch() const { return disturbances < 16 ? 1 : disturbances / 8; }
  [[nodiscard]] std::string describe() const;
  /// All that differs from a plain Setup, as "seed=42,v6=1,disturbances=3": the same run on any day, whatever `draw` makes of
  /// its seed by then.
  [[nodiscard]] std::string to_text() const;
  static std::optional<Setup> from_text(std::string_view text);

  /// Calls `f(name, field)` for everything that a run is made of but its seed.
  template <class S, class F>
  static void for_each_field(S& setup, F f);
};

template <class S, class F>
void Setup::for_each_field(S& s, F f) {
  f("transfers", s.transfers);
  f("disturbances", s.disturbances);
  f("max_bytes", s.max_bytes);
  f("loss", s.faults.loss_permille);
  f("duplication", s.faults.duplication_permille);
  f("corruption", s.faults.corruption_permille);
  f("reordering", s.faults.reordering_permille);
  f("v6", s.v6);
  f("active_opens", s.active_opens);
  f("aborts", s.aborts);
  f("lazy", s.lazy);
  f("deaf", s.deaf);
  f("pauses", s.pauses);
  f("partitions", s.partitions);
  f("stalls", s.stalls);
  f("slow_joins", s.slow_joins);
  f("quiet", s.quiet);
  f("bulk", s.bulk);
  f("switchovers", s.switchovers);
  f("twin_deaths", s.twin_deaths);
  f("deaths_in_takeover", s.deaths_in_takeover);
  f("chosen_steps", s.chosen_steps);
  f("newcomer_deaths", s.newcomer_deaths);
  f("mtu_changes", s.mtu_changes);
  f("slow_twins", s.slow_twins);
  f("terminations", s.terminations);
  f("control_clients", s.control_clients);
  f("attach_clients", s.attach_clients);
  f("twin_spins", s.twin_spins);
  f("sequence_numbers_wrap", s.sequence_numbers_wrap);
  f("deaths_at_start", s.deaths_at_start);
  f("deaths_at_end", s.deaths_at_end);
  f("neighbour_delay_ns", s.neighbour_delay_ns);
  f("preempt_within_steps", s.preempt_within_steps);
  f("preempt_ns", s.preempt_ns);
  f("short_memory", s.short_memory_permille);
  f("log_bytes", s.log_bytes);
  f("busy", s.busy_permille);
  f("batch_frames", s.batch_frames);
  f("reprotect_delay_ms", s.reprotect_delay_ms);
  f("window_bytes", s.window_bytes);
  f("send_queue_bytes", s.send_queue_bytes);
  f("nic_frames", s.nic_frames);
  f("ring_entries", s.ring_entries);
  f("start_ns", s.start_ns);
  f("poke_interval_ns", s.poke_interval_ns);
  f("link_delay_ns", s.link_delay_ns);
  f("wake_latency_ns", s.wake_latency_ns);
  f("detect_ms", s.detect_ms);
  f("die_within_steps", s.die_within_steps);
  f("respawn_within_ns", s.respawn_within_ns);
  f("bgp_neighbours", s.bgp_neighbours);
  f("bgp_changes", s.bgp_changes);
  f("pid_namespaces", s.pid_namespaces);
  f("deadly_frame", s.deadly_frame);
  f("stopped_twins", s.stopped_twins);
  f("bgp_restarts", s.bgp_restarts);
  f("route_cost_ns", s.route_cost_ns);
  f("peer_moves", s.peer_moves);
  f("syn_flood", s.syn_flood);
  f("queues", s.queues);
  f("mixed_versions", s.mixed_versions);
  f("refuses_probes", s.refuses_probes);
  f("ports_again", s.ports_again);
  f("lingers", s.lingers);
}

}  // namespace tandem::sim
