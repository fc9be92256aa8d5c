// SPDX-License-Identifier: BSD-3-Clause
#include "world.hpp"

#include <linux/futex.h>
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "application.hpp"
#include "attach_clients.hpp"
#include "bgp_run/peer.hpp"
#include "checks/call_order.hpp"
#include "checks/epoch_check.hpp"
#include "checks/frame_check.hpp"
#include "checks/twin_view.hpp"
#include "checks/wire_judge.hpp"
#include "control_clients.hpp"
#include "owner_claim.hpp"
#include "packet.hpp"
#include "tandem/node.hpp"
#include "wire_rings.hpp"

namespace tandem::sim {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
/// Longer than the peer's retransmission timeout.
constexpr std::uint64_t kSilence_ns = 700 * kMs;
/// What a client that does not read sends in the time.
constexpr std::uint32_t kDeafClientBytes = 20'000;
/// How often it does so.
constexpr std::uint64_t kDeafPoke_ns = 20 * kMs;
/// A slow one takes longer than what TCP's timers wait for, and sends again what has arrived.
constexpr std::uint64_t kLongTurn_ns = 20 * kMs;
/// A turn's handlers and application have a millisecond, and slices behind it (ha/src/primary.cpp); each may go on for a share of
/// routes when its time is up. The traffic of exchanges is not cut in slices.
constexpr std::uint64_t kMostTurn_ns = 6 * kMs;
constexpr std::uint64_t kMostRoutes = 1800;
/// More than a window, and than a queue.
constexpr std::uint64_t kBulkBytes = 300'000;
constexpr std::uint64_t kDisturbingFor_ns = 600 * kMs;

const MacAddress kOurMac{{2, 0, 0, 0, 0, 1}};
const MacAddress kPeerMac{{2, 0, 0, 0, 0, 2}};

struct KnownSteps {
  Step published = step_of("publish.after");
  Step reported = step_of("twin.reported");
  Step member = step_of("attach.member");
  Step ready = step_of("twin.ready");
  Step adopting = step_of("adopt.begin");
  Step begun = step_of("attach.begun");
  Step ineligible = step_of("attach.ineligible");
  Step dropped = step_of("attach.dropped");
  Step promoted = step_of("takeover.promoted");
  Step closing = step_of("close.began");
  Step adopted = step_of("adopt.done");
  Step linked = step_of("promote.linked");
  Step handed_over = step_of("switchover.handed_over");
  Step turn_begun = step_of("turn.begun");
  Step turn_end = step_of("turn.end");
};
const KnownSteps& known() {
  static const KnownSteps steps;
  return steps;
}

ha::SharedGroup* group_of(const Process& process) {
  for (const Process::Mapped& item : process.mapped) {
    if (item.memory->name == "tandem-group") return reinterpret_cast<ha::SharedGroup*>(item.memory->data);
  }
  return nullptr;
}

}  // namespace

IpPrefix address_of(bool v6, std::uint8_t host) {
  IpPrefix prefix;
  if (v6) {
    prefix.address.version = 6;
    prefix.address.octets = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host};
    prefix.length = 64;
  } else {
    prefix.address.octets = {10, 0, 0, host};
    prefix.length = 24;
  }
  return prefix;
}

MacAddress World::our_mac() { return kOurMac; }

