// SPDX-License-Identifier: BSD-3-Clause
//
// Holding and watching the claim to the rings (design.md section 6, steps 1 and 2).
#pragma once

#include <cstdint>

#include "shared_group.hpp"

namespace tandem::ha {

/// Tells the kernel of the calling thread's robust list, which nothing else in the process uses on this thread. Beforehand, so
/// that a claim in a takeover is some stores and no system call; else the claim does it.
void prepare_ownership();
/// Claims the next owner slot for the calling thread: from now on its end is seen in the word, whatever ends it.
OwnerSlot& claim_ownership(SharedGroup& group);
/// Gives the claim up in good order: the word becomes kOwnerHandedOver and waiters are woken. Only the owner thread.
void hand_over_ownership(OwnerSlot& slot);
/// Twin: what was given away is its own from now on. False: whoever gave it away has it back, or never gave it.
[[nodiscard]] bool take_handed_over(OwnerSlot& slot);
/// Whoever gave it away: claims it again. False: the twin has taken it. Only one of the two succeeds.
[[nodiscard]] bool reclaim_ownership(OwnerSlot& slot);
/// From the owner thread's own fatal-signal handler, which never returns: as if the thread had died. Async-signal-safe.
void declare_owner_stopped(OwnerSlot& slot);

enum class OwnerFate : std::uint8_t { alive, died, handed_over };
[[nodiscard]] OwnerFate owner_fate(std::uint32_t word);

/// Installs handlers for SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT on a stack of their own. On the thread that claimed what
/// set_crash_notice() names they declare it stopped before the core is dumped, so that nobody waits for the dump.
void install_crash_notice();
/// The claim of the calling thread that a crash is to end at once; null = none.
void set_crash_notice(OwnerSlot* slot);

}  // namespace tandem::ha
