// SPDX-License-Identifier: BSD-3-Clause
#include "matrix/matrix.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string_view>

namespace tandem::sim {
namespace {

struct Options {
  std::string scenario;
  std::optional<CrashRole> role;
  std::string step;    ///< a number, or a name: then every passage of it
  std::string second;  ///< the adopter's, likewise
  std::uint64_t seed = 1;
  bool list = false;
  bool trace = false;
  bool first = false;
  bool every = false;
  std::string page, check;
};

constexpr std::uint64_t kMostFailuresTold = 20;

[[noreturn]] void usage() {
  std::fputs(
      "Usage: tandem-sim --matrix [SCENARIO]     a death at every step of every scenario, or of one\n"
      "         --list                           the scenarios, or the numbered steps of one and its --role\n"
      "         --role primary|twin|both|reverse         only these deaths\n"
      "         --step N|NAME                    only at this step of the victim (0: nobody dies); --trace tells all\n"
      "         --second N|NAME                  only at this step of the process that adopts\n"
      "         --first                          only the first passage of each step's name\n"
      "         --every                          whoever dies first does so at every passage, not only at the first "
      "one\n"
      "         --from SEED                      another order of the same events\n"
      "         --page FILE, --check FILE        write the page, or see whether it is the one that this run gives\n",
      stderr);
  std::exit(64);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 0; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto value = [&]() -> std::string { return i + 1 < argc ? argv[++i] : (usage(), ""); };
    const auto number = [&] {
      const std::string text = value();
      if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) usage();
      return std::strtoull(text.c_str(), nullptr, 10);
    };
    if (argument == "--role") {
      const std::string name = value();
      for (std::size_t role = 0; role < kCrashRoles; ++role) {
        if (to_string(static_cast<CrashRole>(role)) == name) options.role = static_cast<CrashRole>(role);
      }
      if (!options.role) usage();
    } else if (argument == "--step") {
      options.step = value();
    } else if (argument == "--second") {
      options.second = value();
    } else if (argument == "--from") {
      options.seed = number();
    } else if (argument == "--list") {
      options.list = true;
    } else if (argument == "--trace") {
      options.trace = true;
    } else if (argument == "--first") {
      options.first = true;
    } else if (argument == "--every") {
      options.every = true;
    } else if (argument == "--page") {
      options.page = value();
    } else if (argument == "--check") {
      options.check = value();
    } else if (argument.starts_with("-") || !options.scenario.empty()) {
      usage();
    } else {
      options.scenario = argument;
    }
  }
  return options;
}

const Cell* running = nullptr;

/// A broken assertion, or worse: says in which cell.
extern "C" void on_cell_crash(int signal) {
  current_arena = nullptr;
  std::signal(signal, SIG_DFL);
  if (running != nullptr) {
    std::printf("FAILED: the program stopped with signal %d (what it said stands above)\n  see it with %s --trace\n",
                signal, running->command().c_str());
  }
  std::puts("0 passed, 1 failed");
  std::fflush(stdout);
  std::raise(signal);
}

class Runner {
 public:
  Runner(const Options& options, Matrix& matrix) : options_(options), matrix_(matrix) {}

  void run(std::size_t index) {
    index_ = index;
    Cell cell;
    cell.scenario = &scenarios()[index];
    cell.seed = options_.seed;
    const Outcome undisturbed = run_one(cell, std::nullopt);
    if (undisturbed.fate == Fate::failed) return tell(cell, undisturbed);
    const std::vector<Step> lives[] = {undisturbed.first, undisturbed.second, undisturbed.first, undisturbed.second};
    for (std::size_t role = 0; role < kCrashRoles; ++role) {
      cell.role = static_cast<CrashRole>(role);
      if (options_.role && *options_.role != cell.role) continue;
      if (cell.role == CrashRole::reverse && undisturbed.handed_over == 0) continue;
      const std::vector<Step>& life = lives[role];
      if (options_.list) {
        list(cell, life);
        continue;
      }
      std::set<Step> seen;
      for (std::size_t i = 0; i < life.size(); ++i) {
        // Two deaths would make a square of steps: the first comes at the first passage of each name, while there is something that
        // could be lost and somebody who keeps it.
        const bool is_early = (cell.role == CrashRole::both && !options_.every && i + 1 < undisturbed.at_work) ||
                              (cell.role == CrashRole::reverse && i < undisturbed.handed_over);
        if (is_early && options_.step.empty()) continue;
        const bool is_first = seen.insert(life[i]).second;
        if (!is_wanted(options_.step, life[i], i + 1)) continue;
        const bool only_first = options_.first || (cell.is_double() && !options_.every);
        if (only_first && !is_first && options_.step.empty()) continue;
        cell.step = i + 1;
        cell.second = 0;
        if (cell.is_double())
          run_second_deaths(cell, life[i]);
        else
          count(cell, life[i], run_one(cell, life[i]));
      }
    }
  }

