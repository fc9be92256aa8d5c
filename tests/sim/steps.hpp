// SPDX-License-Identifier: BSD-3-Clause
//
// Every place at which a process can be stopped has a number here: the stop points, the finer steps and the stores of a wire
// (stop_point.hpp, wire_step.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tandem/stop_point.hpp"
#include "tandem/wire_step.hpp"

namespace tandem::sim {

using Step = std::uint16_t;

inline constexpr std::size_t kWireSteps = static_cast<std::size_t>(WireStep::adopt_rx) + 1;
inline constexpr std::size_t kSteps = ::tandem::kStopPoints.size() + ::tandem::kSteps.size() + kWireSteps;

inline constexpr Step kNoStep = 0xffff;

/// Aborts on a name that is not in the lists. Names are literals: each is looked up once and then known by its address.
Step step_of(std::string_view name);
/// A store that is a stop point as well has the stop point's number.
Step step_of(WireStep step);
std::string_view name_of(Step step);
/// A number that nobody passes: that of a store which is a stop point as well.
bool is_alias(Step step);

}  // namespace tandem::sim
