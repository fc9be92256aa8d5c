// SPDX-License-Identifier: BSD-3-Clause
// What an operator tells the speaker.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bgp/address.hpp"

namespace tandem::bgp {

struct NeighborConfiguration {
  Address address;
  std::uint32_t as = 0;
  bool passive = false;            // never connect, only accept
  std::uint16_t hold_time_s = 90;  // 0: no hold time; else at least 3
  std::uint16_t port = 179;        // where to connect to
  /// More prefixes of a family end the session with Cease/Maximum Number of Prefixes Reached (RFC 4486); 0: any number.
  std::uint32_t max_prefix = 0;
  /// How long there is no session afterwards; 0: until the program is started again. Long enough that a neighbour that goes on
  /// announcing too much costs little, and short enough that nobody has to be called once it does not.
  std::uint32_t restart_s = 300;
};

struct Configuration {
  std::uint32_t as = 0;
  std::uint32_t router_id = 0;  // host order
  std::vector<NeighborConfiguration> neighbors;
  std::vector<Prefix> networks;
  bool enforce_first_as = true;
  /// Passes routes of external neighbours on to other external ones. Without it they hear our own networks and what internal
  /// neighbours tell, since nobody has said what else they may hear (RFC 8212).
  bool export_all = false;

  /// After a failed attempt the next one waits this long, twice as long each time up to the maximum, less up to a quarter (RFC 4271 section 10).
  std::uint32_t connect_retry_min_ms = 1000;
  std::uint32_t connect_retry_max_ms = 120000;
  /// Both the jitter and the hash tables draw on it: give something that an outsider cannot guess, or a constant in tests.
  std::uint64_t seed = 0x7d3a11ce5eedull;
};

/// A value or a sentence that says what is wrong and what would be right.
template <class T>
using Parsed = std::variant<T, std::string>;

/// "ADDR as=N [passive] [hold=SECONDS] [port=N] [max-prefix=N [restart=SECONDS]]"
Parsed<NeighborConfiguration> parse_neighbor(std::string_view text);

/// Everything that cannot be right, as a sentence; empty: it is sound.
std::string check(const Configuration& configuration);

}  // namespace tandem::bgp
