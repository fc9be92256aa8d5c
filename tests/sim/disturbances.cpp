// SPDX-License-Identifier: BSD-3-Clause
//
// What happens to a run beside deaths, switchovers and pauses. What is off draws nothing.
#include <algorithm>

#include "attach_clients.hpp"
#include "bgp_run/peer.hpp"
#include "channel/attach_protocol.hpp"
#include "checks/wire_judge.hpp"
#include "control_clients.hpp"
#include "log/log_limits.hpp"
#include "packet_too_big.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
/// Longer than a newcomer waits for a twin that may still take over.
constexpr std::uint64_t kStartsAgain_ns = 5'000 * kMs;
/// Less than the time for which the later of two that are told to end waits for a successor.
constexpr std::uint64_t kOneEvent_ns = 4'000 * kMs;

bool lives(const Process& process) {
  return process.state != Process::State::dead && process.state != Process::State::ended;
}

}  // namespace

void World::prepare_disturbances() {
  kernel_->sequence_numbers_wrap = setup_.sequence_numbers_wrap;
  link_->neighbour_delay_ns = setup_.neighbour_delay_ns;
  link_->too_long = [this](Direction direction, Bytes frame, std::uint32_t mtu) {
    tell_too_long(direction, frame, mtu);
  };
  if (setup_.control_clients) clients_ = std::make_unique<ControlClients>(*kernel_, setup_.seed);
  if (setup_.attach_clients) strangers_ = std::make_unique<AttachClients>(*kernel_, setup_.seed);
  if (setup_.short_memory_permille != 0) undisturbed_ = false;
  ha::log_limits = {};
  ha::log_formats = ha::kLogFormats;
  if (setup_.log_bytes != 0) {
    ha::log_limits.least_bytes = setup_.log_bytes;
    ha::log_limits.turn_write_bytes = 16'384;
    ha::log_limits.fixed_reserve_bytes = 16'384;
    ha::log_limits.snapshot_turn_bytes = 256;
    ha::log_limits.snapshot_part_bytes = 64;
  }
}

/// A failover at the other end, or a card that was changed.
void World::move_peer() {
  const MacAddress from = peer_->mac();
  MacAddress to = from;
  ++to.octets[4];
  move_check_->moved(address_of(setup_.v6, 2).address, from, to);
  kernel_->trace("the peer moves from %s to %s", from.to_string().c_str(), to.to_string().c_str());
  // What it had on its way it sends again from there.
  if (peer_->has_outstanding()) undisturbed_ = false;
  peer_->move(to);
}

bool World::is_for_peer(Bytes frame) {
  const MacAddress mac = peer_->mac();
  const bool is_for_it = frame.size() >= mac.octets.size() &&
                         ((frame[0] & 1) != 0 || std::equal(mac.octets.begin(), mac.octets.end(), frame.begin()));
  if (!is_for_it) {
    ++link_->lost;
    kernel_->trace("  nobody is at the frame's link address");
  }
  return is_for_it;
}

bool World::disturb_further(Process& primary, Process* twin) {
  if (setup_.peer_moves && bgp_plan_ == nullptr && script_.one_in(2)) move_peer();
  if (setup_.mtu_changes && script_.one_in(4)) change_mtu();
  if (setup_.slow_twins && twin != nullptr && script_.one_in(3)) {
    slow_down(*twin);
    return true;
  }
  // Neighbours of a speaker rightly end their sessions while nobody is there.
  if (setup_.stopped_twins && bgp_plan_ == nullptr && twin != nullptr && script_.one_in(2)) {
    stop_for_good(primary, *twin);
    return true;
  }
  if (setup_.terminations && twin != nullptr && script_.one_in(4)) {
    terminate_both(primary.pid, twin->pid);
    return true;
  }
  if (setup_.terminations && script_.one_in(4)) {
    ++under_way_;
    const std::int32_t pid = twin != nullptr && script_.one_in(2) ? twin->pid : primary.pid;
    kernel_->after(script_.skewed(3 * kMs), [this, pid] {
      --under_way_;
      Process* const process = kernel_->find(pid);
      if (process != nullptr && !faults_stopped_) terminate(*process);
    });
    return true;
  }
  return false;
}

/// More than a primary bears with a twin that stands still.
constexpr std::uint64_t kRemovedAfter_ns = 505 * kMs;

