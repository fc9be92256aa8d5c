// SPDX-License-Identifier: BSD-3-Clause
#include "planted.hpp"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "kernel.hpp"
#include "tandem/planted.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

struct Fault {
  Planted which;
  std::string_view name;
  std::string_view where;
  std::string_view what;
  std::uint32_t most_runs;  ///< within so many it must be caught: five times what it takes on the average
};

constexpr Fault kFaults[] = {
    {Planted::gate_early, "gate-early", "ha/primary", "a turn's packets leave before its transaction is published", 10},
    {Planted::rst_past_gate, "rst-past-gate", "ha/primary", "an RST leaves before its transaction is published", 500},
    {Planted::ring_early, "ring-early", "ha/primary", "ring entries are given back before the publication", 400},
    {Planted::mark_behind, "mark-behind", "ha/primary", "a commit record names the packets of the turn before", 800},
    {Planted::record_dropped, "record-dropped", "ha/recorder", "one state record in 64 is not written", 50},
    {Planted::snd_nxt_lags, "snd-nxt-lags", "stack/connections", "the log has snd_nxt of the turn before", 50},
    {Planted::sack_not_mirrored, "sack-not-mirrored", "ha/recorder", "what was SACKed is not mirrored", 1000},
    {Planted::neighbour_not_mirrored, "neighbour-not-mirrored", "ha/recorder", "neighbours are not mirrored", 10},
    {Planted::note_out_of_order, "note-out-of-order", "ha/replica", "a note and the record behind it change places",
     40},
    {Planted::snapshot_mixed, "snapshot-mixed", "ha/recorder",
     "live records of connections that the snapshot has not come to", 1400},
    {Planted::partial_transaction, "partial-transaction", "ha/log_ring, ha/replica",
     "each record is visible at once, and applied", 30},
    {Planted::told_late, "told-late", "ha/recorder", "a twin is told of a FIN when the turn ends", 100},
    {Planted::consumed_lost, "consumed-lost", "stack/mirror", "the twin keeps what was consumed", 10},
    {Planted::saved_state_lost, "saved-state-lost", "ha/replica", "a late joiner's handlers are not given their state",
     10},
    {Planted::epoch_not_checked, "epoch-not-checked", "ha/replica", "a removed twin follows another epoch's log", 1200},
    {Planted::removed_promoted, "removed-promoted", "ha/membership, ha/twin", "a twin that was removed takes over",
     4000},
    {Planted::fence_by_number, "fence-by-number", "sim/system",
     "whoever has the owner's number in the twin's pid namespace is killed", 400},
    {Planted::bell_shared, "bell-shared", "ha/twin", "all who follow wait for one wake-up, a removed one too", 4000},
    {Planted::holders_ignored, "holders-ignored", "ha/node", "a newcomer becomes primary while a twin may take over",
     400},
    {Planted::stop_closes_at_once, "stop-closes-at-once", "ha/primary",
     "the later of two that are told to end closes its connections", 2000},
    {Planted::deadly_not_dropped, "deadly-not-dropped", "ha/primary",
     "a frame that ends processes is read by each that follows", 2000},
    {Planted::hang_not_counted, "hang-not-counted", "ha/deadly_frames",
     "a frame that holds a process for ever is tried again by each that follows", 2000},
    {Planted::fence_skipped, "fence-skipped", "ha/twin", "a hung primary is not killed first", 500},
    {Planted::predecessor_leaked, "leak", "ha/takeover", "each takeover leaves memory behind", 10},
    {Planted::frame_freed_twice, "frame-freed-twice", "port/wire_rings", "a received frame is freed twice", 10},
    {Planted::saved_bytes_stale, "saved-bytes-stale", "port/wire_rings",
     "an adopter finds no copy of a frame as it arrived", 40},
    {Planted::fill_intent_ignored, "fill-intent-ignored", "port/wire_rings",
     "a refill that a death cut in two is not completed", 300},
    {Planted::packets_not_sent, "packets-not-sent", "port/wire_rings",
     "published packets that were not handed over are not sent", 125},
    {Planted::queue_marks_ignored, "queue-marks-ignored", "port/queue_set",
     "an adopter reads what queues beside the first one have dealt with again", 600},
    {Planted::queue_marks_mixed, "queue-marks-mixed", "port/queue_set",
     "each queue is adopted where the first one stands", 100},
    {Planted::queue_marks_unwritten, "queue-marks-unwritten", "ha/log_ring",
     "the log has the mark of the first queue alone", 600},
    {Planted::ack_beyond_window, "ack-beyond-window", "stack/pcb_state",
     "an adopted connection's empty ACKs stand behind all that was written", 900},
    {Planted::edge_shrunk, "edge-shrunk", "stack/pcb_state", "an adopted connection's right edge lies 4 KiB lower", 10},
    {Planted::timestamps_back, "timestamps-back", "stack/pcb_state", "an adopted connection's TSval goes back 50 ms",
     10},
    {Planted::fin_forgotten, "fin-forgotten", "stack/pcb_state", "an adopted connection knows of no FIN received", 70},
    {Planted::ack_forgotten, "ack-forgotten", "stack/pcb_state", "an ACK that was owed is not sent behind a takeover",
     700},
    {Planted::timer_lost, "timer-lost", "stack/pcb_state", "an adopted connection's retransmission timer stands", 350},
    {Planted::window_update_lost, "window-update-lost", "stack/receive_path",
     "what was read late does not open the window", 150},
    {Planted::half_open_uncounted, "half-open-uncounted", "stack/mirror",
     "half-open connections of before a takeover are counted when they come to life", 700},
    {Planted::window_misjudged, "window-misjudged", "stack/pcb_state",
     "the peer's largest window is taken for its last one", 1500},
    {Planted::probe_ack_beyond_window, "probe-ack-beyond-window", "stack/tcp/control_seq",
     "behind a window probe empty ACKs stand beyond the shut window", 200},
    {Planted::number_given_twice, "number-given-twice", "stack/stack",
     "a promoted process numbers its connections from below", 60},
    {Planted::old_numbers_again, "old-numbers-again", "stack/time_wait",
     "what follows a connection in TIME-WAIT begins with any number", 2000},
    {Planted::silent_close_kept, "silent-close-kept", "stack/closing", "FIN-WAIT-2 lasts for ever", 400},
    {Planted::announcement_ignored, "announcement-ignored", "stack/arp, neighbour_discovery",
     "who says that he has moved to another link address is not believed", 250},
    {Planted::bgp_difference_lost, "bgp-difference-lost", "apps/bgp/twin",
     "a promoted speaker does not look what its neighbours have yet to be told", 800},
    {Planted::bgp_told_not_mirrored, "bgp-told-not-mirrored", "apps/bgp/twin",
     "the twin does not see what was withdrawn from a neighbour", 50},
    {Planted::bgp_withdrawal_not_mirrored, "bgp-withdrawal-not-mirrored", "apps/bgp/routing",
     "the twin keeps the last route of each withdrawal", 50},
    {Planted::bgp_route_not_restored, "bgp-route-not-restored", "apps/bgp/snapshot", "one route in 16 is not restored",
     50},
    {Planted::bgp_keepalives_stop, "bgp-keepalives-stop", "apps/bgp/fsm",
     "a promoted speaker does not start its KEEPALIVE timer", 50},
    {Planted::bgp_hold_time_stops, "bgp-hold-time-stops", "apps/bgp/fsm",
     "a promoted speaker does not start its hold timer", 100},
    {Planted::bgp_turn_unbounded, "bgp-turn-unbounded", "apps/tandem_bgpd",
     "neighbours are told everything in one turn", 300},
};