 private:
  static bool is_wanted(const std::string& wanted, Step step, std::size_t number) {
    return wanted.empty() || wanted == name_of(step) || wanted == std::to_string(number);
  }

  void run_second_deaths(Cell cell, Step first) {
    const Outcome enumerated = run_one(cell, first);
    // It fails as a cell of the primary's, too; and where nobody adopts, nobody dies while he does.
    if (enumerated.fate == Fate::failed || enumerated.lost) return;
    std::set<Step> seen;
    for (std::size_t m = 0; m < enumerated.takeover.size(); ++m) {
      const bool is_first = seen.insert(enumerated.takeover[m]).second;
      if (!is_wanted(options_.second, enumerated.takeover[m], m + 1)) continue;
      if (options_.first && !is_first && options_.second.empty()) continue;
      cell.second = m + 1;
      count(cell, enumerated.takeover[m], run_one(cell, enumerated.takeover[m]));
    }
  }

  Outcome run_one(const Cell& cell, std::optional<Step> expected) {
    running = &cell;
    Outcome outcome = run_cell(cell, matrix_.totals, options_.trace, expected);
    running = nullptr;
    if (options_.trace && (cell.step != 0 || options_.step == "0"))
      std::fwrite(outcome.trace.data(), 1, outcome.trace.size(), stdout);
    return outcome;
  }

  void count(const Cell& cell, Step step, const Outcome& outcome) {
    Counts& counts = matrix_.cells[{index_, static_cast<std::size_t>(cell.role), step}];
    if (counts.all() == 0) counts.first = cell.is_double() ? cell.second : cell.step;
    ++counts.by_fate[static_cast<std::size_t>(outcome.fate)];
    if (outcome.fate == Fate::failed) tell(cell, outcome);
  }

  void tell(const Cell& cell, const Outcome& outcome) {
    if (cell.step == 0) ++matrix_.cells[{index_, 0, 0}].by_fate[static_cast<std::size_t>(Fate::failed)];
    if (++told_ > kMostFailuresTold) return;
    std::printf("FAILED: %s: %s\n  see it with %s --trace\n", outcome.rule.c_str(), outcome.text.c_str(),
                cell.command().c_str());
  }

  static void list(const Cell& cell, const std::vector<Step>& life) {
    if (cell.is_double()) return;
    std::printf("%s, %s:\n", std::string(cell.scenario->name).c_str(), std::string(to_string(cell.role)).c_str());
    for (std::size_t i = 0; i < life.size(); ++i)
      std::printf("  %6zu %s\n", i + 1, std::string(name_of(life[i])).c_str());
  }

  const Options& options_;
  Matrix& matrix_;
  std::size_t index_ = 0;
  std::uint64_t told_ = 0;
};

void print_counts(std::string_view what, const Counts& counts) {
  std::printf("  %-26s %6u of %6u survived", std::string(what).c_str(), counts.of(Fate::survived), counts.all());
  if (counts.of(Fate::idle) != 0) std::printf(", %u had nothing to lose", counts.of(Fate::idle));
  if (counts.anew() != 0) std::printf(", %u started anew", counts.anew());
  if (counts.of(Fate::failed) != 0) std::printf(", %u FAILED", counts.of(Fate::failed));
  std::puts("");
}

void print_table(const Matrix& matrix, bool steps) {
  for (std::size_t i = 0; i < scenarios().size(); ++i) {
    for (std::size_t role = 0; role < kCrashRoles; ++role) {
      const Counts sum = matrix.sum(i, static_cast<CrashRole>(role));
      if (sum.all() == 0) continue;
      std::printf("%s, crash of %s\n", std::string(scenarios()[i].name).c_str(),
                  std::string(to_string(static_cast<CrashRole>(role))).c_str());
      if (steps) {
        for (std::size_t step = 0; step < kSteps; ++step) {
          const auto at = matrix.cells.find({i, role, step});
          if (at != matrix.cells.end()) print_counts(name_of(static_cast<Step>(step)), at->second);
        }
      }
      print_counts("all steps", sum);
    }
  }
}

