// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bgp/fsm.hpp"
#include "bgp/malformation.hpp"

namespace tandem::bgp {

struct NeighborStatistics {
  Address address;
  std::uint32_t as = 0;
  State state = State::idle;
  std::uint64_t uptime_ms = 0;                             // of the Established session, 0 if there is none
  std::uint16_t hold_time_s = 0;                           // negotiated
  std::array<std::uint64_t, kFamilies> received{};         // routes in the Adj-RIB-In
  std::array<std::uint64_t, kFamilies> advertised{};       // routes in the Adj-RIB-Out, as told
  std::array<std::uint64_t, kMessageTypes> messages_in{};  // by message type
  std::array<std::uint64_t, kMessageTypes> messages_out{};
  MalformationCounters malformations{};
  std::uint64_t times_established = 0;
  std::uint64_t unadvertisable = 0;   // attribute sets that fit no message
  std::uint32_t max_prefix = 0;       // in force, of each family; 0: any number
  std::uint64_t max_prefix_hits = 0;  // sessions that it has ended
  bool held_down = false;             // because of it there is no session
  std::uint64_t held_down_ms = 0;     // for how long; 0 while held down: until the program is started again
  std::string last_down;              // why the last session ended; empty: none has
};

struct Statistics {
  std::array<std::uint64_t, kFamilies> received{};
  std::uint64_t best = 0;        // prefixes with a best route, own networks included
  std::uint64_t advertised = 0;  // over all neighbours
  std::uint64_t attribute_sets = 0;
  std::vector<NeighborStatistics> neighbors;
};

}  // namespace tandem::bgp
