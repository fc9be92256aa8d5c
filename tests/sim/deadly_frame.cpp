// SPDX-License-Identifier: BSD-3-Clause
//
// A segment that ends every process which reads it. Its sender repeats it for as long as it is not acknowledged. Of one group it may
// end two processes, and its connection; nothing else.
#include <csignal>

#include "deadly_frames.hpp"
#include "owner_claim.hpp"
#include "world.hpp"

namespace tandem::sim {

void World::prepare_deadly_frame() {
  if (!setup_.deadly_frame || bgp_plan_ != nullptr) return;
  deadly_after_ = 1 + script_.skewed(20);
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
  ha::OwnerSlot& slot = *ha_slot_of(process);
  slot.crashed.store(SIGSEGV);
  ha::declare_owner_stopped(slot);
  kill(process, "a deadly frame");
}

ha::OwnerSlot* World::ha_slot_of(const Process& process) { return process.crash_slot; }

/// The connection of the deadly frame is reset; and what it was cannot be told from the frame.
bool World::deadly_victim(std::uint32_t number) {
  if (deadly_key_ == 0 || (deadly_victim_ != 0 && deadly_victim_ != number)) return false;
  deadly_victim_ = number;
  return true;
}

}  // namespace tandem::sim
