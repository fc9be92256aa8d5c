// SPDX-License-Identifier: BSD-3-Clause
//
// The steps of a reader's eligibility word (design.md section 3, "Who is a member"). Primary and twin both take such steps, at
// any time, so each names the state that it starts from. docs/model.md says what goes wrong otherwise.
#pragma once

#include <cstdint>
#include <optional>

#include "shared_group.hpp"
#include "tandem/planted.hpp"

namespace tandem::ha {

/// Primary, or the twin itself when it cannot follow: the reader may not be promoted any more. Returns where the word stands
/// then: `promoted` means that a takeover has begun, and that nothing may be released that the twin does not hold.
inline ReaderState withdraw_eligibility(ReaderSlot& slot) {
  ReaderState state = slot.state.load();
  while (state == ReaderState::joining || state == ReaderState::member) {
    if (slot.state.compare_exchange_weak(state, ReaderState::ineligible)) return ReaderState::ineligible;
  }
  return state;
}

/// Primary: what the joiner was given is committed, it may be promoted. False when it has been made ineligible meanwhile.
inline bool make_member(ReaderSlot& slot) {
  ReaderState expected = ReaderState::joining;
  return slot.state.compare_exchange_strong(expected, ReaderState::member);
}

/// Twin: begins a takeover. Only a member may.
inline bool begin_promotion(ReaderSlot& slot) {
  ReaderState expected = TANDEM_PLANTED(removed_promoted) ? slot.state.load() : ReaderState::member;
  return slot.state.compare_exchange_strong(expected, ReaderState::promoted);
}

/// Promoted process: its own slot is free. A removed twin may still run and write into its slot, so that one is not.
inline void free_readers(SharedGroup& group) {
  for (ReaderSlot& slot : group.readers) {
    if (slot.state.load() != ReaderState::ineligible) slot.state.store(ReaderState::free);
  }
}

/// Primary: a slot for the process `pid`. That of a removed twin is given away when its process has ended, or attaches anew;
/// not while `is_served(index)`: then its end has not been seen yet. `lives(pid)`: that process still runs.
template <typename Served, typename Lives>
std::optional<std::uint32_t> usable_slot(const SharedGroup& group, std::uint32_t pid, Served is_served, Lives lives) {
  for (std::uint32_t i = 0; i < kMaxReaders; ++i) {
    const ReaderSlot& slot = group.readers[i];
    const ReaderState state = slot.state.load();
    if (state == ReaderState::free) return i;
    const std::uint32_t holder = slot.pid.load();
    if (state == ReaderState::ineligible && !is_served(i) && (holder == pid || !lives(holder))) return i;
  }
  return std::nullopt;
}

}  // namespace tandem::ha
