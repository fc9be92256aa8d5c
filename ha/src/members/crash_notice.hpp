// SPDX-License-Identifier: BSD-3-Clause
//
// A crash of the owner thread is declared before the core is dumped, so that nobody waits for the dump (design.md section 6, step 1).
// In a program that has handlers of its own for fatal signals they run first, and decide: one that mends what happened and returns,
// or jumps out, has not crashed.
#pragma once

#include "members/shared_group.hpp"

namespace tandem::ha {

/// Installs handlers for SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT, in front of those that are there, once a process; and for the
/// calling thread a stack for them, if it has none.
void install_crash_notice();
/// The claim of the calling thread that a crash is to end at once; null = none.
void set_crash_notice(OwnerSlot* slot);

}  // namespace tandem::ha
