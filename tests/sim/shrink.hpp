// SPDX-License-Identifier: BSD-3-Clause
//
// Makes a failing run smaller: fewer exchanges, disturbances and faults, fewer bytes, fewer steps, as long as it breaks the same
// rule. Every run is tried in a child of its own, so one that aborts is made smaller like any other.
#pragma once

#include <cstdint>
#include <string>

#include "setup.hpp"

namespace tandem::sim {

struct Reduced {
  Setup setup;
  std::string rule;         ///< empty: the run does not fail
  std::uint64_t steps = 0;  ///< of all processes, until it fails; 0 where it aborts
  std::uint64_t runs = 0;   ///< that were tried
};

Reduced shrink(const Setup& failing);

}  // namespace tandem::sim
