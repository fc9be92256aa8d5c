// SPDX-License-Identifier: BSD-3-Clause
//
// The primary's turn (design.md section 3): its order is the heart of the system.
#include <poll.h>
#include <algorithm>
#include <new>
#include <utility>

#include "log/log_limits.hpp"
#include "members/eligibility_word.hpp"
#include "node/node_impl.hpp"
#include "node/system.hpp"
#include "tandem/planted.hpp"
#include "tandem/stop_point.hpp"

namespace tandem {

using ha::NodeError;

namespace {

/// A published transaction at least this often: a twin that does not take it is seen to be stalled.
constexpr std::uint64_t kIdlePublish_ns = 100'000'000;
constexpr std::uint64_t kLookForSuccessor_ns = 20'000'000;
constexpr std::uint32_t kFirstBatchFrames = 4;
/// A turn's handlers and application have so long together, ...
constexpr std::uint64_t kTurn_ns = 1'000'000;
/// ... in the turn behind a takeover, for which a peer waits, so long, ...
constexpr std::uint64_t kFirstTurn_ns = 200'000;
/// ... and whoever comes behind others that have taken all of it has this.
constexpr std::uint64_t kSlice_ns = 250'000;
/// After so many frames the clock is looked at. What handlers have taken then is all they get: frames go on to be taken in.
constexpr std::size_t kFramesALook = 8;
/// How long a promoted process puts off what nobody waits for.
constexpr std::uint64_t kSettleAfter_ns = 300'000;
/// A planned switchover waits so long, until whoever asked for it has had its answer and no longer wants a processor, ...
constexpr std::uint64_t kHandOverFrom_ns = 300'000;
/// ... and then so long for a moment in which the peer is about to answer and not waiting for one.
constexpr std::uint64_t kHandOverWithin_ns = 2'000'000;
/// How often a primary that wants to hand over looks whether its twin has caught up.
constexpr std::uint64_t kLookForRoom_ns = 50'000;
constexpr std::uint64_t kStateRecordBytes = 512;
/// A twin that reads on may keep the log short of room for so many times as long as one that does not.
constexpr std::uint64_t kSlowReaderTimes = 4;
/// How often a primary looks whether its twin has caught up, or has read what it was given.
constexpr std::uint64_t kLookForReader_ns = 500'000;

}  // namespace

void Node::Impl::start_alone() {
  now_ns_ = monotonic_ns();
  role_ = Role::alone;
  device_ = open_device(options_.device);
  log("alone on " + device_->description());
  make_stack();
  watch_link();
  gate_ = std::make_unique<ha::OutputGate>(*device_);
  open_control_alone();
  stack_->activate(Stack::Adoption::fresh);
  if (application_ != nullptr) application_->on_primary(node_, false);
}

void Node::Impl::open_control_alone() {
  try {
    lone_socket_ = std::make_unique<ha::LoneSocket>(options_.runtime_dir);
    if (lone_socket_->fd() < 0) return;
    control_ = std::make_unique<ha::ControlServer>(*loop_, lone_socket_->fd(),
                                                   [this](const std::string& command) { return answer(command); });
  } catch (const NodeError& error) {
    log(std::string("tandemctl cannot ask this process: ") + error.what(), LogLevel::info);
  }
}

void Node::Impl::start_primary(ha::Rendezvous::PrimaryDescriptors descriptors) {
  // One that was a twin has the time of the log that it read.
  now_ns_ = monotonic_ns();
  role_ = Role::primary;
  descriptors_ = std::move(descriptors);
  device_ = open_device(options_.device);
  TANDEM_STEP("start.device");
  make_group();
  slot_ = &ha::claim_ownership(*group_, identity_, static_cast<std::uint32_t>(ha::system::process_id()));
  at_work_ = ha::FramesAtWork(slot_);
  TANDEM_STEP("start.claimed");
  group_->epoch.store(1);
  ha::install_crash_notice();
  ha::set_crash_notice(slot_);
  log("first of group \"" + options_.group + "\", on " + device_->description());
  make_stack();
  watch_link();
  make_writer();
  TANDEM_STEP("start.stack");
  stack_->activate(Stack::Adoption::fresh);
  TANDEM_STEP("start.active");
  if (application_ != nullptr) application_->on_primary(node_, false);
}

void Node::Impl::make_group() {
  group_file_ = ha::make_shared_file("tandem-group", sizeof(ha::SharedGroup));
  log_file_ = ha::make_shared_file("tandem-log", options_.log_bytes);
  group_mapping_ = ha::Mapping(group_file_.get(), sizeof(ha::SharedGroup), false);
  log_mapping_ = ha::Mapping(log_file_.get(), options_.log_bytes, true);
  // Touched now, at the start, and not by the turns that fill the ring for the first time.
  ha::system::populate(log_mapping_);
  group_ = new (group_mapping_.data()) ha::SharedGroup{};
  group_->magic = ha::kGroupMagic;
  group_->layout_version = ha::kGroupLayoutVersion;
  group_->bytes = sizeof(ha::SharedGroup);
  group_->log_bytes = options_.log_bytes;
  // Nobody has died yet, at no frame.
  group_->futile_rx_index = UINT32_MAX;
}

void Node::Impl::make_writer() {
  writer_ = std::make_unique<ha::LogWriter>(*group_, log_mapping_.data(), log_mapping_.size());
  writer_->set_epoch(group_->epoch.load());
  recorder_ = std::make_unique<ha::Recorder>(*writer_);
  gate_ = std::make_unique<ha::OutputGate>(*device_);
  stack_->set_observer(recorder_.get());
  published_mark_ = device_->mark();
}

void Node::Impl::open_sockets() {
  if (rendezvous_ && !control_) {
    control_ = std::make_unique<ha::ControlServer>(*loop_, descriptors_.control.get(),
                                                   [this](const std::string& command) { return answer(command); });
    loop_->watch(descriptors_.attach.get(), POLLIN, [this](short) { attach_ready_ = true; });
  }
}

std::uint64_t Node::Impl::turn_reserve_bytes() const {
  const std::uint64_t one_frame = options_.receive_window_bytes + 65536;
  return ha::log_limits.fixed_reserve_bytes + stack_->connection_count() * kStateRecordBytes +
         ha::log_limits.turn_write_bytes + one_frame;
}

void Node::Impl::take_frames(std::size_t room_bytes) {
  // One frame can make a whole window's worth of out-of-order data deliverable, so each is counted with that much.
  const std::size_t one_frame = options_.receive_window_bytes + 65536;
  batch_.resize(options_.batch_frames);
  const std::size_t most = deadly_.is_careful(now_ns_) ? 1 : options_.batch_frames;
  std::size_t taken = 0;
  frames_left_ = false;
  while (taken < most) {
    std::size_t allowed = most - taken;
    if (recorder_ && recorder_->active()) {
      const std::uint64_t spent = writer_->pending_bytes();
      if (spent + one_frame > room_bytes) break;
      allowed = std::min<std::size_t>(allowed, (room_bytes - spent) / one_frame);
    }
    const std::size_t count = device_->rx_peek(std::span(batch_).first(allowed));
    if (count == 0) return;
    TANDEM_STOP_POINT("rx.taken");
    if (peer_answer_pending_ && !first_packet_pending_) {
      peer_answer_pending_ = false;
      group_->last_takeover.peer_answered = monotonic_ns();
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (i == count / 2) TANDEM_STOP_POINT("rx.half");
      if (deadly_.is_alert() && drop_deadly(batch_[i])) continue;
      at_work_.at(batch_[i].place);
      TANDEM_MEET_FRAME(batch_[i].bytes);
      stack_->input(batch_[i]);
      TANDEM_STEP("turn.input");
      if (i % kFramesALook == kFramesALook - 1) static_cast<void>(stack_->out_of_time());
    }
    taken += count;
    counters_.frames += count;
    at_work_.behind();
    if (count < allowed) return;
  }
  frames_left_ = true;
}

bool Node::Impl::drop_deadly(const RxFrame& frame) {
  using Verdict = ha::DeadlyFrames::Verdict;
  const ha::FrameIdentity identity = ha::identify(frame.bytes);
  const Verdict verdict = deadly_.judge(frame.place, identity, is_protected(), now_ns_);
  if (verdict == Verdict::process || TANDEM_PLANTED(deadly_not_dropped)) return false;
  device_->rx_done(frame.cookie);
  ++counters_.deadly_frames;
  if (verdict == Verdict::give_up) reset_connection_of(identity);
  if (verdict != Verdict::first_drop) return true;
  const std::uint32_t ended = deadly_.ended_by(identity.key);
  const std::string who =
      std::string("the process that ") + (deadly_.last_end() == ha::DeadlyFrames::End::died ? "died" : "hung");
  log("dropped " + identity.to_string() + ": " +
          (ended == 0   ? who + " was at it, or at one that came with it"
           : ended == 1 ? who + " was at it. If it comes again it is tried when there is a twin"
                        : "it has ended " + std::to_string(ended) + " processes and is dropped whenever it comes"),
      LogLevel::warning);
  return true;
}

void Node::Impl::reset_connection_of(const ha::FrameIdentity& frame) {
  Connection* found = nullptr;
  stack_->for_each_connection([&](Connection& connection) {
    if (connection.local() == frame.segment->destination && connection.remote() == frame.segment->source)
      found = &connection;
  });
  if (found == nullptr) return;
  log("resetting the connection with " + frame.segment->source.to_string() + ": it cannot go on without " +
          frame.to_string() + ", which ends the process that reads it. Keep the core dumps, and report this",
      LogLevel::error);
  found->abort();
}

void Node::Impl::turn() {
  const std::uint64_t began_ns = now_ns_ = turn_began_ns_ = monotonic_ns();
  ++counters_.turns;
  if (slot_ != nullptr) slot_->heartbeat.fetch_add(1, std::memory_order_relaxed);
  TANDEM_STEP("turn.begun");
  look_at_link();

  // Step 0. Without room for the worst that this turn can write nothing is taken in.
  const bool recording = recorder_ && recorder_->active();
  std::size_t room_bytes = SIZE_MAX;
  if (recording) {
    watch_reader();
    const std::uint64_t room = writer_->room();
    const std::uint64_t reserve = turn_reserve_bytes();
    if (recorder_->active() && room < reserve) {
      wait_for_log();
      return;
    }
    log_short_since_ns_ = 0;
    // The announced windows close before the ring is full; they reopen with some distance, so that they do not flap.
    if (room < options_.log_bytes / 2 && !low_windows_) {
      low_windows_ = true;
      stack_->clamp_windows(std::max<std::size_t>(65536, options_.receive_window_bytes / 8));
    } else if (room > options_.log_bytes / 4 * 3 && low_windows_) {
      low_windows_ = false;
      stack_->clamp_windows(0);
    }
    room_bytes = room - (reserve - options_.receive_window_bytes - 65536);
    writer_->set_time(now_ns_);
  }
  stack_->set_write_budget(ha::log_limits.turn_write_bytes);
  stack_->set_turn_deadline(began_ns + (first_packet_pending_ ? kFirstTurn_ns : kTurn_ns));

  // Steps 1 and 2.
  [[maybe_unused]] const std::uint64_t resets = TANDEM_PLANTED(rst_past_gate) ? stack_->statistics().resets_sent : 0;
  take_frames(room_bytes);
  stack_->run_timers();
  TANDEM_STEP("turn.timers");
  work_left_ = stack_->run_handlers();
  run_application();
  TANDEM_MEET_HANDLERS();
  TANDEM_STOP_POINT("turn.handlers");
  if (control_ && control_->ready()) control_->process(*gate_, stack_->turn_deadline_ns());
  serve_attaches();
  continue_join();
  TANDEM_STEP("turn.snapshot");
  stack_->end_turn();
  TANDEM_STOP_POINT("turn.recorded");
  if (TANDEM_PLANTED(rst_past_gate) && stack_->statistics().resets_sent != resets &&
      device_->mark().tx_index == released_tx_index_ + 1)
    device_->tx_release(device_->mark().tx_index);
  publish_turn();
  if (capture_) run_capture();

  diagnose();

  const std::uint64_t took_ns = monotonic_ns() - began_ns;
  counters_.longest_turn_ns = std::max(counters_.longest_turn_ns, took_ns);
  if (snapshot_ || join_ended_) join_longest_turn_ns_ = std::max(join_longest_turn_ns_, took_ns);
  if (join_ended_) end_join();
}

void Node::Impl::run_application() {
  const auto give_a_slice = [this] {
    if (stack_->out_of_time()) stack_->set_turn_deadline(monotonic_ns() + kSlice_ns);
  };
  if (application_ != nullptr) {
    if (first_turn_) {
      // Somebody waits for the packets of this one.
      application_deadline_ns_ = now_ns_;
    } else {
      give_a_slice();
      application_deadline_ns_ = application_->on_turn(node_, now_ns_);
      give_a_slice();
      // What it wrote leaves with this turn.
      work_left_ = stack_->run_handlers();
    }
  }
  first_turn_ = false;
  give_a_slice();
}

void Node::Impl::still_working() {
  if (slot_ == nullptr || std::this_thread::get_id() != thread_) return;
  if (monotonic_ns() - turn_began_ns_ > std::uint64_t{Node::kLongestWork_ms} * 1'000'000) return;
  slot_->heartbeat.fetch_add(1, std::memory_order_relaxed);
}

void Node::Impl::publish_turn() {
  const WireMark mark = device_->mark();
  std::uint64_t position = 0;
  if (TANDEM_PLANTED(gate_early)) device_->tx_release(mark.tx_index);
  if (TANDEM_PLANTED(ring_early)) device_->rx_release();
  if (recorder_ && recorder_->active() && !writer_->overflowed().empty()) {
    // Its twin cannot follow this turn. It is told so before anything of the turn leaves, and comes back with a snapshot.
    if (Session* session = reader_session()) drop_reader(*session, std::string(writer_->overflowed()));
    // It has begun a takeover and is about to end this process: nothing leaves without it.
    if (recorder_->active()) return;
  }
  // Step 3: one store makes the transaction visible, and with it what becomes of the wire.
  if (recorder_ && recorder_->active()) {
    if (writer_->in_transaction() || mark != published_mark_ || now_ns_ - last_publish_ns_ > kIdlePublish_ns) {
      WireMark said = mark;
      if (TANDEM_PLANTED(mark_behind)) said.tx_index = published_mark_.tx_index;
      writer_->publish(said);
      TANDEM_STOP_POINT("publish.after");
      published_mark_ = mark;
      last_publish_ns_ = now_ns_;
    }
    position = writer_->position();
  }
  // Step 4. At `shm` what is published is committed.
  at_work_.published();
  if (deadly_.is_alert()) deadly_.end_turn(now_ns_);
  gate_->close_turn(position, mark.tx_index);
  gate_->committed(position);
  turn_sent_ = mark.tx_index != released_tx_index_;
  TANDEM_STEP("publish.released");
  released_tx_index_ = mark.tx_index;
  TANDEM_STOP_POINT("tx.after");
  // Step 5.
  device_->rx_release();
  device_->refill();
  TANDEM_STEP("turn.end");
}

void Node::Impl::wait_for_log() {
  if (log_short_since_ns_ == 0) log_short_since_ns_ = now_ns_;
  ++counters_.log_waits;
  const std::uint64_t limit_ns = std::max<std::uint64_t>(500, std::uint64_t{4} * options_.detect_ms) * 1'000'000;
  // One that reads on makes room; but the peers do not wait for ever.
  const bool stands_still = now_ns_ - reader_seen_ns_ > limit_ns;
  if (now_ns_ - log_short_since_ns_ > (stands_still ? limit_ns : kSlowReaderTimes * limit_ns)) {
    if (Session* session = reader_session()) drop_reader(*session, "it does not keep up with the log");
    if (!recorder_->active()) return;
  }
  // Operators are answered, a twin that has gone is noticed, and the heartbeat goes on; the wire waits in its ring.
  frames_left_ = true;
  serve_attaches();
  if (control_ && control_->ready()) control_->process(*gate_);
  gate_->close_turn(writer_->position(), released_tx_index_);
  gate_->committed(writer_->position());
  loop_->run_once(now_ns_ + 50'000);
}

std::uint64_t Node::Impl::next_deadline_ns() {
  if (frames_left_ || work_left_ || (snapshot_ && !join_waits_) || (control_ && control_->ready())) return 0;
  if (device_->tx_pending()) return now_ns_ + 20'000;
  std::uint64_t deadline =
      std::min(stack_->next_timer_ns(), application_deadline_ns_ == 0 ? UINT64_MAX : application_deadline_ns_);
  if (rendezvous_) deadline = std::min(deadline, now_ns_ + std::uint64_t{options_.detect_ms} * 1'000'000 / 4);
  if (join_waits_ || (!twin_caught_up_ && twin_is_member())) deadline = std::min(deadline, now_ns_ + kLookForReader_ns);
  if (reopen_at_ns_ != 0) deadline = std::min(deadline, reopen_at_ns_);
  if (attach_from_ns_ > now_ns_) deadline = std::min(deadline, attach_from_ns_);
  if (settle_at_ns_ != 0) deadline = std::min(deadline, settle_at_ns_);
  if (hand_over_from_ns_ != 0) {
    // The peer may want this processor for what is waited for.
    deadline =
        std::min(deadline, now_ns_ < hand_over_from_ns_ ? hand_over_from_ns_ : hand_over_from_ns_ + kHandOverWithin_ns);
  } else if (stopping() || switchover_requested_) {
    deadline = std::min(deadline, now_ns_ + (twin_is_member() ? kLookForRoom_ns : kLookForSuccessor_ns));
  }
  if (lock_try_ns_ != 0) deadline = std::min(deadline, lock_try_ns_);
  return std::min(deadline, now_ns_ + 1'000'000'000);
}

void Node::Impl::settle() {
  settle_at_ns_ = 0;
  stop_watching_owner();
  open_sockets();
  say_takeover();
  if (rendezvous_ && !descriptors_.lock.valid()) hold_lock();
}

int Node::Impl::run_primary() {
  // Right after a takeover somebody waits: the first turn takes little in, so that its packets leave soon.
  const std::uint32_t batch_frames =
      std::exchange(options_.batch_frames, first_packet_pending_ ? kFirstBatchFrames : options_.batch_frames);
  turn();
  options_.batch_frames = batch_frames;
  watch_frames(true);
  loop_->set_options(options_.loop);
  loop_->set_spin_condition([this] { return device_->rx_ready(); });
  // What else there is to do can wait: the peer may want this very processor for its next request.
  settle_at_ns_ = now_ns_ + (socket_watch_ != 0 ? kSettleAfter_ns : 0);
  for (;;) {
    if (settle_at_ns_ != 0 && now_ns_ >= settle_at_ns_) settle();
    // The last transaction needs room too; a twin that is far behind is waited for, or removed.
    const bool twin_is_ready = is_protected() && writer_->room() > ha::log_limits.fixed_reserve_bytes;
    const bool wants_to_go = switchover_requested_ || (stopping() && role_ == Role::primary && !shut_down_);
    if (wants_to_go && twin_is_ready) {
      if (hand_over_from_ns_ == 0) hand_over_from_ns_ = now_ns_ + kHandOverFrom_ns;
      if (is_time_to_hand_over()) {
        rejoin_wanted_ = switchover_requested_ && !stopping();
        if (hand_over()) return exit_code::kOk;
      }
    } else {
      hand_over_from_ns_ = 0;
      if (!twin_is_member() && std::exchange(switchover_requested_, false))
        log("the switchover that was asked for is off: " + why_unprotected() +
                ". Ask again when the group is protected",
            LogLevel::warning);
    }
    if (shut_down_) dismiss_twins();
    if (stopping() && !twin_is_member() && !waits_for_successor()) return orderly_close();
    if (lock_try_ns_ != 0 && now_ns_ >= lock_try_ns_) hold_lock();
    loop_->run_once(next_deadline_ns());
    if (device_->tx_pending()) device_->tx_kick();
    turn();
    report_state(now_ns_, settle_at_ns_ == 0);
    if (realtime_ && now_ns_ >= attach_from_ns_) {
      // As a twin it got real-time priority. It keeps that while its predecessor's memory is torn down, which would take the
      // processor from it for milliseconds.
      realtime_ = false;
      ha::system::leave_realtime();
    }
  }
}

/// Right behind an answer, when nobody waits for another: the twin takes over while the peer deals with it.
bool Node::Impl::is_time_to_hand_over() {
  if (now_ns_ < hand_over_from_ns_) return false;
  return (turn_sent_ && !device_->rx_ready()) || now_ns_ >= hand_over_from_ns_ + kHandOverWithin_ns;
}

}  // namespace tandem