void print_reach(const Totals& totals) {
  std::size_t reached = 0, died = 0;
  std::string missed;
  for (std::size_t i = 0; i < kSteps; ++i) {
    const auto step = static_cast<Step>(i);
    if (is_alias(step)) continue;
    if (totals.passed[i] == 0) {
      const std::string_view why = why_not_reached(step);
      std::printf("no scenario reaches %s: %s\n", std::string(name_of(step)).c_str(),
                  why.empty() ? "nobody knows why" : std::string(why).c_str());
      continue;
    }
    ++reached;
    died += totals.died_at[i] != 0 ? 1 : 0;
    if (totals.died_at[i] == 0) missed += " " + std::string(name_of(step));
  }
  std::printf("a crash at %zu of %zu steps that are reached (%.0f %%)%s%s\n", died, reached,
              reached == 0 ? 0.0 : 100.0 * static_cast<double>(died) / static_cast<double>(reached),
              missed.empty() ? "" : "; none at", missed.c_str());
}

}  // namespace

Counts Matrix::sum() const {
  Counts total;
  for (const auto& [key, counts] : cells) {
    for (std::size_t fate = 0; fate < kFates; ++fate) total.by_fate[fate] += counts.by_fate[fate];
  }
  return total;
}

Counts Matrix::sum(std::size_t scenario, CrashRole role) const {
  Counts total;
  for (const auto& [key, counts] : cells) {
    if (key[0] != scenario || key[1] != static_cast<std::size_t>(role)) continue;
    for (std::size_t fate = 0; fate < kFates; ++fate) total.by_fate[fate] += counts.by_fate[fate];
  }
  return total;
}

int matrix_main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (options.list && options.scenario.empty()) {
    for (const Scenario& scenario : scenarios())
      std::printf("%-22s %s\n", std::string(scenario.name).c_str(), std::string(scenario.words).c_str());
    return 0;
  }
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(signal, on_cell_crash);
  Matrix matrix;
  Runner runner(options, matrix);
  bool found = false;
  for (std::size_t i = 0; i < scenarios().size(); ++i) {
    if (!options.scenario.empty() && options.scenario != scenarios()[i].name) continue;
    found = true;
    runner.run(i);
  }
  if (!found) {
    std::fprintf(stderr, "tandem-sim: there is no scenario \"%s\"; --matrix --list names them\n",
                 options.scenario.c_str());
    return 64;
  }
  if (options.list) return 0;
  const Counts sum = matrix.sum();
  print_table(matrix, !options.scenario.empty());
  const bool whole = options.scenario.empty() && !options.role && options.step.empty();
  if (whole) print_reach(matrix.totals);
  bool good = (sum.all() != 0 || options.step == "0") && sum.of(Fate::failed) == 0;
  if (!options.page.empty() || !options.check.empty()) {
    const std::string page = page_of(matrix);
    if (!options.page.empty()) {
      std::ofstream file(options.page, std::ios::binary);
      if (!(file << page).flush()) {
        std::fprintf(stderr, "tandem-sim: cannot write %s; name a file in a directory that is there\n",
                     options.page.c_str());
        good = false;
      }
    }
    if (!options.check.empty()) {
      std::ifstream file(options.check, std::ios::binary);
      const std::string committed{std::istreambuf_iterator<char>(file), {}};
      if (committed != page) {
        std::printf("%s is not what this run gives; look at the difference that ./dev sim --matrix --page %s makes\n",
                    options.check.c_str(), options.check.c_str());
        good = false;
      }
    }
  }
  std::printf(
      "%u survived; %u started anew as designed, since nobody was left who had the connections, and %u more\n"
      "when none was open; %u failed\n",
      sum.of(Fate::survived), sum.anew(), sum.of(Fate::idle), sum.of(Fate::failed));
  std::printf("%u passed, %u failed\n", sum.all() - sum.of(Fate::failed), sum.of(Fate::failed));
  return good ? 0 : 1;
}

}  // namespace tandem::sim
