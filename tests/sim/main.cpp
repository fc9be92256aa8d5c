// SPDX-License-Identifier: BSD-3-Clause
//
// tandem-sim: runs seeds, prints what failed and how to see it again.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "planted.hpp"
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
    } else if (argument == "--seeds-of") {
      if (i + 1 >= argc) usage();
      options.seeds_file = argv[++i];
    } else {
      usage();
    }
  }
  return options;
}

/// The first number of each line; what begins with '#' is skipped.
std::vector<std::uint64_t> read_seeds(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    std::fprintf(stderr, "tandem-sim: cannot read the seeds in %s; name a file that is there\n", path.c_str());
    std::exit(64);
  }
  std::vector<std::uint64_t> seeds;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line[0] != '#') seeds.push_back(std::strtoull(line.c_str(), nullptr, 10));
  }
  return seeds;
}

std::uint64_t running_seed = 0;
World* running = nullptr;
bool tracing = false;

/// A broken assertion, or worse. Says which run it was, and what happened before.
extern "C" void on_crash(int signal) {
  current_arena = nullptr;
  std::signal(signal, SIG_DFL);
  if (tracing && running != nullptr) {
    const std::string& text = running->kernel().trace_text;
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  std::printf(
      "seed %lu FAILED: the program stopped with signal %d (what it said stands above)\n  see it with ./dev sim --seed "
      "%lu --trace\n0 passed, 1 failed\n",
      running_seed, signal, running_seed);
  std::fflush(stdout);
  std::raise(signal);
}

Result run_seed(std::uint64_t seed, Totals& totals, bool trace) {
  running_seed = seed;
  tracing = trace;
  forget_planted_passes();
  World world(Setup::draw(seed), totals, trace);
  running = &world;
  Result result = world.run();
  running = nullptr;
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (options.planted) return run_planted(options.plant);
  if (!options.plant.empty() && !plant(options.plant)) usage();
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(signal, on_crash);
  const auto began = std::chrono::steady_clock::now();
  const auto seconds = [&began] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  Totals totals;
  std::uint64_t passed = 0, failed = 0;
  const std::vector<std::uint64_t> listed =
      options.seeds_file.empty() ? std::vector<std::uint64_t>{} : read_seeds(options.seeds_file);
  const std::uint64_t runs = options.seeds_file.empty() ? options.runs : listed.size();
  for (std::uint64_t i = 0; i < runs; ++i) {
    if (options.seconds != 0 && seconds() >= static_cast<double>(options.seconds)) break;
    const std::uint64_t seed = options.seeds_file.empty() ? options.from + i : listed[i];
    Result result = run_seed(seed, totals, options.trace || options.twice);
    if (options.one) std::printf("seed %lu: %s\n", seed, Setup::draw(seed).describe().c_str());
    if (options.trace) std::fwrite(result.trace.data(), 1, result.trace.size(), stdout);
    if (options.twice && result.good) {
      const Result again = run_seed(seed, totals, true);
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
    std::printf("seed %lu FAILED: %s: %s\n  see it with ./dev sim --seed %lu --trace\n", seed, result.rule.c_str(),
                result.text.c_str(), seed);
    if (failed >= options.most_failures) break;
  }
  const double took = seconds();
  std::size_t reachable = 0, died = 0;
  for (std::size_t i = 0; i < kSteps; ++i) {
    reachable += totals.passed[i] != 0 ? 1 : 0;
    died += totals.died_at[i] != 0 ? 1 : 0;
  }
  std::printf(
      "%lu runs in %.1f s: %lu takeovers (%.0f a second), %lu of them planned, %lu behind a hang, %lu primaries and "
      "%lu twins killed, "
      "%lu groups lost\n",
      totals.runs, took, totals.takeovers, static_cast<double>(totals.takeovers) / took, totals.switchovers,
      totals.hangs, totals.deaths, totals.twin_deaths, totals.groups_lost);
  std::printf(
      "%lu exchanges, %lu frames (%lu judged), %lu steps, %lu views of twins compared; deaths at %zu of %zu steps "
      "passed\n",
      totals.exchanges, totals.frames, totals.frames_checked, totals.steps, totals.transactions_compared, died,
      reachable);
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