Planted armed = Planted::none;
std::uint32_t passes = 0;

/// What the process that runs the seeds leaves behind, also when a broken assertion ends it.
struct Report {
  std::uint64_t seed;
  bool caught, done;
  char rule[160];
};

void copy_text(char* to, std::size_t room, std::string_view text) {
  const std::size_t count = std::min(room - 1, text.size());
  std::memcpy(to, text.data(), count);
  to[count] = '\0';
}

/// Few of the seeds run tandem-bgpd: for its faults each is made to.
bool is_of_bgp(const Fault& fault) { return fault.where.starts_with("apps/"); }

/// A bound for one run: a fault may make a loop without an end of the program.
constexpr unsigned kSeconds = 60;

/// Seeds 1 to `runs`, in a process of its own.
void run_seeds(Planted which, bool bgp, std::uint64_t runs, Report& report) {
  armed = which;
  Totals totals;
  for (std::uint64_t seed = 1; seed <= runs; ++seed) {
    report.seed = seed;
    alarm(kSeconds);
    forget_planted_passes();
    Setup setup = Setup::draw(seed);
    if (bgp) setup.draw_bgp();
    const Result result = World(setup, totals, false).run();
    if (result.good) continue;
    report.caught = true;
    copy_text(report.rule, sizeof report.rule, which == Planted::none ? result.rule + ": " + result.text : result.rule);
    return;
  }
  report.done = true;
}

