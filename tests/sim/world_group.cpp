// SPDX-License-Identifier: BSD-3-Clause
//
// Who has the group: its owner, its members, who has lost or taken over what, and whether that was to be.
#include <algorithm>

#include "bgp_run/peer.hpp"
#include "checks/call_order.hpp"
#include "checks/epoch_check.hpp"
#include "checks/frame_check.hpp"
#include "checks/twin_view.hpp"
#include "checks/wire_judge.hpp"
#include "members/owner_claim.hpp"
#include "tandem/node.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

}  // namespace

ha::SharedGroup* World::group_of(const Process& process) {
  for (const Process::Mapped& item : process.mapped) {
    if (item.memory->name == "tandem-group") return reinterpret_cast<ha::SharedGroup*>(item.memory->data);
  }
  return nullptr;
}

bool World::has_member(const Process& primary) {
  const ha::SharedGroup* const group = group_of(primary);
  return group != nullptr &&
         std::any_of(group->readers.begin(), group->readers.end(),
                     [](const ha::ReaderSlot& reader) { return reader.state.load() == ha::ReaderState::member; });
}

bool World::is_member(const Process& twin) {
  const ha::SharedGroup* const group = group_of(twin);
  return group != nullptr &&
         std::any_of(group->readers.begin(), group->readers.end(), [&twin](const ha::ReaderSlot& reader) {
           return reader.state.load() == ha::ReaderState::member &&
                  reader.identity.load() == static_cast<std::uint64_t>(twin.pid);
         });
}

void World::note_removed(const ha::SharedGroup& group) {
  for (const ha::ReaderSlot& reader : group.readers) {
    if (reader.state.load() == ha::ReaderState::ineligible)
      removed_at_.try_emplace(static_cast<std::int32_t>(reader.identity.load()), group.published.load());
  }
}

/// It was removed, and has fallen so far behind that its log may be written over where it reads.
bool World::is_written_over(const Process& twin) const {
  const ha::SharedGroup* const group = group_of(twin);
  if (group == nullptr) return false;
  // Behind its removal the log lacks what nobody was there for.
  const auto removed = removed_at_.find(twin.pid);
  if (removed != removed_at_.end() && group->published.load() > removed->second) return true;
  const auto identity = static_cast<std::uint64_t>(twin.pid);
  for (const ha::ReaderSlot& reader : group->readers)
    if (reader.identity.load() == identity)
      return reader.state.load() == ha::ReaderState::ineligible &&
             group->published.load() - reader.position.load() > group->log_bytes / 2;
  // Its place is somebody else's, who may have been there for long.
  return group->owners[group->owner.load() % ha::kOwnerSlots].identity.load() != identity;
}

/// And has taken everything that is published.
bool World::has_applied_all(const Process& twin) {
  const ha::SharedGroup* const group = group_of(twin);
  return group != nullptr &&
         std::any_of(group->readers.begin(), group->readers.end(), [&twin, group](const ha::ReaderSlot& reader) {
           return reader.state.load() == ha::ReaderState::member &&
                  reader.identity.load() == static_cast<std::uint64_t>(twin.pid) &&
                  reader.position.load() == group->published.load();
         });
}

/// Whether somebody is left who has the connections: the living owner, or a member that may be promoted.
bool World::group_survives(const Process& dead) {
  const ha::SharedGroup* group = group_of(dead);
  if (group == nullptr && (setup_.script != nullptr || finishing_)) return true;
  // One that ended in good order has given it back; others may have it.
  for (const auto& other : kernel_->processes()) {
    if (group == nullptr && other.get() != &dead && other->state != Process::State::dead) group = group_of(*other);
  }
  if (group == nullptr) return false;
  const auto alive = [this, &dead](std::uint64_t identity) {
    const Process* const process = kernel_->find(static_cast<std::int32_t>(identity));
    return process != nullptr && process != &dead && process->state != Process::State::dead &&
           process->state != Process::State::ended;
  };
  const ha::OwnerSlot& owner = group->owners[group->owner.load() % ha::kOwnerSlots];
  // Whoever handed over still has everything until the twin has taken it.
  if (owner.life.word.load() != ha::kOwnerTaken && alive(owner.identity.load())) return true;
  return std::any_of(group->readers.begin(), group->readers.end(), [&alive](const ha::ReaderSlot& reader) {
    const ha::ReaderState state = reader.state.load();
    return (state == ha::ReaderState::member || state == ha::ReaderState::promoted) && alive(reader.identity.load());
  });
}

void World::lose_group(const Process& process, std::uint64_t& counter) {
  const HeapScope heap;
  ++counter;
  undisturbed_ = false;
  deadly_deaths_ = 0;
  // Whoever begins anew has nobody's connections.
  both_told_ns_ = 0;
  kernel_->trace("nobody is left who has the connections");
  frame_check_->forget();
  twin_view_->forget();
  call_order_->forget();
  epoch_check_->forget();
  wire_judge_->stop();
  for (Transfer& transfer : transfers_) transfer.may_break = transfer.may_break || transfer.opened;
  if (bgp_plan_ != nullptr) bgp_peer()->may_break(false);
  if (setup_.script != nullptr) setup_.script->group_lost(*this, process);
}

void World::on_death(Process& process) {
  const Context* const its = context(process);
  ++(its != nullptr && its->primary ? totals_.deaths : totals_.twin_deaths);
  after_death(process);
}

