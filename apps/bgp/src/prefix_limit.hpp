// SPDX-License-Identifier: BSD-3-Clause
// How many prefixes a neighbour may announce, and what has come of it (RFC 4271 section 6.7, RFC 4486).
//
// Primary and twin keep it alike: the twin counts the same prefixes out of the same bytes. So a takeover neither forgets that a
// neighbour has gone too far nor says so again. What the primary's operator has set goes for the twin, too, until it is promoted:
// the limit may be changed by a restart of one process after the other.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>

#include "bgp/address.hpp"
#include "little_endian.hpp"

namespace tandem::bgp {

struct PrefixLimit {
  static constexpr std::uint64_t kForGood = std::numeric_limits<std::uint64_t>::max();

  std::uint32_t max = 0;                       // of each family; 0: any number
  std::array<bool, kFamilies> warned{};        // in this session
  std::optional<std::uint64_t> held_until_ms;  // no session before
  std::uint64_t hits = 0;                      // sessions that it has ended

  bool exceeded_by(std::uint64_t count) const { return max != 0 && count > max; }
  /// Four fifths of what is allowed.
  bool nearly_reached_by(std::uint64_t count) const { return max != 0 && count * 5 >= std::uint64_t{max} * 4; }
  bool is_held(std::uint64_t now_ms) const { return held_until_ms && *held_until_ms > now_ms; }
  bool is_held_for_good() const { return held_until_ms == kForGood; }

  /// Times as they differ from now: the reader's clock is its own.
  void save(PieceWriter& w, std::uint64_t now_ms) const;
  void restore(PieceReader& r, std::uint64_t now_ms);
};

}  // namespace tandem::bgp
