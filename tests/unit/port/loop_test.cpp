// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/loop.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <functional>
#include <thread>

namespace tandem {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

/// Runs the loop until the condition holds, at most ten seconds.
bool run_until(Loop& loop, const std::function<bool()>& condition) {
  const std::uint64_t bound = monotonic_ns() + 10 * kSecond;
  while (!condition() && monotonic_ns() < bound) loop.run_once(bound);
  return condition();
}

struct Pipe {
  Pipe() { REQUIRE(::pipe2(fds, O_NONBLOCK) == 0); }
  ~Pipe() {
    ::close(fds[0]);
    ::close(fds[1]);
  }
  /// Other threads call this too, and Catch's macros are for one thread. A byte that was not written is missed at the end.
  void put() const { static_cast<void>(::write(fds[1], "x", 1) == 1); }
  [[nodiscard]] bool get() const {
    char byte = 0;
    return ::read(fds[0], &byte, 1) == 1;
  }
  int fds[2];
};

TEST_CASE("a loop calls back each time a watched descriptor becomes ready", "[io_uring]") {
  Loop loop(LoopOptions{});
  const Pipe pipe;
  int calls = 0;
  loop.watch(pipe.fds[0], POLLIN, [&](short revents) {
    CHECK((revents & POLLIN) != 0);
    while (pipe.get()) ++calls;
  });
  for (int i = 1; i <= 3; ++i) {
    pipe.put();
    CHECK(run_until(loop, [&] { return calls == i; }));
  }
}

TEST_CASE("a watch may be removed from its own callback, and is never heard of again", "[io_uring]") {
  Loop loop(LoopOptions{});
  const Pipe pipe, other;
  int calls = 0;
  bool other_called = false;
  Loop::WatchId id = 0;
  id = loop.watch(pipe.fds[0], POLLIN, [&](short) {
    ++calls;
    loop.unwatch(id);
  });
  loop.watch(other.fds[0], POLLIN, [&](short) { other_called = true; });
  pipe.put();
  CHECK(run_until(loop, [&] { return calls == 1; }));
  pipe.put();
  other.put();
  CHECK(run_until(loop, [&] { return other_called; }));
  CHECK(calls == 1);
  loop.unwatch(id);
  loop.unwatch(12345);
}

TEST_CASE("a closed descriptor is reported once and does not spin the loop", "[io_uring]") {
  Loop loop(LoopOptions{});
  int calls = 0;
  loop.watch(-1, POLLIN, [&](short revents) {
    ++calls;
    CHECK((revents & POLLERR) != 0);
  });
  CHECK(run_until(loop, [&] { return calls == 1; }));
  loop.run_once(monotonic_ns() + 1'000'000);
  CHECK(calls == 1);
}

TEST_CASE("a deadline ends a sleep, and one in the past never sleeps", "[io_uring]") {
  for (const std::uint32_t spin_us : {0u, 15u}) {
    Loop loop(LoopOptions{spin_us, false});
    const std::uint64_t deadline = monotonic_ns() + 5'000'000;
    bool ran = false;
    while (monotonic_ns() < deadline) ran = loop.run_once(deadline) || ran;
    CHECK_FALSE(ran);
    CHECK_FALSE(loop.run_once(monotonic_ns() - 1));
    CHECK_FALSE(loop.run_once(0));
  }
}

TEST_CASE("work that the spin condition sees is found without sleeping", "[io_uring]") {
  for (const bool spin_always : {false, true}) {
    Loop loop(LoopOptions{15, spin_always});
    std::atomic<bool> work = true;
    loop.set_spin_condition([&] { return work.load(); });
    CHECK(loop.run_once(~std::uint64_t{0}));
    work = false;
    std::thread other([&] { work = true; });
    // A loop that sleeps is not woken by memory; its owner gives it a deadline.
    CHECK(run_until(loop, [&] {
      loop.run_once(monotonic_ns() + 1'000'000);
      return work.load();
    }));
    other.join();
  }
}

TEST_CASE("a loop that never sleeps hears of descriptors all the same", "[io_uring]") {
  Loop loop(LoopOptions{15, true});
  const Pipe pipe;
  bool called = false;
  loop.watch(pipe.fds[0], POLLIN, [&](short) { called = true; });
  std::thread other([&] { pipe.put(); });
  CHECK(run_until(loop, [&] { return called; }));
  other.join();
}

TEST_CASE("wake_on ends a sleep again and again without a callback", "[io_uring]") {
  Loop loop(LoopOptions{0, false});
  const Pipe pipe;
  const auto id = loop.wake_on(pipe.fds[0], POLLIN);
  for (int i = 0; i < 3; ++i) {
    std::thread other([&] { pipe.put(); });
    const std::uint64_t bound = monotonic_ns() + 10 * kSecond;
    bool got = false;
    while (!(got = pipe.get()) && monotonic_ns() < bound) loop.run_once(bound);
    CHECK(got);
    CHECK(monotonic_ns() < bound);
    other.join();
  }
  loop.unwatch(id);
  pipe.put();
  const std::uint64_t deadline = monotonic_ns() + 2'000'000;
  loop.run_once(deadline);
  CHECK(monotonic_ns() >= deadline);
}

TEST_CASE("a signal does not disturb a sleep", "[io_uring]") {
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) {};
  REQUIRE(::sigaction(SIGALRM, &action, &before) == 0);
  itimerval timer{{0, 500}, {0, 500}};
  REQUIRE(::setitimer(ITIMER_REAL, &timer, nullptr) == 0);
  Loop loop(LoopOptions{0, false});
  const std::uint64_t deadline = monotonic_ns() + 10'000'000;
  while (monotonic_ns() < deadline) CHECK_FALSE(loop.run_once(deadline));
  timer = {};
  ::setitimer(ITIMER_REAL, &timer, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
}

struct SharedWord {
  SharedWord() {
    void* memory = ::mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    at = new (memory) Memory;
  }
  ~SharedWord() { ::munmap(at, sizeof(Memory)); }
  struct Memory {
    robust_list_head head{};
    robust_list node{};
    std::uint32_t word = 0;
  };
  Memory* at = nullptr;

