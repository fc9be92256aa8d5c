// SPDX-License-Identifier: BSD-3-Clause
//
// io_uring event loop of one thread: readiness of descriptors, timers, futex waits; spins for a bounded time before it sleeps.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace tandem {

/// CLOCK_MONOTONIC, nanoseconds: the same scale in every process of one machine.
[[nodiscard]] std::uint64_t monotonic_ns();

struct LoopOptions {
  std::uint32_t spin_us =
      15;  ///< upper bound of spinning before a sleep; adapts downwards when spinning finds nothing. 0 = none
  bool spin_always = false;  ///< never sleep (a core of one's own)
};

class Loop {
 public:
  /// Throws std::system_error, with advice, when io_uring is not available (seccomp, sysctl
  /// kernel.io_uring_disabled).
  explicit Loop(LoopOptions options);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  using WatchId = std::uint64_t;
  /// Calls back with the poll(2) revents each time the descriptor becomes ready (multishot poll; level is re-checked by the
  /// callback draining the descriptor). The descriptor is borrowed.
  WatchId watch(int fd, short events, std::function<void(short revents)> callback);
  /// Ends a sleep when the descriptor is ready, and nothing else: for a device's poll_fds, whose frames the spin condition
  /// sees. Armed only before a sleep, so that a busy wire costs no completion a batch.
  WatchId wake_on(int fd, short events);
  /// Calls back once when the word in shared memory no longer holds `expected` and somebody woke it, or its owner died
  /// (IORING_OP_FUTEX_WAIT, not private; a thread where the kernel's io_uring does not have it).
  WatchId futex_wait(const std::uint32_t* word, std::uint32_t expected, std::function<void()> callback);
  /// Whether a thread waits, since this kernel's io_uring cannot (before Linux 6.7).
  [[nodiscard]] bool futex_waits_in_thread() const;
  /// May be called from any callback, also the watch's own. No callback of it comes after this.
  void unwatch(WatchId id);

  /// From now on; a process spins differently as a twin than as a primary.
  void set_options(LoopOptions options);

  /// Looked at while spinning: returns true when there is work. Reads memory only.
  void set_spin_condition(std::function<bool()> condition);

  /// Dispatches what is ready; else spins, then sleeps until something is or `deadline_ns` (monotonic_ns scale) has come.
  /// A deadline in the past never sleeps. Returns whether any callback ran or the spin condition held.
  bool run_once(std::uint64_t deadline_ns);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem
