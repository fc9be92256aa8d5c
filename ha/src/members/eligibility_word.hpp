// SPDX-License-Identifier: BSD-3-Clause
//
// The steps of a reader's eligibility word (design.md section 3, "Who is a member"). Primary and twin both take such steps, at
// any time, so each names the state that it starts from. docs/model.md says what goes wrong otherwise.
#pragma once

#include <cstdint>
#include <optional>

#include "members/owner_claim.hpp"
#include "members/shared_group.hpp"
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

/// Primary: a slot for a joiner. That of a removed twin is given away when its thread has ended or it has left its place; not while
/// `is_served(index)`: then it may have been made for somebody who has not come to hold it yet.
template <typename Served>
std::optional<std::uint32_t> usable_slot(const SharedGroup& group, Served is_served) {
  for (std::uint32_t i = 0; i < kMaxReaders; ++i) {
    const ReaderSlot& slot = group.readers[i];
    const ReaderState state = slot.state.load();
    if ((state == ReaderState::free || state == ReaderState::ineligible) && !is_served(i) && !place_is_held(slot))
      return i;
  }
  return std::nullopt;
}

}  // namespace tandem::ha