World::World(const Setup& setup, Totals& totals, bool tracing)
    : setup_(setup),
      totals_(totals),
      kernel_(std::make_unique<Kernel>(*this, setup.seed)),
      script_(setup.seed, 4),
      preemption_(setup.seed, 6) {
  kernel_->tracing = tracing;
  kernel_->now_ns = start_ns_ = setup_.start_ns;
  kernel_->wake_latency_ns = setup_.wake_latency_ns;
  kernel_->pid_namespaces = setup_.pid_namespaces;
  kernel_->route_cost_ns = setup_.route_cost_ns;
  link_ = std::make_unique<Link>(*kernel_, setup_.seed,
                                 [this](Direction direction, Bytes frame) { arrive(direction, frame); });
  link_->delay_ns = setup_.link_delay_ns;
  link_->faults[0] = link_->faults[1] = setup_.faults;
  move_check_ = std::make_unique<MoveCheck>(*this);
  Nic::Options nic;
  nic.frames = setup_.nic_frames;
  nic.ring_entries = setup_.ring_entries;
  nic.mac = kOurMac;
  nic_ = std::make_unique<Nic>(*kernel_, nic, [this](Bytes frame) {
    const Packet packet = parse_packet(frame);
    if (kernel_->tracing) kernel_->trace("  we send  %s", to_string(packet, frame.size()).c_str());
    frame_check_->leaves(packet);
    check_reset(packet);
    wire_judge_->sent(frame);
    link_->send(Direction::from_us, frame);
  });
  nic_->busy_permille = setup_.busy_permille;
  nic_->moves = move_check_.get();
  Peer::Options peer;
  peer.mac = kPeerMac;
  peer.addresses = {address_of(setup_.v6, 2)};
  // Its addresses answer who asks where they are.
  if (setup_.syn_flood) peer.addresses.push_back(stranger());
  peer.window_bytes = setup_.window_bytes;
  peer.seed = setup_.seed;
  if (setup_.bgp_neighbours != 0) prepare_bgp(peer);
  peer_ = std::make_unique<Peer>(
      *kernel_, peer,
      [this](Bytes frame) {
        const Packet packet = parse_packet(frame);
        if (kernel_->tracing) kernel_->trace("  peer sends %s", to_string(packet, frame.size()).c_str());
        check_reset(packet);
        wire_judge_->sent(frame);
        link_->send(Direction::from_peer, frame);
      },
      *this);
  if (setup_.script != nullptr)
    link_->loses = [this](Direction direction, Bytes frame) {
      return setup_.script->loses(direction, parse_packet(frame));
    };
  twin_view_ = std::make_unique<TwinView>(*this);
  call_order_ = std::make_unique<CallOrder>(*this);
  frame_check_ = std::make_unique<FrameCheck>(*this);
  epoch_check_ = std::make_unique<EpochCheck>(*this);
  wire_judge_ = std::make_unique<WireJudge>(*this, bgp_plan_ != nullptr, setup_.v6);
  prepare_disturbances();
  prepare_deadly_frame();
}

World::~World() {
  // The processes go first: their descriptors refer to what is destroyed next.
  peer_.reset();
  clients_.reset();
  strangers_.reset();
  kernel_.reset();
}

// ---- Script ----

