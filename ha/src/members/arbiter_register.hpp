// SPDX-License-Identifier: BSD-3-Clause
//
// What stands at the arbiter for a group (design.md section 3, "Who is a member"): one value, changed by compare-and-swap of its
// revision only. A swap compares the revision, never the values: a late one whose values happen to fit again must not win
// (docs/model.md, MUTANT_SWAP_COMPARES_VALUES).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace tandem::ha {

/// A log's incarnation on a chassis: random, drawn when the log is made. Processes of one chassis that take over from one another
/// are one member; a box that restarted is another one. 0 = nobody.
using MemberId = std::uint64_t;

enum class SwapKind : std::uint8_t {
  none,
  add,     ///< the owner: this twin may be promoted from now on
  remove,  ///< the owner: this twin may not be promoted any more
  take,    ///< a member: it is the owner, alone, in the next epoch
  fresh,   ///< whoever starts anew: it is the owner, alone, in the next epoch, and the connections of before have ended
};

struct ArbiterRegister {
  std::uint64_t revision = 0;     ///< the arbiter's own, raised by every swap, never lowered; 0 = there is no value yet
  std::uint64_t epoch = 0;        ///< raised by one with every promotion
  MemberId owner = 0;             ///< who was promoted last
  std::vector<MemberId> members;  ///< who may be promoted, the owner among them
  /// Who wrote it, why, and a number of the writer's own, so that a swap whose answer was lost is told from anybody else's.
  MemberId by = 0;
  SwapKind kind = SwapKind::none;
  std::uint64_t serial = 0;

  [[nodiscard]] bool names(MemberId id) const { return std::find(members.begin(), members.end(), id) != members.end(); }
};

/// A request to the arbiter: `value` replaces what stands there if that has revision `expected` still. `value.revision` is given by
/// the arbiter.
struct Swap {
  std::uint64_t expected = 0;
  ArbiterRegister value;
};

}  // namespace tandem::ha