/// A twin stands still for good, and some time later, when it has been removed or before, its primary dies: somebody else is to be
/// able to start.
void World::stop_for_good(Process& primary, Process& twin) {
  ++under_way_;
  undisturbed_ = false;
  kernel_->pause(twin);
  const std::uint64_t dies_after = script_.one_in(2)
                                       ? script_.skewed(20 * kMs)
                                       : script_.between(kRemovedAfter_ns + 5 * kMs, kRemovedAfter_ns + 200 * kMs);
  // In between somebody may have become the next twin, while the first one still waits for what it was waiting for.
  if (dies_after > kRemovedAfter_ns) kernel_->after(kRemovedAfter_ns, [this] { spawn_node(); });
  kernel_->after(dies_after, [this, pid = primary.pid] {
    if (Process* const process = kernel_->find(pid)) kill(*process, "with its twin stopped");
    kernel_->after(kMs, [this] { spawn_node(); });
    kernel_->after(kStartsAgain_ns, [this, died_ns = kernel_->now_ns] {
      --under_way_;
      if (kernel_->speaker == nullptr && spoke_ns_ < died_ns)
        violation("somebody can start", "a twin that stands still keeps the group from starting");
    });
  });
}

/// One event that hits both, as a restart of all services does; both are started again.
void World::terminate_both(std::int32_t primary, std::int32_t twin) {
  ++under_way_;
  const bool primary_first = script_.one_in(2);
  const std::uint64_t gap = script_.skewed(100 * kMs);
  kernel_->after(script_.skewed(3 * kMs), [this, primary, twin, primary_first, gap] {
    // Whoever is told a second time is to close at once. One that has gone meanwhile may have taken the group with it.
    const bool again = told_.contains(primary) || told_.contains(twin);
    const auto is_there = [this](std::int32_t pid) {
      const Process* const process = kernel_->find(pid);
      return process != nullptr && lives(*process);
    };
    both_told_ns_ = again || !is_there(primary) || !is_there(twin) ? 0 : kernel_->now_ns;
    both_told_ = {primary, twin};
    if (Process* const process = kernel_->find(primary_first ? primary : twin)) terminate(*process);
    kernel_->after(gap, [this, pid = primary_first ? twin : primary] {
      --under_way_;
      if (Process* const process = kernel_->find(pid); process != nullptr && !faults_stopped_) terminate(*process);
    });
  });
}

