// SPDX-License-Identifier: BSD-3-Clause
//
// What one run is made of: drawn from its seed, and then, if a run fails, made smaller piece by piece by the shrinker. So
// everything that a run does follows from this structure and from the seed.
#pragma once

#include <cstdint>
#include <string>

#include "link.hpp"
#include "prng.hpp"

namespace tandem::sim {

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
  LinkFaults faults;

  static Setup draw(std::uint64_t seed);
  [[nodiscard]] std::string describe() const;
};

}  // namespace tandem::sim
