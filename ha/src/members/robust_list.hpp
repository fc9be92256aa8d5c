// SPDX-License-Identifier: BSD-3-Clause
//
// Words that the kernel marks when the thread that holds them is gone (robust futexes). A thread has one list of them, and the C
// library keeps its robust mutexes in it: our words are linked into that list, as if they were mutexes, and the library's
// own stay where they are. So a host program's robust mutexes go on working on the node's thread.
#pragma once

#include "members/shared_group.hpp"

namespace tandem::ha {

/// Learns the calling thread's list from the kernel, so that what follows is some stores and no system call.
void prepare_robust_list();
/// What a word of the calling thread holds while it lives.
[[nodiscard]] std::uint32_t own_life_word();
/// Links the word into the calling thread's list, if `take()` gets it. The kernel looks at what is pending too: there is no moment at
/// which the word is ours and our end would not be seen in it.
void begin_enlisting(LifeWord& life);
void end_enlisting(LifeWord& life, bool taken);
template <typename Take>
bool enlist(LifeWord& life, Take take) {
  prepare_robust_list();
  begin_enlisting(life);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const bool taken = take();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  end_enlisting(life, taken);
  return taken;
}
/// Wakes everybody who waits for the word to change. Async-signal-safe.
void wake_word(std::atomic<std::uint32_t>& word);
/// Takes it out again. The word must hold something else by then, or the memory is about to go.
void delist(LifeWord& life);

}  // namespace tandem::ha