void World::after_death(const Process& process) {
  const HeapScope heap;
  if (setup_.script != nullptr) setup_.script->gone(*this, process);
  // Killed before its twin has found it hung: nobody can know what of.
  if (process.hung && !process.fenced && deadly_deaths_ != 0) --deadly_deaths_;
  if (!group_survives(process)) lose_group(process, totals_.groups_lost);
  end_close(process);
  contexts_.erase(process.pid);
  under_way_ -= dooms_.erase(process.pid);
  kernel_->after(kMs / 2 + script_.skewed(setup_.respawn_within_ns), [this] { spawn_node(); });
}

void World::on_end(Process& process) {
  const HeapScope heap;
  // Twins that were removed and stand still hold every place.
  const bool no_place = (setup_.stalls || setup_.stopped_twins) && process.exit_code == exit_code::kBusy;
  const bool expected =
      process.exit_code == exit_code::kOk || process.exit_code == exit_code::kTwinAttached || no_place;
  if (!expected)
    violation("exit code",
              "process " + std::to_string(process.pid) + " ends with code " + std::to_string(process.exit_code));
  for (const Ref<Object>& descriptor : process.descriptors) {
    if (descriptor) violation("descriptors (I6)", "a process that ended in good order left a descriptor open");
  }
  if (!process.mapped.empty()) violation("memory (I6)", "a process that ended in good order left memory mapped");
  if (process.arena->live_blocks() != 0)
    violation("memory (I6)", "a process that ended in good order left " + std::to_string(process.arena->live_blocks()) +
                                 " blocks (" + std::to_string(process.arena->live_bytes()) +
                                 " bytes) of its heap in use");
  after_death(process);
}

void World::on_fence(Process& by, Process& process) {
  ++totals_.hangs;
  process.fenced = true;
  kernel_->trace("the twin takes process %d for hung", process.pid);
  const ha::SharedGroup* const group = group_of(by);
  const bool holds = std::any_of(kernel_->holders.begin(), kernel_->holders.end(),
                                 [&process](const Holder* holder) { return holder->pid == process.pid; });
  // A newcomer ends whoever keeps what is left of a group.
  if (group == nullptr && holds) return;
  const auto owner = group != nullptr ? group->owners[group->owner.load() % ha::kOwnerSlots].identity.load() : 0;
  if (static_cast<std::uint64_t>(process.pid) != owner)
    violation("no signal to a stranger", "process " + std::to_string(by.pid) + " kills process " +
                                             std::to_string(process.pid) + ", which is not the owner it follows");
}

/// A wake-up reaches one waiter. Whoever may take over is to have one of its own, and not to find out when it next looks.
void World::on_owner_marked(const ha::LifeWord& life) {
  if (!kernel_) return;
  for (const auto& process : kernel_->processes()) {
    const ha::SharedGroup* const group = group_of(*process);
    const Context* const its = context(*process);
    if (group == nullptr || its == nullptr || its->primary || process->paused || !is_member(*process)) continue;
    if (&group->owners[group->owner.load() % ha::kOwnerSlots].life == &life) notices_[process->pid] = kernel_->now_ns;
  }
}

void World::check_notice(const Process& process) {
  const auto at = notices_.find(process.pid);
  if (at == notices_.end()) return;
  // What its owner had published is applied behind that, however much it is.
  const ha::SharedGroup* const group = group_of(process);
  const std::uint64_t noticed_ns = group != nullptr ? group->last_takeover.noticed : kernel_->now_ns;
  const std::uint64_t took_ns = noticed_ns > at->second ? noticed_ns - at->second : 0;
  const bool kept_from_it =
      process.held_up_ns >= at->second || process.slow_ns != 0 || setup_.preempt_within_steps != 0;
  notices_.erase(at);
  // Less than the time after which a twin looks by itself; but it finishes the slice of the log that it is at.
  const std::uint64_t slice_ns = kMostRoutes * setup_.route_cost_ns;
  if (took_ns > kMs / 2 + 4 * setup_.wake_latency_ns + slice_ns && !kept_from_it)
    violation("an end is noticed at once", "process " + std::to_string(process.pid) +
                                               " was woken by nobody, and looked " + std::to_string(took_ns / 1000) +
                                               " us after the owner's end");
}

void World::on_speaker(Process& process, bool adopts) {
  kernel_->trace("process %d %s the wire", process.pid, adopts ? "adopts" : "opens");
  Process* const before = kernel_->speaker;
  const bool before_lives = before != nullptr && before != &process && before->state != Process::State::dead &&
                            before->state != Process::State::ended;
  const auto holds = [before](ha::SharedGroup* group) {
    return std::any_of(group->owners.begin(), group->owners.end(), [before](const ha::OwnerSlot& slot) {
      return ha::owner_fate(slot) == ha::OwnerFate::alive &&
             std::any_of(before->claims.begin(), before->claims.end(),
                         [&slot](const Process::Claim& claim) { return claim.life == &slot.life; });
    });
  };
  if (before_lives && group_of(*before) != nullptr && holds(group_of(*before)))
    violation("one speaker (I5)", "process " + std::to_string(process.pid) + " takes the wire while process " +
                                      std::to_string(before->pid) + " holds it");
  kernel_->speaker = &process;
  spoke_ns_ = kernel_->now_ns;
}

}  // namespace tandem::sim