Result World::run() {
  ++totals_.runs;
  disturbances_left_ = setup_.script != nullptr ? 0 : setup_.disturbances;
  if (setup_.script != nullptr) {
    for (const Script::Item& item : setup_.script->exchanges()) add_exchange(item);
  } else {
    if (bgp_plan_ == nullptr) start_traffic();
    doom_at_start();
  }
  spawn_node();
  kernel_->after(setup_.script != nullptr ? setup_.script->twin_after_ns() : 500'000, [this] { spawn_node(); });
  kernel_->after(setup_.poke_interval_ns, [this] { poke(); });
  const std::uint64_t times = setup_.stopped_twins ? 25 : setup_.stalls ? 5 : 1;
  const std::uint64_t until = start_ns_ + times * kDisturbingFor_ns * setup_.stretch() + deaf_for_ns();
  while (result_.good && kernel_->now_ns < until && (disturbances_left_ > 0 || under_way_ > 0))
    kernel_->run_next(until);
  // Whatever was owed, and is not said again by what follows, is missed by the peer.
  if (result_.good && setup_.quiet) run_until(kernel_->now_ns + kSilence_ns);
  if (result_.good) stop_faults();
  if (result_.good) finish();
  totals_.frames += link_->carried;
  totals_.transactions_compared += twin_view_->compared();
  totals_.frames_checked += frame_check_->checked();
  totals_.exchanges += transfers_.size();
  for (const auto& process : kernel_->processes()) totals_.steps += process->steps;
  for (const Transfer& item : transfers_)
    result_.unfinished += item.received_at_client && item.received_at_server ? 0 : 1;
  result_.trace = std::move(kernel_->trace_text);
  return std::move(result_);
}

void World::start_traffic() {
  const std::uint32_t flags_all =
      exchange_flag::kServerCloses | exchange_flag::kClientHalfCloses | exchange_flag::kPaced;
  for (std::uint32_t i = 0; i < setup_.transfers; ++i) {
    Transfer& transfer = transfers_.emplace_back();
    transfer.plan.number = i + 1;
    transfer.plan.client_bytes = static_cast<std::uint32_t>(script_.skewed(setup_.max_bytes));
    transfer.plan.server_bytes = static_cast<std::uint32_t>(script_.skewed(setup_.max_bytes));
    transfer.plan.piece = static_cast<std::uint32_t>(1 + script_.skewed(3000));
    transfer.plan.flags = static_cast<std::uint8_t>(script_.next() & flags_all);
    if (setup_.bulk) {
      transfer.plan.client_bytes = static_cast<std::uint32_t>(script_.skewed(kBulkBytes));
      transfer.plan.server_bytes = static_cast<std::uint32_t>(script_.skewed(kBulkBytes));
      transfer.plan.flags |= script_.one_in(2) ? exchange_flag::kLazyServer : exchange_flag::kLazyClient;
    }
    if (setup_.aborts && script_.one_in(3))
      transfer.plan.flags |= script_.one_in(2) ? exchange_flag::kClientAborts : exchange_flag::kServerAborts;
    if (setup_.lazy && script_.one_in(2))
      transfer.plan.flags |= script_.one_in(2) ? exchange_flag::kLazyServer : exchange_flag::kLazyClient;
    if (setup_.deaf) {
      // More than its window holds, whatever it sends itself.
      transfer.plan.server_bytes += 4 * setup_.window_bytes;
      transfer.plan.client_bytes = std::max(transfer.plan.client_bytes, kDeafClientBytes);
      transfer.plan.flags = exchange_flag::kLazyClient;
    }
    transfer.from_us = setup_.active_opens && script_.one_in(3);
    transfer.port = script_.one_in(2) ? kStreamPort : kNotePort;
    transfer.open_at_ns = start_ns_ + 2 * kMs + script_.skewed(40 * kMs) * setup_.stretch();
  }
  for (std::size_t i = 0; i < transfers_.size(); ++i) {
    if (transfers_[i].from_us) continue;
    kernel_->at(transfers_[i].open_at_ns, [this, i] { open_transfer(transfers_[i]); });
  }
}

std::uint64_t World::deaf_for_ns() const {
  // A second and a half passes before what is left of a nearly shut window is filled, and as much before the first probe.
  constexpr std::uint64_t kDeafFor_ns = 5000 * kMs;
  return setup_.deaf && setup_.script == nullptr && bgp_plan_ == nullptr ? kDeafFor_ns : 0;
}

void World::add_exchange(Script::Item item) {
  Transfer& transfer = transfers_.emplace_back();
  transfer.plan = item.plan;
  transfer.plan.number = static_cast<std::uint32_t>(transfers_.size());
  transfer.from_us = item.from_us;
  transfer.port = item.port;
  transfer.open_at_ns = start_ns_ + item.open_after_ns;
  if (transfer.from_us) return;
  kernel_->at(transfer.open_at_ns, [this, i = transfers_.size() - 1] { open_transfer(transfers_[i]); });
}

void World::open_transfer(Transfer& transfer) {
  transfer.opened = true;
  transfer.may_break = closing_ != 0;
  transfer.opened_ns = kernel_->now_ns;
  kernel_->trace("the peer opens exchange %u, port %u: %u bytes there, %u back, flags %u", transfer.plan.number,
                 transfer.port, transfer.plan.client_bytes, transfer.plan.server_bytes, transfer.plan.flags);
  if (!peer_->open({address_of(setup_.v6, 1).address, transfer.port}, transfer.plan))
    violation("set-up", "the peer cannot open a connection");
}

void World::poke() {
  peer_->poke(deaf_for_ns() != 0 && !faults_stopped_ ? 0 : 4096);
  if (bgp_plan_ != nullptr && faults_stopped_) bgp_settled_ = is_bgp_settled();
  poke_further();
  // What was to happen last came to nothing, or left the group as it was.
  if (kernel_->now_ns >= start_ns_ + deaf_for_ns() && under_way_ == 0 && disturbances_left_ > 0 &&
      kernel_->speaker != nullptr && has_member(*kernel_->speaker) && script_.one_in(4))
    disturb(*kernel_->speaker);
  const bool waits = kernel_->now_ns < start_ns_ + deaf_for_ns();
  if (!finishing_) kernel_->after(waits ? kDeafPoke_ns : setup_.poke_interval_ns, [this] { poke(); });
}

void World::spawn_node() {
  if (finishing_) return;
  std::size_t alive = 0;
  for (const auto& process : kernel_->processes())
    alive += process->state != Process::State::dead && process->state != Process::State::ended &&
                     !((setup_.stalls || setup_.stopped_twins) && process->paused)
                 ? 1
                 : 0;
  if (alive >= 2) return;
  Process& spawned = kernel_->spawn([this]() -> int {
    Process& self = *kernel_->current;
    for (;;) {
      NodeOptions options;
      if (bgp_plan_ != nullptr)
        options.addresses = our_addresses();
      else
        options.addresses = {address_of(setup_.v6, 1)};
      options.group = "sim";
      options.runtime_dir = "/run";
      options.device.mac = kOurMac;
      options.device.frames = setup_.nic_frames;
      options.device.ring_entries = setup_.ring_entries;
      options.detect_ms = setup_.detect_ms;
      options.handle_signals = true;
      options.log_bytes = setup_.log_bytes != 0 ? setup_.log_bytes : std::size_t{8} << 20;
      options.twin_spins = setup_.twin_spins;
      options.send_queue_bytes = setup_.send_queue_bytes;
      options.receive_window_bytes = setup_.window_bytes;
      options.batch_frames = setup_.batch_frames;
      options.reprotect_delay_ms = setup_.reprotect_delay_ms;
      const std::unique_ptr<Hosted> application =
          bgp_plan_ != nullptr ? make_bgp_program(self) : std::make_unique<Application>(*this, self);
      Node node(options);
      {
        const HeapScope heap;
        contexts_[self.pid] = {&self, &node, application.get(), false, false};
      }
      node.set_application(application.get());
      const int code = node.run();
      {
        const HeapScope heap;
        contexts_.erase(self.pid);
      }
      if (!node.wants_rejoin()) return code;
    }
  });
  if (setup_.preempt_within_steps != 0 && !faults_stopped_)
    spawned.preempt_at_step = preemption_.below(setup_.preempt_within_steps);
  if (setup_.newcomer_deaths && !faults_stopped_ && script_.one_in(6)) doom(spawned, Doom::What::die);
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

World::Context* World::context(const Process& process) {
  const auto at = contexts_.find(process.pid);
  return at == contexts_.end() ? nullptr : &at->second;
}

/// A twin has just become a member: the next thing may happen.
void World::disturb(Process& primary) {
  if (faults_stopped_ || disturbances_left_ == 0) return;
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

void World::at_step(Process& process, Step step) {
  ++totals_.passed[step];
  if (setup_.script != nullptr) {
    const HeapScope heap;
    setup_.script->passes(*this, process, step);
  }
  const KnownSteps& steps = known();
  if (setup_.short_memory_permille != 0) step_further(process, step);
  if (step == steps.turn_begun) {
    process.turn_began_ns = kernel_->now_ns;
    process.turn_cost_ns = 0;
  } else if (step == steps.turn_end) {
    had_long_turn_ = had_long_turn_ || kernel_->now_ns - process.turn_began_ns > kLongTurn_ns;
    if (const std::uint64_t most = kMostTurn_ns + kMostRoutes * setup_.route_cost_ns; process.turn_cost_ns > most)
      violation("a turn's time", "a turn takes " + std::to_string(process.turn_cost_ns / 1000) +
                                     " us of processor time, more than " + std::to_string(most / 1000));
  } else if (step == steps.published) {
    if (Context* const its = context(process)) {
      ha::SharedGroup* const group = group_of(process);
      if (++publications_ % 3 == 0) twin_view_->published(*its->node, *its->application, *group);
      frame_check_->published(its->node->stack());
      call_order_->published(*group);
      if (setup_.syn_flood) check_half_open(*its->node);
    }
  } else if (step == steps.reported) {
    Context* const its = context(process);
    ha::SharedGroup* const group = group_of(process);
    if (its == nullptr || group == nullptr) return;
    for (const ha::ReaderSlot& reader : group->readers) {
      if (reader.identity.load() != static_cast<std::uint64_t>(process.pid)) continue;
      epoch_check_->applied(process.pid, reader.position.load());
      if (reader.state.load() == ha::ReaderState::member)
        twin_view_->applied(*its->node, *its->application, *group, reader.position.load());
    }
  } else if (step == steps.ready || step == steps.adopting) {
    const HeapScope heap;
    if (step == steps.ready) {
      epoch_check_->joined(process.pid, *group_of(process));
    } else {
      epoch_check_->began(*group_of(process));
      call_order_->forget();
    }
  } else if (step == steps.begun) {
    if (setup_.slow_joins && !faults_stopped_) process.slow_ns = script_.skewed(20'000);
  } else if (step == steps.dropped) {
    process.slow_ns = 0;
    const HeapScope heap;
    call_order_->forget();
    if (setup_.stalls) kernel_->after(script_.skewed(setup_.respawn_within_ns), [this] { spawn_node(); });
  } else if (step == steps.member) {
    process.slow_ns = 0;
    const HeapScope heap;
    twin_view_->joined(*group_of(process));
    call_order_->joined(*group_of(process));
    disturb(process);
  } else if (step == steps.closing) {
    begin_close(process);
  } else if (step == steps.ineligible || step == steps.adopted) {
    const HeapScope heap;
    call_order_->forget();
    frame_check_->forget();
  } else if (step == steps.promoted) {
    const HeapScope heap;
    check_notice(process);
    if (setup_.deaths_in_takeover && !faults_stopped_ && script_.one_in(4)) {
      const HeapScope heap;
      process.stop_at_step = process.steps + 1 + script_.below(200);
      under_way_ += dooms_.contains(process.pid) ? 0 : 1;
      dooms_[process.pid] = {Doom::What::die, 0};
    }
  } else if (step == steps.linked) {
    ++totals_.takeovers;
  } else if (step == steps.handed_over) {
    ++totals_.switchovers;
  }
  if (step == target_ && target_passes_-- == 0) {
    const HeapScope heap;
    target_ = kNoStep;
    --under_way_;
    if (!faults_stopped_ || finishing_) {
      ++totals_.died_at[step];
      kill(process, "at a chosen step");
    }
  }
}

void World::kill(Process& process, const char* why) {
  if (process.state == Process::State::dead || process.state == Process::State::ended) return;
  kernel_->trace("%s: the end of process %d", why, process.pid);
  kernel_->kill(process);
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

void World::on_death(Process& process) {
  const Context* const its = context(process);
  ++(its != nullptr && its->primary ? totals_.deaths : totals_.twin_deaths);
  after_death(process);
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

void World::on_log_line(Process& process, std::string_view role, std::string_view text) {
  // No application here writes more in a turn than was reserved for it.
  if (text.find("than the log has room for") != std::string_view::npos) violation("room in the log", std::string(text));
  check_dropped(text);
  kernel_->trace("process %d (%.*s): %.*s", process.pid, static_cast<int>(role.size()), role.data(),
                 static_cast<int>(text.size()), text.data());
}

void World::on_shown(Process& process, Shown what, std::uint64_t connection, std::uint64_t value) {
  const Context* const its = context(process);
  if (its == nullptr) return;
  const HeapScope heap;
  call_order_->shown(process.pid, its->node->role() == Role::twin, {what, connection, value});
}

void World::violation(std::string_view rule, std::string text) {
  const HeapScope heap;
  kernel_->trace("VIOLATION of %.*s: %s", static_cast<int>(rule.size()), rule.data(), text.c_str());
  if (!result_.good) return;
  result_.good = false;
  result_.rule.assign(rule);
  result_.text.assign(text.data(), text.size());
}

// ---- Wire ----

void World::arrive(Direction direction, Bytes frame) {
  std::uint64_t digest = result_.digest * 0x9e3779b97f4a7c15ULL + kernel_->now_ns;
  for (std::size_t i = 0; i + 8 <= frame.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, frame.data() + i, sizeof word);
    digest = (digest ^ word) * 0xff51afd7ed558ccdULL;
    digest ^= digest >> 32;
  }
  result_.digest = digest;
  if (direction == Direction::from_us) {
    if (is_for_peer(frame) && !is_for_stranger(frame)) peer_->arrive(frame);
  } else if (nic_->arrive(frame)) {
    wire_judge_->arrived(frame);
  } else {
    undisturbed_ = false;
    kernel_->trace("  the interface has no room for a frame");
  }
}

void World::check_reset(const Packet& packet) {
  if (packet.kind != Packet::Kind::tcp || !packet.has(Packet::kRst)) return;
  // Which exchange it was cannot be told from the ports alone, and a segment that comes late to a connection that is closed is
  // rightly answered so.
  if (link_->has_disturbed() || !undisturbed_ || had_long_turn_ || nic_->dropped != 0) return;
  if (bgp_plan_ != nullptr && (finishing_ || bgp_peer()->has_broken())) return;
  if (std::any_of(transfers_.begin(), transfers_.end(),
                  [](const Transfer& item) { return item.may_break || item.reset_wanted; }))
    return;
  violation("no reset that nobody asked for", to_string(packet, 0));
}

}  // namespace tandem::sim
