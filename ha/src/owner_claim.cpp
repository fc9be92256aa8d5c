// SPDX-License-Identifier: BSD-3-Clause
#include "owner_claim.hpp"

#include <sys/syscall.h>
#include <unistd.h>
#include <climits>
#include <csignal>
#include <cstddef>

namespace tandem::ha {
namespace {

// Robust lists are per thread, so is the head that the kernel is told of, and for which process and thread it was.
thread_local struct robust_list_head list_head;
thread_local pid_t prepared_process = 0;
thread_local pid_t prepared_thread = 0;

OwnerSlot* crash_slot = nullptr;
pid_t crash_thread = 0;
alignas(16) char crash_stack[16384];

constexpr int kCrashSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

pid_t thread_id() { return static_cast<pid_t>(syscall(SYS_gettid)); }

void wake_all(std::atomic<std::uint32_t>& word) { syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

std::uint32_t own_word() { return static_cast<std::uint32_t>(prepared_thread) | FUTEX_WAITERS; }

/// Puts the slot on this thread's robust list, if `take` gets its word. The kernel looks at what is pending too: there is no moment
/// at which the word is ours and our end would not be seen in it.
template <typename Take>
bool enlist(OwnerSlot& slot, Take take) {
  auto* node = reinterpret_cast<struct robust_list*>(&slot.node);
  list_head.list_op_pending = node;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const bool taken = take();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (taken) {
    node->next = &list_head.list;
    list_head.list.next = node;
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
  list_head.list_op_pending = nullptr;
  return taken;
}

extern "C" void on_fatal_signal(int number) {
  if (crash_slot != nullptr && thread_id() == crash_thread) declare_owner_stopped(*crash_slot);
  // The signal is blocked while its handler runs: with the default action restored it takes effect when unblocked below.
  signal(number, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  raise(number);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  for (;;) pause();
}

}  // namespace

void prepare_ownership() {
  const pid_t process = getpid();
  if (prepared_process == process) return;
  list_head.list.next = &list_head.list;
  list_head.futex_offset = static_cast<long>(offsetof(OwnerSlot, word)) - static_cast<long>(offsetof(OwnerSlot, node));
  list_head.list_op_pending = nullptr;
  syscall(SYS_set_robust_list, &list_head, sizeof list_head);
  prepared_thread = thread_id();
  set_crash_notice(nullptr);
  prepared_process = process;
}

OwnerSlot& claim_ownership(SharedGroup& group) {
  prepare_ownership();
  const std::uint32_t index = (group.owner.load(std::memory_order_relaxed) + 1) % kOwnerSlots;
  OwnerSlot& slot = group.owners[index];
  slot.pid.store(static_cast<std::uint32_t>(prepared_process), std::memory_order_relaxed);
  slot.heartbeat.store(0, std::memory_order_relaxed);
  enlist(slot, [&slot] {
    slot.word.store(own_word(), std::memory_order_release);
    return true;
  });
  group.owner.store(index, std::memory_order_release);
  return slot;
}

bool reclaim_ownership(OwnerSlot& slot) {
  // The slot may have gone round since.
  if (slot.pid.load() != static_cast<std::uint32_t>(prepared_process)) return false;
  return enlist(slot, [&slot] {
    std::uint32_t expected = kOwnerHandedOver;
    return slot.word.compare_exchange_strong(expected, own_word());
  });
}

bool take_handed_over(OwnerSlot& slot) {
  std::uint32_t expected = kOwnerHandedOver;
  return slot.word.compare_exchange_strong(expected, kOwnerTaken);
}

void hand_over_ownership(OwnerSlot& slot) {
  set_crash_notice(nullptr);
  slot.word.store(kOwnerHandedOver, std::memory_order_release);
  list_head.list.next = &list_head.list;
  wake_all(slot.word);
}

void declare_owner_stopped(OwnerSlot& slot) {
  slot.word.store(FUTEX_WAITERS | FUTEX_OWNER_DIED, std::memory_order_release);
  wake_all(slot.word);
}

OwnerFate owner_fate(std::uint32_t word) {
  if ((word & FUTEX_OWNER_DIED) != 0) return OwnerFate::died;
  if (word == kOwnerHandedOver || word == kOwnerTaken) return OwnerFate::handed_over;
  return OwnerFate::alive;
}

void install_crash_notice() {
  stack_t stack{};
  stack.ss_sp = crash_stack;
  stack.ss_size = sizeof crash_stack;
  sigaltstack(&stack, nullptr);
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_handler = on_fatal_signal;
  action.sa_flags = SA_ONSTACK;
  for (const int number : kCrashSignals) sigaction(number, &action, nullptr);
}

void set_crash_notice(OwnerSlot* slot) {
  crash_thread = slot != nullptr ? prepared_thread : 0;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  crash_slot = slot;
}

}  // namespace tandem::ha
