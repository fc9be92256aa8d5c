// SPDX-License-Identifier: BSD-3-Clause
// Which of several routes to one prefix is the best (RFC 4271 section 9.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bgp/attributes.hpp"

namespace tandem::bgp {

struct Candidate {
  const PathAttributes* attributes = nullptr;
  std::uint32_t path_length = 0;
  std::uint32_t neighbor_as = 0;  // leftmost AS of the path, 0 if there is none
  bool external = true;           // learned by eBGP
  std::uint32_t router_id = 0;    // of the neighbour
  Address address;                // of the neighbour
  std::uint32_t source = 0;       // the caller's mark
};

/// The mark of the best; `candidates` must not be empty and is used up.
std::uint32_t select_best(std::vector<Candidate>& candidates);

}  // namespace tandem::bgp
