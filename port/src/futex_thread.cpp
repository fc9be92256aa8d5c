// SPDX-License-Identifier: BSD-3-Clause
#include "futex_thread.hpp"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <thread>

#include "unique_fd.hpp"

namespace tandem {
namespace {

/// How long a wait that nobody wants any more may go on.
constexpr timespec kLookAgain{0, 100'000'000};
/// As a twin that may be promoted: what it is told must not wait for others.
constexpr int kRealtimePriority = 10;

}  // namespace

/// Owned by both: the thread may outlive the object by one wait.
struct FutexThread::Shared {
  UniqueFd event;
  std::atomic<bool> cancelled = false;

  /// The word is only looked at by the kernel: it may be unmapped at any time once this is cancelled.
  void run(const std::uint32_t* word, std::uint32_t expected) {
    const sched_param priority{kRealtimePriority};
    ::sched_setscheduler(0, SCHED_FIFO, &priority);
    while (true) {
      const long woken = ::syscall(SYS_futex, word, FUTEX_WAIT, expected, &kLookAgain, nullptr, 0);
      const bool goes_on = woken != 0 && (errno == ETIMEDOUT || errno == EINTR);
      if (cancelled.load()) {
        // A wake-up reaches one waiter: it was another one's.
        if (woken == 0) ::syscall(SYS_futex, word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
        return;
      }
      if (goes_on) continue;
      const std::uint64_t one = 1;
      [[maybe_unused]] const ssize_t written = ::write(event.get(), &one, sizeof one);
      return;
    }
  }
};

FutexThread::FutexThread(const std::uint32_t* word, std::uint32_t expected) : shared_(std::make_shared<Shared>()) {
  shared_->event = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!shared_->event.valid()) throw std::system_error(errno, std::generic_category(), "making an eventfd");
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([shared = shared_, word, expected] { shared->run(word, expected); }).detach();
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

FutexThread::~FutexThread() { shared_->cancelled.store(true); }

int FutexThread::fd() const { return shared_->event.get(); }

}  // namespace tandem
