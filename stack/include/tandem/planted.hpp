// SPDX-License-Identifier: BSD-3-Clause
//
// Faults that are planted on purpose, one at a time, to see that the simulator finds them (tests/sim/planted.cpp has the table). A
// branch on TANDEM_PLANTED(name) is what the program does with that fault. In every other build it is `false`, and the branch gone.
#pragma once

#ifdef TANDEM_SIMULATION

#include <cstdint>

namespace tandem {

enum class Planted : std::uint8_t {
  none,
  // The turn and its outputs.
  gate_early,
  rst_past_gate,
  ring_early,
  mark_behind,
  // The log.
  record_dropped,
  snd_nxt_lags,
  sack_not_mirrored,
  neighbour_not_mirrored,
  note_out_of_order,
  snapshot_mixed,
  partial_transaction,
  told_late,
  // The twin.
  consumed_lost,
  saved_state_lost,
  epoch_not_checked,
  removed_promoted,
  fence_by_number,
  bell_shared,
  holders_ignored,
  stop_closes_at_once,
  deadly_not_dropped,
  hang_not_counted,
  fence_skipped,
  predecessor_leaked,
  // The wire.
  frame_freed_twice,
  saved_bytes_stale,
  fill_intent_ignored,
  packets_not_sent,
  queue_marks_ignored,
  queue_marks_mixed,
  queue_marks_unwritten,
  // The connections that come to life.
  ack_beyond_window,
  edge_shrunk,
  timestamps_back,
  fin_forgotten,
  ack_forgotten,
  timer_lost,
  window_update_lost,
  window_misjudged,
  probe_ack_beyond_window,
  half_open_uncounted,
  number_given_twice,
  old_numbers_again,
  silent_close_kept,
  // The link.
  announcement_ignored,
  // The BGP speaker.
  bgp_difference_lost,
  bgp_withdrawal_not_mirrored,
  bgp_route_not_restored,
  bgp_keepalives_stop,
  bgp_hold_time_stops,
  bgp_told_not_mirrored,
  bgp_turn_unbounded,
};

/// Whether `fault` is planted in the process that runs now, and comes into force here: at each `one_in`-th of such places.
bool planted(Planted fault, std::uint32_t one_in = 1);

}  // namespace tandem

#define TANDEM_PLANTED(name) ::tandem::planted(::tandem::Planted::name)
#define TANDEM_PLANTED_SELDOM(name, one_in) ::tandem::planted(::tandem::Planted::name, one_in)

#else

#define TANDEM_PLANTED(name) false
#define TANDEM_PLANTED_SELDOM(name, one_in) false

#endif
