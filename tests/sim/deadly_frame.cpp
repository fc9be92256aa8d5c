// SPDX-License-Identifier: BSD-3-Clause
//
// A segment that ends every process which reads it, or holds it for ever. Its sender repeats it for as long as it is not
// acknowledged. Of one group it may end two processes, and its connection; nothing else.
#include <algorithm>
#include <csignal>

#include "members/owner_claim.hpp"
#include "roles/deadly_frames.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

constexpr std::uint32_t kSupervisedTimes = 20;  ///< detection times

}  // namespace

void World::prepare_deadly_frame() {
  if (!setup_.deadly_frame || bgp_plan_ != nullptr) return;
  deadly_after_ = 1 + script_.skewed(20);
  // Where each is in a namespace of its own nobody is ended by another, and a hang lasts.
  deadly_hangs_ = script_.one_in(3) && setup_.pid_namespaces == 0;
}

void World::on_frame(Process& process, Bytes frame) {
  if (deadly_after_ == 0 || ha_slot_of(process) == nullptr) return;
  const HeapScope heap;
  const ha::FrameIdentity identity = ha::identify(frame);
  if (deadly_key_ == 0) {
    // Not one of a handshake, and none that somebody has read already; and somebody is to be left who can survive it.
    const bool is_new = deadly_seen_.insert(identity.key).second;
    const bool may_be = is_new && identity.segment && frame.size() > 120 && !faults_stopped_ && has_member(process);
    if (!may_be || --deadly_after_ != 0) return;
    deadly_after_ = 1;
    deadly_key_ = identity.key;
    deadly_name_ = identity.to_string();
    kernel_->trace("%s ends whoever reads it", identity.to_string().c_str());
  }
  if (identity.key != deadly_key_ || finishing_) return;
  undisturbed_ = false;
  if (++deadly_deaths_ > 2)
    violation("a frame ends two processes at most",
              identity.to_string() + " ends process " + std::to_string(process.pid) + ", the third one");
  // Whoever took over knows of it, and reads it only where somebody goes on.
  if (deadly_deaths_ > 1 && !has_member(process))
    violation("a deadly frame ends no group",
              identity.to_string() + " ends process " + std::to_string(process.pid) + ", which has no twin");
  if (deadly_hangs_) return hang(process);
  ha::OwnerSlot& slot = *ha_slot_of(process);
  slot.crashed.store(SIGSEGV);
  ha::declare_owner_stopped(slot);
  kill(process, "a deadly frame");
}

/// The frames beside it, of the ring and of what comes past it, do not suffer.
void World::check_dropped(std::string_view log_line) {
  if (!log_line.starts_with("dropped ") || log_line.substr(8).starts_with(deadly_name_ + ": ")) return;
  violation("only the deadly frame is dropped", std::string(log_line));
}

void World::hang(Process& process) {
  kernel_->trace("process %d runs in circles", process.pid);
  process.hung = true;
  // With its twin gone too nobody is left who ends it but whoever has started it.
  kernel_->after(std::uint64_t{kSupervisedTimes} * setup_.detect_ms * 1'000'000, [this, pid = process.pid] {
    if (Process* const found = kernel_->find(pid)) kill(*found, "its supervisor");
  });
  const HeapScope back(process.arena);
  kernel_->pause(process);
}

bool World::somebody_hangs() const {
  return std::ranges::any_of(kernel_->processes(), [](const auto& process) {
    return process->hung && process->paused && process->state != Process::State::dead;
  });
}

/// Nobody is at rest while a process that has no twin runs in circles.
void World::wait_for_supervisor() {
  const std::uint64_t until_ns = kernel_->now_ns + 2 * std::uint64_t{kSupervisedTimes} * setup_.detect_ms * 1'000'000;
  while (result_.good && kernel_->now_ns < until_ns && somebody_hangs()) kernel_->run_next(until_ns);
}

ha::OwnerSlot* World::ha_slot_of(const Process& process) { return process.crash_slot; }

/// The connection of the deadly frame is reset; and what it was cannot be told from the frame.
bool World::deadly_victim(std::uint32_t number) {
  if (deadly_key_ == 0 || (deadly_victim_ != 0 && deadly_victim_ != number)) return false;
  deadly_victim_ = number;
  return true;
}

}  // namespace tandem::sim
