// SPDX-License-Identifier: BSD-3-Clause
//
// What a seed does to whom: deaths, pauses and stalls, switchovers, and a wire that carries nothing for a while.
#include "bgp_run/peer.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

}  // namespace

/// A twin has just become a member: the next thing may happen.
void World::disturb(Process& primary) {
  if (faults_stopped_ || disturbances_left_ == 0) return;
  // Else it is over before the windows are shut and probed.
  if (setup_.refuses_probes && kernel_->now_ns < start_ns_ + deaf_for_ns()) return;
  // Most often there are sessions that can be disturbed.
  if (bgp_plan_ != nullptr && !bgp_peer()->is_established(0) && !script_.one_in(8)) return;
  --disturbances_left_;
  const std::int32_t pid = primary.pid;
  ha::SharedGroup* const group = group_of(primary);
  Process* twin = nullptr;
  for (const ha::ReaderSlot& reader : group->readers) {
    if (reader.state.load() == ha::ReaderState::member)
      twin = kernel_->find(static_cast<std::int32_t>(reader.identity.load()));
  }
  const std::uint64_t roll = script_.below(100);
  if (disturb_further(primary, twin)) return;
  if (setup_.chosen_steps && script_.one_in(3)) return doom_at_some_step();
  if (setup_.partitions && script_.one_in(4)) partition();
  if (setup_.stalls && twin != nullptr && script_.one_in(2)) return doom(*twin, Doom::What::stall);
  if (roll < 10 && setup_.switchovers) {
    ++under_way_;
    kernel_->after(script_.skewed(3 * kMs), [this, pid] {
      --under_way_;
      Process* const process = kernel_->find(pid);
      if (process == nullptr || faults_stopped_) return;
      if (Context* const its = context(*process)) its->switchover_wanted = true;
    });
  } else if (roll < 20 && setup_.twin_deaths && twin != nullptr) {
    doom(*twin, Doom::What::die);
  } else if (roll < 35 && setup_.pauses) {
    doom(script_.one_in(2) || twin == nullptr ? primary : *twin, Doom::What::pause);
  } else if (roll < 50) {
    ++under_way_;
    kernel_->after(script_.skewed(10 * kMs), [this, pid] {
      --under_way_;
      Process* const process = kernel_->find(pid);
      if (process != nullptr && !faults_stopped_) kill(*process, "by the clock");
    });
  } else {
    doom(primary, Doom::What::die);
  }
}

/// One direction of the wire, or both, carry nothing for a while. It goes on beside whatever happens to the processes.
void World::partition() {
  const std::uint64_t which = script_.below(3);
  for (const std::size_t direction : {0, 1}) link_->faults[direction].partitioned = which == direction || which == 2;
  kernel_->trace("the wire carries nothing %s", which == 0 ? "to the peer" : which == 1 ? "to us" : "either way");
  kernel_->after(script_.skewed(30 * kMs), [this] {
    for (LinkFaults& faults : link_->faults) faults.partitioned = false;
    kernel_->trace("the wire carries again");
  });
}

/// Places that few processes pass are as likely as others.
void World::doom_at_some_step() {
  if (target_ != kNoStep) return;
  target_ = static_cast<Step>(script_.below(kSteps));
  target_passes_ = script_.skewed(6);
  ++under_way_;
  // What a step needs may have to happen first.
  if (script_.one_in(3)) {
    for (auto& [pid, its] : contexts_) its.switchover_wanted = its.primary;
  }
  kernel_->after(8 * kMs, [this] {
    if (target_ == kNoStep) return;
    target_ = kNoStep;
    --under_way_;
  });
}

/// At a step to come. One that takes few steps meets its end later, wherever it is then.
void World::doom(Process& process, Doom::What what) {
  process.stop_at_step = process.steps + 1 + script_.skewed(setup_.die_within_steps);
  under_way_ += dooms_.contains(process.pid) ? 0 : 1;
  // A twin that takes nothing for longer than half a second is removed.
  dooms_[process.pid] = {what, what == Doom::What::die     ? 0
                               : what == Doom::What::stall ? script_.between(600 * kMs, 1000 * kMs)
                               : script_.one_in(2)         ? script_.skewed(20 * kMs)
                                                           : script_.between(50 * kMs, 400 * kMs)};
  kernel_->after(10 * kMs, [this, pid = process.pid] {
    Process* const late = kernel_->find(pid);
    if (late != nullptr && !faults_stopped_ && dooms_.contains(pid)) kill(*late, "by the clock, at last");
    // One that was dead already when it was chosen: a long run goes on to the next.
    if (setup_.stretch() > 1 && (late == nullptr || late->state == Process::State::dead))
      under_way_ -= dooms_.erase(pid);
  });
}

void World::at_stop(Process& process, Step step) {
  const HeapScope heap;
  process.stop_at_step = UINT64_MAX;
  if (setup_.script != nullptr) {
    if (!setup_.script->dies(*this, process, step)) return;
    ++totals_.died_at[step];
    kill(process, "by the script");
  }
  const auto at = dooms_.find(process.pid);
  if (at == dooms_.end()) return;
  const Doom doom = at->second;
  dooms_.erase(at);
  --under_way_;
  if (faults_stopped_ && !finishing_) return;
  if (doom.what == Doom::What::die) {
    ++totals_.died_at[step];
    kill(process, "at its step");
  } else {
    undisturbed_ = false;
    const std::int32_t pid = process.pid;
    ++under_way_;
    kernel_->after(doom.for_ns, [this, pid] {
      --under_way_;
      if (Process* const paused = kernel_->find(pid)) kernel_->resume(*paused);
    });
    const HeapScope back(process.arena);
    kernel_->pause(process);
  }
}

void World::kill(Process& process, const char* why) {
  if (process.state == Process::State::dead || process.state == Process::State::ended) return;
  kernel_->trace("%s: the end of process %d", why, process.pid);
  kernel_->kill(process);
}

}  // namespace tandem::sim
