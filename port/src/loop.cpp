// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/loop.hpp"

#include <liburing.h>
#include <poll.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "futex_thread.hpp"
#include "privileges.hpp"
#include "tandem/device.hpp"

namespace tandem {
namespace {

// liburing 2.3 does not know the futex operations of kernel 6.7.
constexpr std::uint8_t kOpFutexWait = 51;
constexpr std::uint32_t kFutex2SizeU32 = 2;
constexpr std::uint64_t kFutexMatchAny = 0xffff'ffff;

constexpr unsigned kSubmissionEntries = 256;
constexpr unsigned kCompletionEntries = 4096;
/// Bound of one dispatch, so that a turn's own work comes round whatever the descriptors do.
constexpr unsigned kDispatchBatch = 64;

constexpr std::uint64_t kIgnored = 0;  ///< user data of cancellations

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

std::system_error no_io_uring(int error) {
  std::string what = "setting up io_uring";
  std::string advice;
  if (error == ENOSYS)
    advice = "; the kernel has no io_uring: Linux 6.1 or later, built with CONFIG_IO_URING, is needed";
  else if (error == EPERM || error == EACCES)
    advice =
        "; it is forbidden here: look at sysctl kernel.io_uring_disabled (0 allows it) and at the seccomp profile of "
        "the "
        "container or service";
  else if (error == ENOMEM)
    throw DeviceError(DeviceError::Kind::privilege, what + ": " + std::strerror(error) + "; " +
                                                        locked_memory_advice("end what else uses io_uring here"));
  else if (error == EMFILE || error == ENFILE)
    advice = "; raise the limit of open files (ulimit -n, LimitNOFILE=)";
  return {error, std::generic_category(), what + advice};
}

}  // namespace

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

struct Loop::Impl {
  enum class Kind : std::uint8_t { watch, wake, futex };
  struct Watch {
    Kind kind = Kind::watch;
    int fd = -1;
    short events = 0;
    const std::uint32_t* word = nullptr;
    std::uint32_t expected = 0;
    std::unique_ptr<FutexThread> thread;  ///< that waits for the word, where io_uring cannot
    bool armed = false;
    std::function<void(short)> on_ready;
    std::function<void()> on_futex;
  };

  explicit Impl(LoopOptions loop_options) : options(loop_options), spin_ns(std::uint64_t{loop_options.spin_us} * 1000) {
    io_uring_params params{};
    // COOP_TASKRUN spares the turn an interrupt a completion; TASKRUN_FLAG says in memory that there is one to fetch.
    params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
    params.cq_entries = kCompletionEntries;
    int result = io_uring_queue_init_params(kSubmissionEntries, &ring, &params);
    if (result == -EINVAL) {
      // Both came with 5.19.
      params = {};
      params.flags = IORING_SETUP_CQSIZE;
      params.cq_entries = kCompletionEntries;
      result = io_uring_queue_init_params(kSubmissionEntries, &ring, &params);
    }
    if (result < 0) throw no_io_uring(-result);
    io_uring_probe* probe = io_uring_get_probe_ring(&ring);
    waits_in_thread = probe == nullptr || io_uring_opcode_supported(probe, kOpFutexWait) == 0;
    io_uring_free_probe(probe);
#ifdef TANDEM_STOP_POINTS
    // So that the lab runs what an older kernel would.
    if (std::getenv("TANDEM_WITHOUT_FUTEX_WAIT") != nullptr) waits_in_thread = true;
#endif
  }
  ~Impl() { io_uring_queue_exit(&ring); }

  io_uring_sqe* next_sqe() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    while (sqe == nullptr) {  // the submission ring is full: submitting empties it
      if (const int result = io_uring_submit(&ring);
          result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY)
        throw std::system_error(-result, std::generic_category(), "submitting to io_uring");
      sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
  }

