// SPDX-License-Identifier: BSD-3-Clause
//
// What the log's size and a turn's share of it are measured by. A simulation makes them small, so that logs fill.
#pragma once

#include <cstdint>

namespace tandem::ha {

struct LogLimits {
  std::uint64_t least_bytes = std::uint64_t{8} << 20;  ///< of a log
  /// What handlers may write in one turn: bounds the transaction, and the turn's length too.
  std::uint64_t turn_write_bytes = 512 * 1024;
  /// Kept free for what a turn writes beside frames, states and handlers' writes.
  std::uint64_t fixed_reserve_bytes = std::uint64_t{1} << 20;
  /// Of a snapshot, a turn, in a log of its own; and of what has to arrive whole, in one record of it.
  std::uint64_t snapshot_turn_bytes = 512 * 1024;
  std::uint64_t snapshot_part_bytes = 128 * 1024;
};

#ifdef TANDEM_SIMULATION
inline LogLimits log_limits;
#else
inline constexpr LogLimits log_limits;
#endif

}  // namespace tandem::ha
