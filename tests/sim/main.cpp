// SPDX-License-Identifier: BSD-3-Clause
//
// tandem-sim: runs seeds, prints what failed and how to see it again.
#include <sys/time.h>
#include <unistd.h>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "matrix/matrix.hpp"
#include "planted.hpp"
#include "shrink.hpp"
#include "world.hpp"

namespace {

using namespace tandem::sim;

struct Options {
  std::uint64_t from = 1;
  std::uint64_t runs = 1000;
  std::uint64_t seconds = 0;
  bool one = false;
  bool trace = false;
  bool twice = false;
  bool shrink = true;  ///< the first failure
  bool bgp = false;    ///< every run is one of tandem-bgpd
  std::optional<Setup> setup;
  std::string seeds_file;
  bool planted = false;  ///< every fault in turn
  std::string plant;     ///< one fault, for what else is asked
  std::uint64_t most_failures = 10;
};

[[noreturn]] void usage() {
  std::fputs(
      "Usage: tandem-sim [--runs N] [--seconds N] [--from S]   runs N seeds from S on, or as many as fit into the "
      "time\n"
      "       tandem-sim --seed S [--trace]                    one run, told in full\n"
      "       tandem-sim --seeds-of FILE                       the seeds that FILE lists, one a line, with a word on "
      "each\n"
      "       tandem-sim --planted [FAULT]                     plants each fault, or one, and sees that it is caught\n"
      "       --plant FAULT                                    with the others: what they do when it is planted\n"
      "       tandem-sim --setup NAME=VALUE,... [--trace]      the run that a reduced failure names\n"
      "       --bgp                                            every seed runs tandem-bgpd\n"
      "       --no-shrink                                      a failure is not reduced\n"
      "       tandem-sim --matrix ...                          a crash at every step of scripted scenarios\n"
      "       --twice                                          each seed twice: both must be the same to the byte\n",
      stderr);
  std::exit(64);
}

std::uint64_t number(int argc, char** argv, int& i) {
  if (i + 1 >= argc) usage();
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(argv[++i], &end, 10);
  if (*end != '\0') usage();
  return value;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--runs") {
      options.runs = number(argc, argv, i);
    } else if (argument == "--from") {
      options.from = number(argc, argv, i);
    } else if (argument == "--seconds") {
      options.seconds = number(argc, argv, i);
      options.runs = UINT64_MAX;
    } else if (argument == "--seed") {
      options.from = number(argc, argv, i);
      options.runs = 1;
      options.one = true;
    } else if (argument == "--trace") {
      options.trace = true;
    } else if (argument == "--twice") {
      options.twice = true;
    } else if (argument == "--planted") {
      options.planted = true;
      if (i + 1 < argc && argv[i + 1][0] != '-') options.plant = argv[++i];
    } else if (argument == "--plant") {
      if (i + 1 >= argc) usage();
      options.plant = argv[++i];
    } else if (argument == "--bgp") {
      options.bgp = true;
    } else if (argument == "--no-shrink") {
      options.shrink = false;
    } else if (argument == "--setup") {
      if (i + 1 >= argc) usage();
      options.setup = Setup::from_text(argv[++i]);
      if (!options.setup) usage();
      options.runs = 1;
      options.one = true;
    } else if (argument == "--seeds-of") {
      if (i + 1 >= argc) usage();
      options.seeds_file = argv[++i];
    } else {
      usage();
    }
  }
  return options;
}

/// The first word of each line is a seed, or a setup in full; what begins with '#' is skipped.
std::vector<Setup> read_seeds(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    std::fprintf(stderr, "tandem-sim: cannot read the seeds in %s; name a file that is there\n", path.c_str());
    std::exit(64);
  }
  std::vector<Setup> setups;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::string word = line.substr(0, line.find(' '));
    const auto setup = word.find('=') == std::string::npos ? Setup::draw(std::strtoull(word.c_str(), nullptr, 10))
                                                           : Setup::from_text(word);
    if (!setup) {
      std::fprintf(stderr, "tandem-sim: %s has a line that is neither a seed nor a setup: %s\n", path.c_str(),
                   line.c_str());
      std::exit(64);
    }
    setups.push_back(*setup);
  }
  return setups;
}

/// Processor time. None needs a tenth of it, also with sanitizers.
constexpr time_t kMostSecondsOfARun = 120;

Setup running_setup;
World* running = nullptr;
bool tracing = false;
bool shrinks_crashes = false;
std::string planted_fault;

std::string how_to_see(const Setup& setup) {
  // What the seed alone draws needs no more words.
  return Setup::draw(setup.seed).to_text() == setup.to_text() ? "--seed " + std::to_string(setup.seed)
                                                              : "--setup " + setup.to_text();
}

/// A broken assertion, or worse, or a run that does not end. Says which run it was, and what happened before.
extern "C" void on_crash(int signal) {
  current_arena = nullptr;
  if (tracing && running != nullptr) {
    const std::string& text = running->kernel().trace_text;
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  std::printf(
      "seed %lu FAILED: the program stopped with signal %d (what it said stands above)\n  see it with ./dev sim %s "
      "--trace\n",
      running_setup.seed, signal, how_to_see(running_setup).c_str());
  std::fflush(stdout);
  if (shrinks_crashes && signal != SIGPROF) {
    // Nothing of this process can be relied upon; a fresh one makes the run smaller.
    const std::string text = running_setup.to_text();
    execl("/proc/self/exe", "tandem-sim", "--setup", text.c_str(), planted_fault.empty() ? nullptr : "--plant",
          planted_fault.c_str(), static_cast<char*>(nullptr));
  }
  std::printf("0 passed, 1 failed\n");
  std::fflush(stdout);
  std::raise(signal);
}

void catch_crashes() {
  struct sigaction action {};
  action.sa_handler = on_crash;
  action.sa_flags = static_cast<int>(SA_NODEFER | SA_RESETHAND);
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGPROF}) sigaction(signal, &action, nullptr);
}