  void arm(WatchId id, Watch& watch) {
    io_uring_sqe* sqe = next_sqe();
    if (watch.kind == Kind::futex && waits_in_thread) {
      watch.thread = std::make_unique<FutexThread>(watch.word, watch.expected);
      io_uring_prep_poll_add(sqe, watch.thread->fd(), POLLIN);
    } else if (watch.kind == Kind::futex) {
      std::memset(sqe, 0, sizeof *sqe);
      sqe->opcode = kOpFutexWait;
      sqe->fd = static_cast<int>(kFutex2SizeU32);  // shared between processes: no private flag
      sqe->addr = reinterpret_cast<std::uint64_t>(watch.word);
      sqe->off = watch.expected;
      sqe->addr3 = kFutexMatchAny;
    } else if (watch.kind == Kind::watch) {
      io_uring_prep_poll_multishot(sqe, watch.fd, static_cast<unsigned>(watch.events));
    } else {
      io_uring_prep_poll_add(sqe, watch.fd, static_cast<unsigned>(watch.events));
    }
    sqe->user_data = id;
    watch.armed = true;
  }

  WatchId add(Watch watch) {
    const WatchId id = ++last_id;
    const auto [at, inserted] = watches.emplace(id, std::make_shared<Watch>(std::move(watch)));
    (void)inserted;
    if (at->second->kind == Kind::wake)
      ++sleepers;
    else
      arm(id, *at->second);
    return id;
  }

  void remove(WatchId id) {
    const auto at = watches.find(id);
    if (at == watches.end()) return;
    if (at->second->kind == Kind::wake) --sleepers;
    if (at->second->armed) {
      io_uring_sqe* sqe = next_sqe();
      io_uring_prep_cancel64(sqe, id, 0);
      sqe->user_data = kIgnored;
      // The descriptor may be closed and the word unmapped as soon as this returns.
      io_uring_submit(&ring);
    }
    watches.erase(at);
  }

