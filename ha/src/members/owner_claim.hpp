// SPDX-License-Identifier: BSD-3-Clause
//
// Holding and watching the claim to the rings (design.md section 6, steps 1 and 2).
#pragma once

#include <cstdint>

#include "members/shared_group.hpp"

namespace tandem::ha {

/// Beforehand, so that a claim in a takeover is some stores and no system call; else the claim does it.
void prepare_ownership();
/// Claims the next owner slot for the calling thread, which runs the node `identity`: from now on its end is seen in the word,
/// whatever ends it. `number`: of the process, to be shown.
OwnerSlot& claim_ownership(SharedGroup& group, std::uint64_t identity, std::uint32_t number);
/// Gives the claim up in good order: the word becomes kOwnerHandedOver and waiters are woken. Only the owner thread.
void hand_over_ownership(OwnerSlot& slot);
/// Twin: what was given away is its own from now on. False: whoever gave it away has it back, or never gave it.
[[nodiscard]] bool take_handed_over(OwnerSlot& slot);
/// Whoever gave it away: claims it again. False: the twin has taken it, or the slot has gone round since. Only one succeeds.
[[nodiscard]] bool reclaim_ownership(OwnerSlot& slot, std::uint64_t identity);
/// The owner thread: the claim goes with the group's memory, which is about to be unmapped. Everybody sees that it has ended.
void drop_ownership(OwnerSlot& slot);
/// From the owner thread's own fatal-signal handler, which never returns: as if the thread had died. Async-signal-safe.
void declare_owner_stopped(OwnerSlot& slot);

enum class OwnerFate : std::uint8_t { alive, died, handed_over };
[[nodiscard]] OwnerFate owner_fate(std::uint32_t word);
[[nodiscard]] inline OwnerFate owner_fate(const OwnerSlot& slot) {
  return owner_fate(slot.life.word.load(std::memory_order_acquire));
}

/// Twin, when it has mapped the group: holds its place, which its primary made for `identity`, until its thread ends or it leaves.
/// False: the place has been given to somebody else meanwhile.
[[nodiscard]] bool hold_place(ReaderSlot& slot, std::uint64_t identity);
/// Twin: leaves it in good order; to be called before the memory is unmapped.
void leave_place(ReaderSlot& slot);
/// Whether a living thread holds it.
[[nodiscard]] bool place_is_held(const ReaderSlot& slot);

}  // namespace tandem::ha