std::string last_line_of(int file) {
  char text[4096];
  const off_t size = lseek(file, 0, SEEK_END);
  const ssize_t count = pread(file, text, sizeof text, std::max<off_t>(0, size - static_cast<off_t>(sizeof text)));
  std::string_view all(text, static_cast<std::size_t>(std::max<ssize_t>(0, count)));
  while (!all.empty() && all.back() == '\n') all.remove_suffix(1);
  return std::string(all.substr(all.rfind('\n') + 1));
}

Report try_seeds(Planted which, bool bgp, std::uint64_t runs) {
  void* const shared = mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const int words = memfd_create("words", 0);
  if (shared == MAP_FAILED || words < 0) {
    std::perror("tandem-sim: no memory to share with the process that runs the seeds");
    std::exit(71);
  }
  auto& report = *new (shared) Report{};
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) {
    std::perror("tandem-sim: cannot start a process for the seeds");
    std::exit(71);
  }
  if (child == 0) {
    dup2(words, STDERR_FILENO);
    run_seeds(which, bgp, runs, report);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  Report result = report;
  if (WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM) {
    // An invariant that the program states itself, or a broken heap.
    result.caught = true;
    const std::string line = last_line_of(words);
    const bool stated = WTERMSIG(status) == SIGABRT && !line.empty();
    copy_text(result.rule, sizeof result.rule,
              stated ? "assertion: " + line : std::string("signal: ") + strsignal(WTERMSIG(status)));
  } else if (WIFSIGNALED(status)) {
    copy_text(result.rule, sizeof result.rule, "a run did not end within " + std::to_string(kSeconds) + " seconds");
  }
  close(words);
  munmap(shared, sizeof(Report));
  return result;
}

}  // namespace

bool plant(std::string_view name) {
  for (const Fault& fault : kFaults) {
    if (fault.name != name) continue;
    armed = fault.which;
    return true;
  }
  return false;
}

void forget_planted_passes() { passes = 0; }

int run_planted(std::string_view only) {
  std::uint64_t passed = 0, failed = 0;
  std::uint64_t most_seeds[2] = {0, 0};
  bool found = only.empty();
  std::printf("%-24s %-24s %13s  %s\n", "fault", "where", "runs (most)", "caught by");
  for (const Fault& fault : kFaults) {
    if (!only.empty() && fault.name != only) continue;
    found = true;
    const bool bgp = is_of_bgp(fault);
    const Report report = try_seeds(fault.which, bgp, fault.most_runs);
    most_seeds[bgp] = std::max(most_seeds[bgp], report.seed);
    if (report.caught) {
      ++passed;
      std::printf("%-24s %-24s %6lu (%4u)  %s\n", fault.name.data(), fault.where.data(), report.seed, fault.most_runs,
                  report.rule);
    } else {
      ++failed;
      std::printf("%-24s %-24s %13s  NOT CAUGHT within %u runs %s\n", fault.name.data(), fault.where.data(), "-",
                  fault.most_runs, report.rule);
    }
    std::fflush(stdout);
  }
  if (!found) {
    std::fprintf(stderr, "tandem-sim: there is no fault '%s'; those that can be planted are:\n",
                 std::string(only).c_str());
    for (const Fault& fault : kFaults) std::fprintf(stderr, "  %-24s %s\n", fault.name.data(), fault.what.data());
    return 64;
  }
  for (const bool bgp : {false, true}) {
    if (most_seeds[bgp] == 0) continue;
    const Report none = try_seeds(Planted::none, bgp, most_seeds[bgp]);
    const char* const runs = bgp ? "runs of tandem-bgpd" : "";
    if (none.done) {
      ++passed;
      std::printf("%-24s %-24s %6lu         nothing, as it must be\n", "(none)", runs, most_seeds[bgp]);
    } else {
      ++failed;
      std::printf("%-24s %-24s %6lu         %s: THE SAME SEEDS MUST PASS\n", "(none)", runs, none.seed, none.rule);
    }
  }
  std::printf(
      "see one again with ./dev sim --seed R --plant FAULT --trace (and --bgp, if it is one of apps/bgp), where R is "
      "its "
      "number of runs\n%lu passed, %lu "
      "failed\n",
      passed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace tandem::sim

namespace tandem {

bool planted(Planted fault, std::uint32_t one_in) {
  if (fault != sim::armed || sim::the_kernel == nullptr || sim::the_kernel->current == nullptr) return false;
  return ++sim::passes % one_in == 0;
}

}  // namespace tandem