  [[nodiscard]] bool completions_waiting() const {
    return io_uring_cq_ready(&ring) != 0 ||
           (std::atomic_ref<unsigned>(*ring.sq.kflags).load(std::memory_order_relaxed) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
  }

  void fetch() {
    if ((std::atomic_ref<unsigned>(*ring.sq.kflags).load(std::memory_order_relaxed) &
         (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0)
      io_uring_get_events(&ring);
    if (io_uring_sq_ready(&ring) != 0) io_uring_submit(&ring);
  }

  bool dispatch() {
    fetch();
    struct Event {
      WatchId id;
      int result;
      unsigned flags;
    };
    Event events[kDispatchBatch];
    unsigned count = 0;
    io_uring_cqe* cqe = nullptr;
    unsigned head = 0;
    io_uring_for_each_cqe(&ring, head, cqe) {
      if (count == kDispatchBatch) break;
      events[count++] = {cqe->user_data, cqe->res, cqe->flags};
    }
    io_uring_cq_advance(&ring, count);
    bool ran = false;
    for (unsigned i = 0; i < count; ++i) ran = deliver(events[i].id, events[i].result, events[i].flags) || ran;
    return ran;
  }

  /// Keeps the watch alive over its own callback, which may remove it.
  bool deliver(WatchId id, int result, unsigned flags) {
    const auto at = watches.find(id);
    if (id == kIgnored || at == watches.end()) return false;
    const std::shared_ptr<Watch> watch = at->second;
    switch (watch->kind) {
      case Kind::watch:
        if ((flags & IORING_CQE_F_MORE) == 0) {
          watch->armed = false;
          if (result >= 0) arm(id, *watch);
        }
        // An error of the poll itself is the descriptor's: its owner finds out by using it.
        watch->on_ready(result >= 0 ? static_cast<short>(result) : static_cast<short>(POLLERR));
        return true;
      case Kind::wake:
        watch->armed = false;
        return false;
      case Kind::futex:
        if (result == -EINTR ||
            ((result == 0 || (waits_in_thread && result > 0)) &&
             std::atomic_ref<std::uint32_t>(*const_cast<std::uint32_t*>(watch->word)).load(std::memory_order_acquire) ==
                 watch->expected)) {
          arm(id, *watch);  // woken for no reason
          return false;
        }
        watches.erase(at);
        watch->on_futex();
        return true;
    }
    return false;
  }

  /// Spinning pays when what ends the sleep comes soon. The budget halves when it was wasted, down to a sixteenth, and is
  /// whole again after a sleep that was no longer than the whole.
  [[nodiscard]] bool spin(std::uint64_t deadline_ns) {
    const std::uint64_t start = monotonic_ns();
    const std::uint64_t end = options.spin_always ? deadline_ns : std::min(deadline_ns, start + spin_ns);
    while (true) {
      for (int i = 0; i < 16; ++i) {
        if ((condition && condition()) || completions_waiting()) return true;
        relax();
      }
      if (monotonic_ns() >= end) return false;
    }
  }

  void sleep(std::uint64_t deadline_ns) {
    if (sleepers != 0)
      for (auto& [id, watch] : watches)
        if (watch->kind == Kind::wake && !watch->armed) arm(id, *watch);
    const std::uint64_t start = monotonic_ns();
    if (start >= deadline_ns) return;
    constexpr std::uint64_t kLongest = 3600ull * 1'000'000'000u;  // a deadline of "never" must not overflow
    const std::uint64_t left = std::min(deadline_ns - start, kLongest);
    __kernel_timespec timeout{};
    timeout.tv_sec = static_cast<long long>(left / 1'000'000'000u);
    timeout.tv_nsec = static_cast<long long>(left % 1'000'000'000u);
    io_uring_cqe* cqe = nullptr;
    // A signal, a timeout and a full completion ring all mean: look again.
    if (const int result = io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &timeout, nullptr);
        result < 0 && result != -ETIME && result != -EINTR && result != -EAGAIN && result != -EBUSY)
      throw std::system_error(-result, std::generic_category(), "sleeping in io_uring");
    const std::uint64_t whole = std::uint64_t{options.spin_us} * 1000;
    spin_ns = monotonic_ns() - start <= whole ? whole : std::max(spin_ns / 2, whole / 16);
  }

  bool run_once(std::uint64_t deadline_ns) {
    if (dispatch() || (condition && condition())) return true;
    if (monotonic_ns() >= deadline_ns) return false;
    if (options.spin_always || spin_ns != 0) {
      if (spin(deadline_ns)) return dispatch() || (condition && condition());
      if (options.spin_always) return false;
    }
    sleep(deadline_ns);
    return dispatch() || (condition && condition());
  }

  LoopOptions options;
  std::uint64_t spin_ns;
  io_uring ring{};
  WatchId last_id = kIgnored;
  std::size_t sleepers = 0;
  bool waits_in_thread = false;
  std::unordered_map<WatchId, std::shared_ptr<Watch>> watches;
  std::function<bool()> condition;
};

Loop::Loop(LoopOptions options) : impl_(std::make_unique<Impl>(options)) {}
Loop::~Loop() = default;

Loop::WatchId Loop::watch(int fd, short events, std::function<void(short)> callback) {
  Impl::Watch watch;
  watch.fd = fd;
  watch.events = events;
  watch.on_ready = std::move(callback);
  return impl_->add(std::move(watch));
}

Loop::WatchId Loop::wake_on(int fd, short events) {
  Impl::Watch watch;
  watch.kind = Impl::Kind::wake;
  watch.fd = fd;
  watch.events = events;
  return impl_->add(std::move(watch));
}

Loop::WatchId Loop::futex_wait(const std::uint32_t* word, std::uint32_t expected, std::function<void()> callback) {
  Impl::Watch watch;
  watch.kind = Impl::Kind::futex;
  watch.word = word;
  watch.expected = expected;
  watch.on_futex = std::move(callback);
  return impl_->add(std::move(watch));
}

bool Loop::futex_waits_in_thread() const { return impl_->waits_in_thread; }

void Loop::unwatch(WatchId id) { impl_->remove(id); }

void Loop::set_options(LoopOptions options) {
  impl_->options = options;
  impl_->spin_ns = std::uint64_t{options.spin_us} * 1000;
}

void Loop::set_spin_condition(std::function<bool()> condition) { impl_->condition = std::move(condition); }

bool Loop::run_once(std::uint64_t deadline_ns) { return impl_->run_once(deadline_ns); }

}  // namespace tandem
