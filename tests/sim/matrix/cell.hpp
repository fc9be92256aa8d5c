// SPDX-License-Identifier: BSD-3-Clause
//
// One cell of the crash matrix: a scenario, who dies in it, and at which of its steps; and what became of the connections.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "matrix/scenario.hpp"
#include "world.hpp"

namespace tandem::sim {

enum class CrashRole : std::uint8_t {
  primary,  ///< the first process
  twin,     ///< the second one: while it joins, follows, and after a switchover
  both,     ///< the first one, then the one that adopts
  reverse,  ///< in a switchover: the one that is to take over, then the one that takes back
};
inline constexpr std::size_t kCrashRoles = 4;
std::string_view to_string(CrashRole role);

/// What became of a cell's connections. Only `failed` is a fault.
enum class Fate : std::uint8_t {
  survived,     ///< every byte once and in order, no reset, in time
  idle,         ///< the group starts anew, and no connection was open that could have been lost
  unprotected,  ///< the primary died when nobody was a member yet: the group starts anew
  both_died,    ///< whoever was left died before a third was a member: the group starts anew
  handed_over,  ///< a switchover's new primary died before another was a member: the group starts anew
  failed,
};
inline constexpr std::size_t kFates = 6;

struct Cell {
  const Scenario* scenario = nullptr;
  CrashRole role = CrashRole::primary;
  std::size_t step = 0;    ///< of the victim's life, from 1 on; 0: nobody dies
  std::size_t second = 0;  ///< of who dies second, from the first death on
  [[nodiscard]] bool is_double() const { return role == CrashRole::both || role == CrashRole::reverse; }
  std::uint64_t seed = 1;
  [[nodiscard]] std::string command() const;
};

struct Outcome {
  Fate fate = Fate::survived;
  std::string rule, text;
  std::string trace;
  std::vector<Step> first, second;  ///< steps of the first two processes
  std::size_t at_work =
      0;  ///< how many steps the first had passed when a twin stood by and a connection was to be open
  std::vector<Step> takeover;   ///< of who is left, until a third is a member
  std::size_t handed_over = 0;  ///< how many steps the second had passed when it was handed everything
  bool lost = false;            ///< nobody was left who had the connections
  bool happened = true;         ///< whoever was to die did so
};

/// `expected` is the step that must be met, so that a run which is not the one that was enumerated is seen.
Outcome run_cell(const Cell& cell, Totals& totals, bool tracing, std::optional<Step> expected = std::nullopt);

}  // namespace tandem::sim