  [[nodiscard]] std::uint32_t load() const { return std::atomic_ref<std::uint32_t>(at->word).load(); }
  void store(std::uint32_t value) const { std::atomic_ref<std::uint32_t>(at->word).store(value); }
};

/// What an older kernel lacks, where the build can do without (stop points); else the same twice.
struct Without {
  explicit Without(bool futex_wait) {
    if (futex_wait) ::setenv("TANDEM_WITHOUT_FUTEX_WAIT", "1", 1);
  }
  ~Without() { ::unsetenv("TANDEM_WITHOUT_FUTEX_WAIT"); }
};

TEST_CASE("a futex wait ends when the owner of a robust word is killed", "[io_uring]") {
  const Without without(GENERATE(false, true));
  for (const bool spin_always : {false, true}) {
    Loop loop(LoopOptions{15, spin_always});
    const SharedWord shared;
    const pid_t owner = ::fork();
    REQUIRE(owner >= 0);
    if (owner == 0) {
      shared.at->head.list.next = &shared.at->node;
      shared.at->node.next = &shared.at->head.list;
      shared.at->head.futex_offset =
          reinterpret_cast<char*>(&shared.at->word) - reinterpret_cast<char*>(&shared.at->node);
      if (::syscall(SYS_set_robust_list, &shared.at->head, sizeof shared.at->head) != 0) ::_exit(1);
      shared.store(static_cast<std::uint32_t>(::syscall(SYS_gettid)) | FUTEX_WAITERS);
      while (true) ::pause();
    }
    const std::uint64_t bound = monotonic_ns() + 10 * kSecond;
    while (shared.load() == 0 && monotonic_ns() < bound) std::this_thread::yield();
    const std::uint32_t held = shared.load();
    REQUIRE((held & FUTEX_TID_MASK) == static_cast<std::uint32_t>(owner));
    bool noticed = false;
    loop.futex_wait(&shared.at->word, held, [&] { noticed = true; });
    loop.run_once(monotonic_ns() + 1'000'000);
    CHECK_FALSE(noticed);
    ::kill(owner, SIGKILL);
    CHECK(run_until(loop, [&] { return noticed; }));
    CHECK((shared.load() & FUTEX_OWNER_DIED) != 0);
    int status = 0;
    CHECK(::waitpid(owner, &status, 0) == owner);
  }
}

TEST_CASE("a futex wait on a word that has changed already ends at once; a wake without a change does not end it",
          "[io_uring]") {
  const Without without(GENERATE(false, true));
  Loop loop(LoopOptions{0, false});
  const SharedWord shared;
  shared.store(1);
  bool noticed = false;
  loop.futex_wait(&shared.at->word, 7, [&] { noticed = true; });
  CHECK(run_until(loop, [&] { return noticed; }));

  noticed = false;
  loop.futex_wait(&shared.at->word, 1, [&] { noticed = true; });
  loop.run_once(0);
  ::syscall(SYS_futex, &shared.at->word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  loop.run_once(monotonic_ns() + 1'000'000);
  CHECK_FALSE(noticed);
  shared.store(2);
  ::syscall(SYS_futex, &shared.at->word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  CHECK(run_until(loop, [&] { return noticed; }));
}

TEST_CASE("an unwatched futex wait is never heard of again", "[io_uring]") {
  const Without without(GENERATE(false, true));
  Loop loop(LoopOptions{0, false});
  const SharedWord shared;
  const Pipe pipe;
  bool noticed = false, piped = false;
  const auto id = loop.futex_wait(&shared.at->word, 0, [&] { noticed = true; });
  loop.run_once(0);
  loop.unwatch(id);
  shared.store(1);
  ::syscall(SYS_futex, &shared.at->word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  loop.watch(pipe.fds[0], POLLIN, [&](short) { piped = true; });
  pipe.put();
  CHECK(run_until(loop, [&] { return piped; }));
  CHECK_FALSE(noticed);
}

TEST_CASE("more watches than submission entries all work", "[io_uring]") {
  Loop loop(LoopOptions{0, false});
  constexpr int kWatches = 700;
  const Pipe pipe;
  int calls = 0;
  for (int i = 0; i < kWatches; ++i) loop.watch(pipe.fds[0], POLLIN, [&](short) { ++calls; });
  pipe.put();
  CHECK(run_until(loop, [&] { return calls >= kWatches; }));
}

}  // namespace
}  // namespace tandem