/// Each of its steps takes longer.
void World::slow_down(Process& twin) {
  const std::int32_t pid = twin.pid;
  ++under_way_;
  twin.slow_ns = script_.skewed(20'000);
  kernel_->trace("process %d becomes slow", pid);
  kernel_->after(script_.skewed(20 * kMs), [this, pid] {
    --under_way_;
    Process* const process = kernel_->find(pid);
    if (process == nullptr) return;
    process->slow_ns = 0;
    kernel_->trace("process %d is as fast as it was", pid);
  });
}

void World::change_mtu() {
  const std::uint64_t which = script_.below(3);
  const auto mtu = static_cast<std::uint32_t>(script_.between(1280, 1499));
  for (const std::size_t direction : {0, 1}) {
    if (which == direction || which == 2) link_->faults[direction].mtu = mtu;
  }
  kernel_->trace("the path's MTU is %u %s", mtu, which == 0 ? "to the peer" : which == 1 ? "to us" : "both ways");
  kernel_->after(script_.skewed(30 * kMs), [this] {
    for (LinkFaults& faults : link_->faults) faults.mtu = UINT32_MAX;
    kernel_->trace("the path's MTU is what it was");
  });
}

void World::note_window(const Packet& from_peer) {
  if (!setup_.refuses_probes || from_peer.kind != Packet::Kind::tcp || from_peer.has(Packet::kRst)) return;
  const std::pair ports{from_peer.source_port, from_peer.destination_port};
  if (from_peer.window == 0)
    shut_.insert(ports);
  else
    shut_.erase(ports);
}

/// As Linux does. Our own stack takes what lies in the room that is left below a window which scaling has rounded down to nothing, and
/// an ACK that stands behind such a byte is within what was let in before.
bool World::refuses(const Packet& to_peer) const {
  return setup_.refuses_probes && to_peer.kind == Packet::Kind::tcp && to_peer.payload == 1 &&
         shut_.contains({to_peer.destination_port, to_peer.source_port});
}

void World::tell_too_long(Direction direction, Bytes frame, std::uint32_t mtu) {
  const std::vector<std::uint8_t> answer = packet_too_big(frame, mtu);
  // Some routers say nothing.
  if (answer.empty() || script_.one_in(4)) return;
  // IPv6 fragments what follows, and the oracle does not put fragments together.
  if (setup_.v6 || bgp_plan_ != nullptr) wire_judge_->stop();
  kernel_->after(setup_.link_delay_ns, [this, direction, answer] {
    if (direction == Direction::from_peer)
      peer_->arrive(answer);
    else
      nic_->arrive(answer);
  });
}

void World::terminate(Process& process) {
  if (!lives(process)) return;
  ++totals_.terminations;
  // A second time, or somebody who has started since: that is another event.
  if (!told_.insert(process.pid).second || !std::ranges::count(both_told_, process.pid)) both_told_ns_ = 0;
  kernel_->terminate(process);
}

/// It closes all of its connections, whether everything has been said on them or not.
void World::begin_close(const Process& process) {
  if (setup_.script != nullptr) return;
  closing_ = process.pid;
  if (finishing_) return;
  // Whoever is started again needs some milliseconds.
  if (both_told_ns_ != 0 && kernel_->now_ns - both_told_ns_ < kOneEvent_ns)
    violation("one event does not end both", "process " + std::to_string(process.pid) + " closes its connections " +
                                                 std::to_string((kernel_->now_ns - both_told_ns_) / kMs) +
                                                 " ms after both were told to end");
  undisturbed_ = false;
  for (Transfer& transfer : transfers_) transfer.may_break = transfer.may_break || transfer.opened;
  if (bgp_plan_ != nullptr) bgp_peer()->may_break(true);
}

/// With its process the group ends: a twin that has joined at the last moment sees its socket close, and starts anew.
void World::end_close(const Process& process) {
  if (closing_ != process.pid) return;
  closing_ = 0;
  if (!finishing_) lose_group(process, totals_.groups_closed);
}

void World::doom_at_start() {
  if (!setup_.deaths_at_start) return;
  constexpr const char* kPlaces[] = {"start.device",    "start.claimed",   "start.stack",  "start.active",
                                     "attach.accepted", "attach.joining",  "attach.begun", "attach.welcomed",
                                     "twin.hello",      "twin.mapped",     "twin.device",  "twin.ready",
                                     "snapshot.part",   "attach.accepted", "snapshot.end", "attach.member"};
  target_ = step_of(kPlaces[script_.below(std::size(kPlaces))]);
  target_passes_ = 0;
  ++under_way_;
  kernel_->after(8 * kMs, [this] {
    if (target_ == kNoStep) return;
    target_ = kNoStep;
    --under_way_;
  });
}

void World::doom_at_end() {
  for (const auto& process : kernel_->processes()) {
    if (!lives(*process) || !process->signals || process->signals->pending == 0 || script_.one_in(3)) continue;
    if (script_.one_in(3)) {
      static const Step began = step_of("close.began");
      target_ = began;
      target_passes_ = 0;
      ++under_way_;
    } else {
      doom(*process, Doom::What::die);
    }
  }
}

void World::poke_further() {
  if (clients_ != nullptr) {
    if (!faults_stopped_ && script_.one_in(3)) clients_->come(setup_.switchovers);
    clients_->look();
  }
  if (strangers_ != nullptr && !faults_stopped_) {
    if (script_.one_in(3)) strangers_->come();
    strangers_->look();
  }
  if (setup_.syn_flood && !faults_stopped_) flood();
  // Nobody stands by to take over: then it closes its connections in good order.
  if (setup_.terminations && !faults_stopped_ && closing_ == 0 && kernel_->speaker != nullptr && script_.one_in(40)) {
    Context* const its = context(*kernel_->speaker);
    if (its != nullptr && its->primary && !has_member(*kernel_->speaker)) terminate(*kernel_->speaker);
  }
}

void World::step_further(Process& process, Step step) {
  static const Step turn = step_of("turn.begun");
  static const Step applied = step_of("twin.applied");
  static const Step hello = step_of("twin.hello");
  static const Step start = step_of("start.device");
  // Who starts, or joins anew, cannot do without.
  if (step == hello || step == start) process.arena->be_short(0, 0);
  if (faults_stopped_ || (step != turn && step != applied)) return;
  process.arena->be_short(setup_.seed + static_cast<std::uint64_t>(process.pid), setup_.short_memory_permille);
}

void World::at_preemption(Process& process) {
  const HeapScope heap;
  process.preempt_at_step = UINT64_MAX;
  if (faults_stopped_) return;
  ++totals_.preemptions;
  process.preempt_at_step = process.steps + 1 + preemption_.below(setup_.preempt_within_steps);
  const std::uint64_t delay = preemption_.skewed(setup_.preempt_ns);
  const HeapScope back(process.arena);
  kernel_->yield(delay);
}

void World::stop_disturbances() {
  link_->neighbour_delay_ns = 0;
  if (clients_ != nullptr) clients_->hang_up();
  if (strangers_ != nullptr) strangers_->hang_up();
  for (const auto& process : kernel_->processes()) {
    process->slow_ns = 0;
    if (process->arena != nullptr) process->arena->be_short(0, 0);
  }
}

}  // namespace tandem::sim
