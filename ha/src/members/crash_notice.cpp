// SPDX-License-Identifier: BSD-3-Clause
#include "members/crash_notice.hpp"

#include <unistd.h>
#include <array>
#include <atomic>
#include <csignal>
#include <memory>

#include "members/owner_claim.hpp"
#include "node/system.hpp"

namespace tandem::ha {
namespace {

constexpr std::array kCrashSignals = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
constexpr std::size_t kStackBytes = 16384;
constexpr std::uint64_t kLastWords_ns = 100'000'000;

/// Of the thread that runs a node: a crash elsewhere in the process says nothing of it, and the kernel marks its word in the end.
thread_local OwnerSlot* crash_slot = nullptr;
thread_local std::unique_ptr<char[]> crash_stack;

/// What was there before, which goes on being called.
std::array<struct sigaction, kCrashSignals.size()> before;
std::atomic<bool> installed = false;

bool has_handler(const struct sigaction& action) {
  if ((action.sa_flags & SA_SIGINFO) != 0) return action.sa_sigaction != nullptr;
  return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
}

void call(const struct sigaction& action, int number, siginfo_t* info, void* context) {
  if ((action.sa_flags & SA_SIGINFO) != 0)
    action.sa_sigaction(number, info, context);
  else
    action.sa_handler(number);
}

/// A handler that means to end the process has put the default action back, or has raised the signal again, which waits until
/// this handler returns.
bool is_about_to_end(int number) {
  struct sigaction now {};
  sigaction(number, nullptr, &now);
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, number) == 1 || ((now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL);
}

/// The kernel found the fault, or the process has raised the signal itself, as abort() does; not: somebody has sent it.
bool is_own_fault(const siginfo_t& info) {
  return info.si_code > 0 || (info.si_code == SI_TKILL && info.si_pid == getpid());
}

extern "C" void on_fatal_signal(int number, siginfo_t* info, void* context) {
  for (std::size_t i = 0; i < kCrashSignals.size(); ++i) {
    if (kCrashSignals[i] != number || !has_handler(before[i])) continue;
    call(before[i], number, info, context);
    if (!is_about_to_end(number)) return;
  }
  if (crash_slot != nullptr) {
    if (is_own_fault(*info)) crash_slot->crashed.store(static_cast<std::uint32_t>(number), std::memory_order_relaxed);
    declare_owner_stopped(*crash_slot);
  }
  // The twin is at work from here on, and what this process has said last may say why it ends.
  system::await_log_lines(kLastWords_ns);
  // The signal is blocked while its handler runs: with the default action restored it takes effect when unblocked below.
  signal(number, SIG_DFL);
  raise(number);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  for (;;) pause();
}

}  // namespace

void install_crash_notice() {
  stack_t stack{};
  if (sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_DISABLE) != 0) {
    if (!crash_stack) crash_stack = std::make_unique<char[]>(kStackBytes);
    stack = {};
    stack.ss_sp = crash_stack.get();
    stack.ss_size = kStackBytes;
    sigaltstack(&stack, nullptr);
  }
  if (installed.exchange(true)) return;
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_sigaction = on_fatal_signal;
  action.sa_flags = SA_ONSTACK | SA_SIGINFO;
  for (std::size_t i = 0; i < kCrashSignals.size(); ++i) sigaction(kCrashSignals[i], &action, &before[i]);
}

void set_crash_notice(OwnerSlot* slot) { crash_slot = slot; }

}  // namespace tandem::ha
