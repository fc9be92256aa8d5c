// SPDX-License-Identifier: BSD-3-Clause
#include "shrink.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <vector>

#include "kernel.hpp"
#include "planted.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

/// A run that is not over by then counts as another failure.
constexpr unsigned kLongestRun_s = 20;
constexpr double kAllInAll_s = 20;
/// Other seeds that may fail where a smaller setup does not with its own.
constexpr std::uint64_t kOtherSeeds = 24;
constexpr std::uint64_t kSeedsAtLast = 200;

struct Outcome {
  char rule[160];
  std::uint64_t steps;
};

class Shrinker {
 public:
  Shrinker() {
    void* const at = mmap(nullptr, sizeof(Outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
      std::perror("tandem-sim: mapping a page for the outcome of a run");
      std::abort();
    }
    outcome_ = new (at) Outcome{};
  }
  ~Shrinker() { munmap(outcome_, sizeof(Outcome)); }
  Shrinker(const Shrinker&) = delete;
  Shrinker& operator=(const Shrinker&) = delete;

  /// The rule that the run breaks, or nothing.
  std::string run(const Setup& setup, std::uint64_t& steps) {
    ++runs_;
    *outcome_ = {};
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) in_child(setup);
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    steps = outcome_->steps;
    if (WIFSIGNALED(status)) return std::string("the program stopped: ") + strsignal(WTERMSIG(status));
    return outcome_->rule;
  }

  Reduced reduce(const Setup& failing) {
    Reduced best{failing, {}, 0, 0};
    best.rule = run(failing, best.steps);
    if (!best.rule.empty()) {
      for (bool smaller = true; smaller && !is_late();) smaller = pass(best, 0);
      for (bool smaller = true; smaller && !is_late();) smaller = pass(best, kOtherSeeds);
      shortest(best);
    }
    best.runs = runs_;
    return best;
  }

 private:
  [[noreturn]] void in_child(const Setup& setup) {
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(signal, SIG_DFL);
    alarm(kLongestRun_s);
    forget_memory();
    forget_planted_passes();
    Totals totals;
    World world(setup, totals, false);
    const Result result = world.run();
    outcome_->steps = totals.steps;
    if (!result.good) std::snprintf(outcome_->rule, sizeof outcome_->rule, "%s", result.rule.c_str());
    _exit(0);
  }

  [[nodiscard]] bool is_late() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count() > kAllInAll_s;
  }

  bool try_it(Reduced& best, Setup candidate, std::uint64_t other_seeds) {
    for (std::uint64_t i = 0; i <= other_seeds && !is_late(); ++i) {
      if (i != 0) candidate.seed = i;
      std::uint64_t steps = 0;
      if (run(candidate, steps) != best.rule) continue;
      best.setup = candidate;
      best.steps = steps;
      return true;
    }
    return false;
  }

  /// Each field once: to what it is in a plain setup, or towards it. True when something has become smaller.
  bool pass(Reduced& best, std::uint64_t other_seeds) {
    bool any = false;
    const Setup plain = plainest();
    std::size_t fields = 0;
    Setup::for_each_field(plain, [&fields](const char*, const auto&) { ++fields; });
    for (std::size_t which = 0; which < fields; ++which) {
      const std::uint64_t to = value_of(plain, which);
      while (!is_late()) {
        const std::uint64_t from = value_of(best.setup, which);
        if (from == to) break;
        std::vector<std::uint64_t> values = {to};
        // Counts go down bit by bit; the rest is either what it was or plain.
        if (which < kCounts && from > to) {
          values.push_back(to + (from - to) / 2);
          values.push_back(from - 1);
        }
        const bool smaller = std::any_of(values.begin(), values.end(), [&](std::uint64_t value) {
          Setup candidate = best.setup;
          set(candidate, which, value);
          return value != from && try_it(best, candidate, other_seeds);
        });
        if (!smaller) break;
        any = true;
      }
    }
    return any;
  }

  /// Of many seeds the one that fails soonest.
  void shortest(Reduced& best) {
    Setup candidate = best.setup;
    for (candidate.seed = 1; candidate.seed <= kSeedsAtLast && !is_late(); ++candidate.seed) {
      std::uint64_t steps = 0;
      if (run(candidate, steps) == best.rule && steps < best.steps) {
        best.setup = candidate;
        best.steps = steps;
      }
    }
  }

  /// transfers, disturbances, max_bytes and the wire's faults come first in Setup::for_each_field.
  static constexpr std::size_t kCounts = 7;

  static Setup plainest() {
    Setup plain;
    plain.transfers = plain.disturbances = plain.max_bytes = 1;
    plain.active_opens = plain.switchovers = plain.twin_deaths = plain.chosen_steps = plain.newcomer_deaths = false;
    return plain;
  }
  static std::uint64_t value_of(const Setup& setup, std::size_t which) {
    std::uint64_t value = 0;
    Setup::for_each_field(setup, [&, i = std::size_t{0}](const char*, const auto& field) mutable {
      if (i++ == which) value = field;
    });
    return value;
  }
  static void set(Setup& setup, std::size_t which, std::uint64_t value) {
    Setup::for_each_field(setup, [&, i = std::size_t{0}](const char*, auto& field) mutable {
      if (i++ == which) field = static_cast<std::remove_reference_t<decltype(field)>>(value);
    });
  }

  Outcome* outcome_ = nullptr;
  std::uint64_t runs_ = 0;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace

Reduced shrink(const Setup& failing) { return Shrinker().reduce(failing); }

}  // namespace tandem::sim
