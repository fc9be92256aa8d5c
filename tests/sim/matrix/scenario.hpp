// SPDX-License-Identifier: BSD-3-Clause
//
// The scenarios of the crash matrix: what both ends say, and what the wire does, written down.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "script.hpp"
#include "setup.hpp"

namespace tandem::sim {

struct Scenario {
  std::string_view name;
  std::string_view words;  ///< for the page
  bool v6 = false;
  std::vector<Script::Item> exchanges = {};
  std::uint64_t twin_after_ns = 500'000;
  std::uint64_t link_delay_ns = 20'000;
  /// The client may write so much more in each step of time; 0: everything at once.
  std::uint32_t paced_bytes = 0;
  std::uint64_t paced_ns = 1'000'000;
  std::uint64_t close_after_ns = 0;       ///< of exchanges whose ends both wait for that
  std::uint64_t switchover_after_ns = 0;  ///< a planned one, after the run's start; 0: none
  std::uint32_t queues = 1;               ///< receive queues of the interface
  /// The wire loses this segment with data (1 = the first) in this direction; 0: none.
  std::uint32_t lost_segment = 0;
  Direction lost_direction = Direction::from_us;
  std::uint64_t within_ns = 200'000'000;  ///< the last byte must have come so long after the last connection was opened

  [[nodiscard]] Setup setup(std::uint64_t seed) const;
};

[[nodiscard]] std::span<const Scenario> scenarios();

}  // namespace tandem::sim
