// SPDX-License-Identifier: BSD-3-Clause
//
// World's part in runs of tandem-bgpd: its processes run that application, and the peer its neighbours.
#include "world.hpp"
#include "bgp_run/peer.hpp"
#include "bgp_run/program.hpp"

namespace tandem::sim {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

}  // namespace

void World::prepare_bgp(Peer::Options& peer) {
  bgp_plan_ = std::make_unique<BgpPlan>(BgpPlan::draw(setup_));
  BgpPeer::Script script;
  script.seed = setup_.seed;
  script.begin_ns = start_ns_ + 2 * kMs;
  script.changes = setup_.bgp_changes;
  script.restarts = setup_.bgp_restarts && bgp_plan_->clean_wire;
  script.every_ns = setup_.disturbances * 8 * kMs / (setup_.bgp_changes + 1);
  peer.addresses.clear();
  for (const IpPrefix& own : {bgp_plan_->v4, bgp_plan_->v6}) {
    IpPrefix other = own;
    other.address.octets[own.address.is_v6() ? 15 : 3] = 2;
    peer.addresses.push_back(other);
  }
  for (const BgpPlan::Neighbour& neighbour : bgp_plan_->neighbours) {
    if (std::find(peer.addresses.begin(), peer.addresses.end(), neighbour.address) == peer.addresses.end())
      peer.addresses.push_back(neighbour.address);
  }
  peer.make_program = [this, script] { return new BgpPeer(*kernel_, *bgp_plan_, script); };
}

BgpPeer* World::bgp_peer() const { return bgp_plan_ == nullptr ? nullptr : static_cast<BgpPeer*>(peer_->program()); }

std::vector<IpPrefix> World::our_addresses() const { return {bgp_plan_->v4, bgp_plan_->v6}; }

std::unique_ptr<Hosted> World::make_bgp_program(Process& process) {
  return std::make_unique<BgpProgram>(*this, process, *bgp_plan_);
}

std::string World::bgp_unsettled() const { return bgp_peer()->unsettled(); }

void World::hurry_bgp() {
  bgp_peer()->hurry();
  // Where little happens a primary would hear of it late, and hand over while everything is looked at.
  for (auto& [pid, its] : contexts_) its.switchover_wanted = false;
}

/// How long a process that looks at the wire only now and then may need for what the neighbours have announced meanwhile: each change
/// comes as one frame, and is told to every neighbour, whose acknowledgement is another; it may take one frame at a time.
std::uint64_t World::bgp_backlog_ns() const {
  if (bgp_plan_ == nullptr) return 0;
  // Whatever a table is gone through for, again and again.
  const std::uint64_t tables_ns = bgp_plan_->bulk ? 20'000 * std::uint64_t{setup_.route_cost_ns} : 0;
  if (!setup_.lazy) return tables_ns;
  return tables_ns + setup_.bgp_changes * (1 + bgp_plan_->neighbours.size()) * setup_.poke_interval_ns;
}

/// Where TCP may have to repair something, what is under way can take a while.
bool World::is_bgp_settled() const {
  const bool clean = undisturbed_ && !link_->has_disturbed() && nic_->dropped == 0;
  return bgp_peer()->is_settled(clean ? 20 * kMs : 2000 * kMs);
}

/// A group that was told to end while there were faults may have closed its sessions since: the next one is waited for, too.
void World::settle_bgp() {
  const std::uint64_t limit = kernel_->now_ns + 120'000 * kMs;
  bgp_settled_ = is_bgp_settled();
  if (bgp_settled_) return;
  while (result_.good && !bgp_settled_ && kernel_->now_ns < limit) kernel_->run_next(limit);
  if (result_.good && !bgp_settled_) return violation("liveness", "120 s after the rest began, " + bgp_unsettled());
  run_until(kernel_->now_ns + 8 * kMs);
}

/// What every process has in its tables, too.
void World::check_bgp_at_rest() {
  if (const std::string text = bgp_peer()->amiss(); !text.empty()) return violation("routes at rest", text);
  for (auto& [pid, its] : contexts_) {
    // A newcomer has not got everything.
    if (!its.primary && !has_applied_all(*its.process)) continue;
    std::string text;
    {
      const HeapScope heap(its.process->arena);
      const std::string wrong = static_cast<const BgpProgram*>(its.application)->wrong_tables(*bgp_peer());
      const HeapScope ours;
      text.assign(wrong.data(), wrong.size());
    }
    if (!text.empty())
      return violation("routes at rest", std::string(its.primary ? "the primary" : "the twin") + ": " + text);
  }
}

void World::finish_bgp() {
  const std::uint64_t hold_ns = bgp_plan_->hold_s * 1000 * kMs;
  if (bgp_plan_->long_rest) {
    kernel_->trace("all is quiet for longer than the hold time");
    run_until(kernel_->now_ns + hold_ns + 500 * kMs);
    if (result_.good) check_bgp_at_rest();
  }
  if (!result_.good || !bgp_plan_->falls_silent) return;
  const std::size_t silent = script_.below(bgp_plan_->neighbours.size());
  bgp_peer()->fall_silent(silent);
  std::uint64_t limit = kernel_->now_ns + hold_ns + 100 * kMs;
  Process* const primary = kernel_->speaker;
  if (script_.one_in(2) && has_member(*primary)) {
    // The next process has to notice, and counts from when it became primary.
    const std::uint64_t after = script_.below(hold_ns - 100 * kMs);
    limit += after;
    kernel_->after(after, [this, pid = primary->pid] {
      if (Process* const process = kernel_->find(pid)) kill(*process, "beside a silent neighbour");
    });
  }
  while (result_.good && !bgp_peer()->was_noticed(silent) && kernel_->now_ns < limit) kernel_->run_next(limit);
  // What follows from it is told to the others.
  if (result_.good) run_until(kernel_->now_ns + 100 * kMs);
  if (!result_.good) return;
  if (!bgp_peer()->was_noticed(silent))
    return violation("the hold time", "a neighbour that says nothing is not sent a NOTIFICATION when it has passed");
  check_bgp_at_rest();
}

}  // namespace tandem::sim
