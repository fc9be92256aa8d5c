// SPDX-License-Identifier: BSD-3-Clause
#include "world.hpp"

#include <linux/futex.h>
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "application.hpp"
#include "attach_clients.hpp"
#include "bgp_run/peer.hpp"
#include "channel/attach_protocol.hpp"
#include "checks/call_order.hpp"
#include "checks/epoch_check.hpp"
#include "checks/frame_check.hpp"
#include "checks/twin_view.hpp"
#include "checks/wire_judge.hpp"
#include "control_clients.hpp"
#include "packet.hpp"
#include "tandem/node.hpp"

namespace tandem::sim {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
/// Longer than the peer's retransmission timeout.
constexpr std::uint64_t kSilence_ns = 700 * kMs;
/// How often a client that does not read sends something, or one that never closes is looked at.
constexpr std::uint64_t kDeafPoke_ns = 20 * kMs;
/// A slow one takes longer than what TCP's timers wait for, and sends again what has arrived.
constexpr std::uint64_t kLongTurn_ns = 20 * kMs;
/// A turn's handlers and application have a millisecond, and slices behind it (ha/src/roles/primary.cpp). The traffic of exchanges is not
/// cut in slices.
constexpr std::uint64_t kMostTurn_ns = 6 * kMs;
constexpr std::uint64_t kDisturbingFor_ns = 600 * kMs;

const MacAddress kOurMac{{2, 0, 0, 0, 0, 1}};
const MacAddress kPeerMac{{2, 0, 0, 0, 0, 2}};

struct KnownSteps {
  Step published = step_of("publish.after");
  Step snapshot_published = step_of("snapshot.published");
  Step reported = step_of("twin.reported");
  Step applied = step_of("replica.record");
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
  queue_check_ = std::make_unique<QueueCheck>(*this);
  Nic::Options nic;
  nic.frames = setup_.nic_frames;
  nic.ring_entries = setup_.ring_entries;
  nic.queues = std::clamp(setup_.queues, 1U, kMostQueues);
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
  nic_->marks = queue_check_.get();
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
        note_window(packet);
        std::vector<std::uint8_t> copy;
        frame = without_scale(frame, copy);
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

void World::poke() {
  peer_->poke(deaf_for_ns() != 0 && !faults_stopped_ ? 0 : 4096);
  if (bgp_plan_ != nullptr && faults_stopped_) bgp_settled_ = is_bgp_settled();
  poke_further();
  // What was to happen last came to nothing, or left the group as it was.
  if (kernel_->now_ns >= start_ns_ + deaf_for_ns() && under_way_ == 0 && disturbances_left_ > 0 &&
      kernel_->speaker != nullptr && has_member(*kernel_->speaker) && script_.one_in(4))
    disturb(*kernel_->speaker);
  const bool waits = kernel_->now_ns < start_ns_ + deaf_for_ns() || (setup_.lingers && faults_stopped_);
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
  // Read when it says hello, and by whoever hears that.
  if (setup_.mixed_versions) ha::log_formats.highest = script_.one_in(2) ? 2 : ha::kLogFormatVersion;
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

World::Context* World::context(const Process& process) {
  const auto at = contexts_.find(process.pid);
  return at == contexts_.end() ? nullptr : &at->second;
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
    longest_turn_ns_ = std::max(longest_turn_ns_, kernel_->now_ns - process.turn_began_ns);
    if (const std::uint64_t most = kMostTurn_ns + kMostRoutes * setup_.route_cost_ns; process.turn_cost_ns > most)
      violation("a turn's time", "a turn takes " + std::to_string(process.turn_cost_ns / 1000) +
                                     " us of processor time, more than " + std::to_string(most / 1000));
  } else if (step == steps.published) {
    queue_check_->published();
    if (Context* const its = context(process)) {
      ha::SharedGroup* const group = group_of(process);
      if (++publications_ % 3 == 0) twin_view_->published(*its->node, *its->application, *group);
      frame_check_->published(its->node->stack());
      call_order_->published(*group);
      if (setup_.syn_flood) check_half_open(*its->node);
    }
  } else if (step == steps.applied) {
    Context* const its = context(process);
    if (its == nullptr || its->primary) return;
    const std::uint64_t now_ns = its->node->now_ns();
    if (now_ns < its->applied_ns)
      shown_wrong("the twin's view (I3)", "time goes back, from " + std::to_string(its->applied_ns) + " ns to " +
                                              std::to_string(now_ns) + " ns");
    its->applied_ns = now_ns;
  } else if (step == steps.snapshot_published) {
    // It says as well how far the rings are dealt with, and what may be said outside.
    queue_check_->published();
    if (Context* const its = context(process)) frame_check_->published(its->node->stack());
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
      removed_at_.erase(process.pid);
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
    note_removed(*group_of(process));
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

/// A peer that refuses probes knows of no window scale: neither do its SYNs, nor those that it gets.
Bytes World::without_scale(Bytes frame, std::vector<std::uint8_t>& copy) const {
  if (!setup_.refuses_probes || !parse_packet(frame).has(Packet::kSyn)) return frame;
  copy.assign(frame.begin(), frame.end());
  strip_window_scale(copy);
  return copy;
}

void World::arrive(Direction direction, Bytes frame) {
  std::uint64_t digest = result_.digest * 0x9e3779b97f4a7c15ULL + kernel_->now_ns;
  for (std::size_t i = 0; i + 8 <= frame.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, frame.data() + i, sizeof word);
    digest = (digest ^ word) * 0xff51afd7ed558ccdULL;
    digest ^= digest >> 32;
  }
  result_.digest = digest;
  if (setup_.ports_again) watch_openings(direction, parse_packet(frame));
  if (direction == Direction::from_us) {
    if (is_for_peer(frame) && !is_for_stranger(frame) && !refuses(parse_packet(frame))) {
      std::vector<std::uint8_t> copy;
      peer_->arrive(without_scale(frame, copy));
    }
  } else if (nic_->arrive(frame)) {
    wire_judge_->arrived(frame);
  } else {
    undisturbed_ = false;
    kernel_->trace("  the interface has no room for a frame");
  }
}

/// Where the port had a connection before a SYN may come so soon that its number is none behind the old ones. TIME-WAIT answers with its
/// ACK, which may draw a reset, and the SYN comes again when its timestamp is newer.
void World::watch_openings(Direction direction, const Packet& packet) {
  if (packet.kind != Packet::Kind::tcp) return;
  const std::uint16_t port = direction == Direction::from_peer ? packet.source_port : packet.destination_port;
  const HeapScope heap;
  if (direction == Direction::from_peer && packet.has(Packet::kSyn) && !packet.has(Packet::kAck)) {
    opening_.insert(port);
  } else if (direction == Direction::from_us && opening_.contains(port)) {
    if (packet.has(Packet::kSyn))
      opening_.erase(port);
    else
      undisturbed_ = false;
  }
}

void World::check_reset(const Packet& packet) {
  if (packet.kind != Packet::Kind::tcp || !packet.has(Packet::kRst)) return;
  // Which exchange it was cannot be told from the ports alone, and a segment that comes late to a connection that is closed is
  // rightly answered so.
  if (link_->has_disturbed() || !undisturbed_ || longest_turn_ns_ > kLongTurn_ns || nic_->dropped != 0) return;
  if (bgp_plan_ != nullptr && (finishing_ || bgp_peer()->has_broken())) return;
  if (std::any_of(transfers_.begin(), transfers_.end(),
                  [](const Transfer& item) { return item.may_break || item.reset_wanted; }))
    return;
  violation("no reset that nobody asked for", to_string(packet, 0));
}

}  // namespace tandem::sim
