// SPDX-License-Identifier: BSD-3-Clause
//
// The end of a run: the faults stop, everything arrives, comes to rest and is looked at, and everybody ends.
#include <algorithm>
#include <set>

#include "attach_clients.hpp"
#include "bgp_run/peer.hpp"
#include "checks/frame_check.hpp"
#include "control_clients.hpp"
#include "wire_rings.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
/// A run that has not come to its end by then hangs.
constexpr std::uint64_t kLongest_ns = 120'000 * kMs;
/// Where a peer's timer had grown long before a frame of its was dropped for the first time: three tries, each twice as long after the one before.
constexpr std::uint64_t kThreeTries_ns = 400'000 * kMs;
/// Where nothing was lost all data arrives within this time of the last fault: less than a retransmission timeout.
constexpr std::uint64_t kSoon_ns = 200 * kMs;

}  // namespace

void World::run_until(std::uint64_t until_ns) {
  while (result_.good && kernel_->run_next(until_ns)) {
  }
}

void World::stop_faults() {
  faults_stopped_ = true;
  kernel_->trace("faults stop");
  link_->faults[0] = link_->faults[1] = {};
  nic_->busy_permille = 0;
  dooms_.clear();
  stop_disturbances();
  if (bgp_plan_ != nullptr) hurry_bgp();
  for (const auto& process : kernel_->processes()) kernel_->resume(*process);
  const std::uint64_t stopped_ns = kernel_->now_ns;
  std::uint64_t last_open_ns = stopped_ns;
  // A group can still be lost in a switchover that was begun before; then there is no hurry.
  const auto limit = [this, &last_open_ns] {
    for (const Transfer& item : transfers_) {
      // A port that is used again may have come free late.
      const bool waited = item.from_port != 0 && item.opened;
      last_open_ns = std::max(last_open_ns, waited ? item.opened_ns : item.open_at_ns);
    }
    if (setup_.script != nullptr) return last_open_ns + setup_.script->within_ns();
    const bool clean =
        undisturbed_ && !setup_.lingers && deaf_for_ns() == 0 && !link_->has_disturbed() && nic_->dropped == 0;
    return last_open_ns + (clean                                ? kSoon_ns + bgp_backlog_ns()
                           : setup_.deadly_frame && setup_.deaf ? kThreeTries_ns
                                                                : kLongest_ns);
  };
  while (result_.good && !all_done() && kernel_->now_ns < limit()) kernel_->run_next(limit());
  if (!result_.good || all_done()) return;
  std::string text = "after " + std::to_string((kernel_->now_ns - last_open_ns) / kMs) + " ms without a fault";
  for (const Transfer& item : transfers_) {
    if (item.may_break || item.is_done()) continue;
    text += ", exchange " + std::to_string(item.plan.number) + (item.from_us ? " (ours)" : "") + " has not " +
            (!item.opened               ? "begun"
             : !item.received_at_server ? "all bytes at the server"
                                        : "all bytes at the client");
  }
  if (bgp_plan_ != nullptr) text += ", " + bgp_unsettled();
  violation("liveness", text);
}

/// A twin stands by, and what is on its way arrives. A frame that was sent again may be a deadly one.
void World::come_to_rest() {
  constexpr std::uint64_t kRest_ns = 8 * kMs;
  do {
    wait_for_supervisor();
    run_until(kernel_->now_ns + kRest_ns);
  } while (result_.good && somebody_hangs());
}