/// The first signal tells which run it was; should it have come where nothing can be told, the next one ends the program.
void bound_run() {
  constexpr timeval kMost{kMostSecondsOfARun, 0}, kThen{10, 0};
  constexpr itimerval kTimer{kThen, kMost};
  setitimer(ITIMER_PROF, &kTimer, nullptr);
}

Result run_setup(const Setup& setup, Totals& totals, bool trace) {
  running_setup = setup;
  tracing = trace;
  bound_run();
  forget_planted_passes();
  World world(setup, totals, trace);
  running = &world;
  const std::uint64_t deaths_before = totals.deaths + totals.twin_deaths;
  Result result = world.run();
  running = nullptr;
  totals.runs_with_a_death += totals.deaths + totals.twin_deaths != deaths_before ? 1 : 0;
  return result;
}

/// Makes a failing run smaller and says how to see it. True when it did fail.
bool reduce(const Setup& setup) {
  const Reduced reduced = shrink(setup);
  if (reduced.rule.empty()) return false;
  std::printf(
      "  reduced in %lu runs: %s\n  it breaks \"%s\" after %lu steps; see it with ./dev sim --setup %s --trace\n",
      reduced.runs, reduced.setup.describe().c_str(), reduced.rule.c_str(), reduced.steps,
      reduced.setup.to_text().c_str());
  std::fflush(stdout);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--matrix") == 0) return matrix_main(argc - 2, argv + 2);
  const Options options = parse(argc, argv);
  if (options.planted) return run_planted(options.plant);
  if (!options.plant.empty() && !plant(options.plant)) usage();
  planted_fault = options.plant;
  if (options.setup && !options.trace && options.shrink && reduce(*options.setup)) {
    std::printf("0 passed, 1 failed\n");
    return 1;
  }
  shrinks_crashes = options.shrink && !options.trace && !options.setup;
  catch_crashes();
  const auto began = std::chrono::steady_clock::now();
  const auto seconds = [&began] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  Totals totals;
  std::uint64_t passed = 0, failed = 0;
  std::vector<Setup> listed;
  if (!options.seeds_file.empty()) listed = read_seeds(options.seeds_file);
  if (options.setup) listed.push_back(*options.setup);
  const std::uint64_t runs = listed.empty() ? options.runs : listed.size();
  for (std::uint64_t i = 0; i < runs; ++i) {
    if (options.seconds != 0 && seconds() >= static_cast<double>(options.seconds)) break;
    Setup setup = listed.empty() ? Setup::draw(options.from + i) : listed[i];
    if (options.bgp) setup.draw_bgp();
    Result result = run_setup(setup, totals, options.trace || options.twice);
    if (options.one)
      std::printf("seed %lu: %s\n  --setup %s\n", setup.seed, setup.describe().c_str(), setup.to_text().c_str());
    if (options.trace) std::fwrite(result.trace.data(), 1, result.trace.size(), stdout);
    if (options.twice && result.good) {
      const Result again = run_setup(setup, totals, true);
      if (again.trace != result.trace || again.digest != result.digest) {
        result.good = false;
        result.rule = "the same seed, the same run";
        result.text = "two runs of it differ";
      }
    }
    if (result.good) {
      ++passed;
      continue;
    }
    ++failed;
    std::printf("seed %lu FAILED: %s: %s\n  see it with ./dev sim %s --trace\n", setup.seed, result.rule.c_str(),
                result.text.c_str(), how_to_see(setup).c_str());
    std::fflush(stdout);
    if (failed == 1 && options.shrink && !options.trace && !options.setup) reduce(setup);
    if (failed >= options.most_failures) break;
  }
  const double took = seconds();
  std::size_t reachable = 0, died = 0;
  for (std::size_t i = 0; i < kSteps; ++i) {
    reachable += totals.passed[i] != 0 ? 1 : 0;
    died += totals.died_at[i] != 0 ? 1 : 0;
  }
  std::printf(
      "%lu runs, %lu with a death, in %.1f s: %lu takeovers (%.0f a second), %lu of them planned, %lu behind a hang, "
      "%lu primaries and "
      "%lu twins killed, "
      "%lu groups lost\n",
      totals.runs, totals.runs_with_a_death, took, totals.takeovers, static_cast<double>(totals.takeovers) / took,
      totals.switchovers, totals.hangs, totals.deaths, totals.twin_deaths, totals.groups_lost);
  std::printf(
      "%lu exchanges, %lu frames (%lu judged), %lu steps, %lu views of twins compared; deaths at %zu of %zu steps "
      "passed\n",
      totals.exchanges, totals.frames, totals.frames_checked, totals.steps, totals.transactions_compared, died,
      reachable);
  std::printf(
      "%lu SIGTERMs, %lu preemptions, %lu allocations refused, %lu of %lu control requests answered, "
      "%lu strangers refused\n",
      totals.terminations, totals.preemptions, Arena::refused, totals.answers, totals.requests, totals.strangers);
  if (options.runs != 1 || options.one) {
    std::string missed;
    for (std::size_t i = 0; i < kSteps; ++i) {
      if (totals.passed[i] != 0 && totals.died_at[i] == 0)
        missed += (missed.empty() ? "" : " ") + std::string(name_of(static_cast<Step>(i)));
    }
    if (!missed.empty() && totals.runs > 100) std::printf("no death at: %s\n", missed.c_str());
  }
  std::printf("%lu passed, %lu failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