void World::finish() {
  come_to_rest();
  if (result_.good && bgp_plan_ != nullptr) settle_bgp();
  while (result_.good && setup_.script != nullptr && kernel_->now_ns < setup_.script->rests_from_ns())
    run_until(setup_.script->rests_from_ns());
  if (!result_.good) return;
  if (clients_ != nullptr) {
    // Requests that a turn has not come to yet.
    const std::uint64_t limit = kernel_->now_ns + 100 * kMs;
    while (result_.good && clients_->waiting() != 0 && kernel_->now_ns < limit) kernel_->run_next(limit);
    totals_.requests += clients_->requests();
    totals_.answers += clients_->answers();
    if (clients_->waiting() != 0) violation("control", "a request is not answered within 100 ms of rest");
  }
  if (strangers_ != nullptr) {
    totals_.strangers += strangers_->refused();
    const std::uint64_t limit = kernel_->now_ns + 100 * kMs;
    while (result_.good && strangers_->left_behind() != 0 && kernel_->now_ns < limit) kernel_->run_next(limit);
    if (strangers_->left_behind() != 0)
      violation("strangers", std::to_string(strangers_->left_behind()) + " descriptors of theirs are still held");
  }
  // A switchover that began before the faults stopped comes to its end first: whoever hands over is a primary until it has.
  const std::uint64_t handed_over_by = kernel_->now_ns + 100 * kMs;
  while (result_.good && primaries() > 1 && kernel_->now_ns < handed_over_by) kernel_->run_next(handed_over_by);
  if (result_.good && somebody_hangs()) come_to_rest();
  check_at_rest();
  if (result_.good && bgp_plan_ != nullptr) finish_bgp();
  if (!result_.good) return;
  finishing_ = true;
  if (bgp_plan_ != nullptr) bgp_peer()->finish();
  // The twins go first, then the primary closes what is left. One that had only started may become the twin that is handed over to, and
  // is told then.
  std::set<std::int32_t> told;
  const auto tell = [this, &told](bool primary) {
    for (const auto& process : kernel_->processes()) {
      Context* const its = context(*process);
      if (its == nullptr || its->primary != primary || !told.insert(process->pid).second) continue;
      kernel_->terminate(*process);
      // Told once, right behind its twin, it waits five seconds for a successor: runs in which one event tells both are about that.
      // Everywhere else those turns would be as many more places to die at, all alike.
      if (primary && !setup_.terminations) kernel_->terminate(*process);
    }
  };
  for (const bool primary : {false, true}) {
    tell(primary);
    if (setup_.deaths_at_end) doom_at_end();
    const std::uint64_t limit = kernel_->now_ns + 10'000 * kMs;
    const auto left = [this, primary] {
      return std::any_of(contexts_.begin(), contexts_.end(),
                         [primary](const auto& item) { return item.second.primary == primary; });
    };
    while (result_.good && left() && kernel_->now_ns < limit) {
      kernel_->run_next(limit);
      if (primary) tell(primary);
    }
    if (result_.good && left())
      violation("an orderly end", std::string("a ") + (primary ? "primary" : "twin") + " does not end on SIGTERM");
    if (result_.good) run_until(kernel_->now_ns + 4 * kMs);
  }
}

std::size_t World::primaries() const {
  return static_cast<std::size_t>(
      std::count_if(contexts_.begin(), contexts_.end(), [](const auto& item) { return item.second.primary; }));
}

/// Every frame is somewhere, once.
void World::check_frames() {
  for (std::uint32_t queue = 0; queue < nic_->options().queues; ++queue) {
    const WireRings<NoProbe> rings(nic_->view(queue), nic_->rings(queue));
    const FrameCensus census = rings.census();
    // Only the first one sends.
    const std::size_t in_flight = queue == 0 ? nic_->in_flight() : 0;
    if (census.sum() == census.total && census.duplicated == 0 && census.missing == in_flight && census.staged == 0)
      continue;
    violation("every frame once (I6)",
              "of " + std::to_string(census.total) + " frames of queue " + std::to_string(queue) + ", " +
                  std::to_string(census.free) + " are free, " + std::to_string(census.fill) + " wait to be filled, " +
                  std::to_string(census.receiving) + " are received, " + std::to_string(census.held) + " held, " +
                  std::to_string(census.staged) + " staged, " + std::to_string(census.transmitting) + " being sent, " +
                  std::to_string(census.missing) + " nowhere, " + std::to_string(census.duplicated) +
                  " twice; the kernel has " + std::to_string(in_flight));
  }
}

void World::check_at_rest() {
  check_frames();
  if (bgp_plan_ != nullptr) check_bgp_at_rest();
  if (primaries() != 1) violation("one speaker (I5)", std::to_string(primaries()) + " primaries at rest");
  // A turn that takes half of a peer's shortest timer comes of a machine that has something slower to do: the timer may run out.
  constexpr std::uint64_t kPatience_ns = 100 * kMs;
  if (undisturbed_ && longest_turn_ns_ < kPatience_ns && !link_->has_disturbed() && nic_->dropped == 0) {
    if (const std::uint64_t again = peer_->stack().statistics().retransmissions; again != 0)
      violation("nothing is lost (I4)",
                "the peer has sent " + std::to_string(again) + " segments again although the wire has lost none");
  }
}

}  // namespace tandem::sim
