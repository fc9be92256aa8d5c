// SPDX-License-Identifier: BSD-3-Clause
//
// The primary's turn (design.md section 3): its order is the heart of the system.
#include <poll.h>
#include <algorithm>
#include <new>
#include <utility>

#include "log/log_limits.hpp"
#include "members/crash_notice.hpp"
#include "members/eligibility_word.hpp"
#include "members/owner_claim.hpp"
#include "node/group.hpp"
#include "node/system.hpp"
#include "tandem/planted.hpp"
#include "tandem/shown.hpp"
#include "tandem/stop_point.hpp"

namespace tandem::ha {

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
/// Operators have had their answers by then, unless they do not read.
constexpr std::uint64_t kAnswersWithin_ns = 1'000'000'000;
/// How often a primary that wants to hand over looks whether its twin has caught up.
constexpr std::uint64_t kLookForRoom_ns = 50'000;
constexpr std::uint64_t kStateRecordBytes = 512;
/// A twin that reads on may keep the log short of room for so many times as long as one that does not.
constexpr std::uint64_t kSlowReaderTimes = 4;

}  // namespace

void Primary::start_alone() {
  group_.now_ns = monotonic_ns();
  group_.role = Role::alone;
  group_.device = open_device(group_.options.device);
  group_.log("alone on " + group_.device->description());
  group_.make_stack();
  group_.link.watch();
  gate_ = std::make_unique<OutputGate>(*group_.device);
  group_.operators.open_alone();
  group_.stack->activate(Stack::Adoption::fresh);
  if (group_.application != nullptr) group_.application->on_primary(group_.node, false);
}

void Primary::start(Rendezvous::PrimaryDescriptors descriptors) {
  // One that was a twin has the time of the log that it read.
  group_.now_ns = monotonic_ns();
  group_.role = Role::primary;
  group_.descriptors = std::move(descriptors);
  group_.device = open_device(group_.options.device);
  TANDEM_STEP("start.device");
  make_shared();
  group_.slot =
      &claim_ownership(*group_.shared, group_.process.identity(), static_cast<std::uint32_t>(system::process_id()));
  group_.at_work = FramesAtWork(group_.slot);
  TANDEM_STEP("start.claimed");
  group_.shared->epoch.store(1);
  install_crash_notice();
  set_crash_notice(group_.slot);
  group_.log("first of group \"" + group_.options.group + "\", on " + group_.device->description());
  group_.make_stack();
  group_.link.watch();
  make_writer();
  TANDEM_STEP("start.stack");
  group_.stack->activate(Stack::Adoption::fresh);
  TANDEM_STEP("start.active");
  if (group_.application != nullptr) group_.application->on_primary(group_.node, false);
}

void Primary::start_promoted(const FramesLeft& left, DeadlyFrames::End end, std::uint32_t predecessor) {
  took_over_from_ = predecessor;
  TakeoverTimes& times = group_.shared->last_takeover;
  group_.role = Role::primary;
  left_alone_ns_ = monotonic_ns();
  group_.now_ns = turn_began_ns_ = monotonic_ns();
  make_writer();
  TANDEM_STEP("takeover.writer");
  released_tx_index_ = group_.device->mark().tx_index;
  deadly_.begin(*group_.shared, left, end, group_.device->mark(), group_.now_ns);
  first_packet_pending_ = !group_.device->adoption_sent();
  peer_answer_pending_ = first_turn_ = true;
  if (first_packet_pending_) {
    gate_->send_first_alone([this] {
      first_packet_pending_ = false;
      group_.shared->last_takeover.first_packet = monotonic_ns();
    });
  } else {
    times.first_packet = times.adopted;
  }
  group_.stack->activate(group_.device->adoption_is_exact() ? Stack::Adoption::exact : Stack::Adoption::kicked);
  if (group_.device->announce_after_adoption()) group_.stack->announce();
  times.promoted = monotonic_ns();
  TANDEM_STOP_POINT("promote.linked");
  if (group_.application != nullptr) group_.application->on_primary(group_.node, true);
  twins_.set_why_unprotected("no twin has attached since the takeover");
  // Bringing up a twin costs more than the takeover did: real work first.
  twins_.serve_from(group_.now_ns + std::uint64_t{group_.options.reprotect_delay_ms} * 1'000'000);
}

void Primary::make_shared() {
  group_.shared_file = make_shared_file("tandem-group", sizeof(SharedGroup));
  group_.log_file = make_shared_file("tandem-log", group_.options.log_bytes);
  group_.shared_mapping = Mapping(group_.shared_file.get(), sizeof(SharedGroup), false);
  group_.log_mapping = Mapping(group_.log_file.get(), group_.options.log_bytes, true);
  // Touched now, at the start, and not by the turns that fill the ring for the first time.
  system::populate(group_.log_mapping);
  group_.shared = new (group_.shared_mapping.data()) SharedGroup{};
  group_.shared->magic = kGroupMagic;
  group_.shared->layout_version = kGroupLayoutVersion;
  group_.shared->bytes = sizeof(SharedGroup);
  group_.shared->log_bytes = group_.options.log_bytes;
  // Nobody has died yet, at no frame.
  group_.shared->futile_rx_index = UINT32_MAX;
}

void Primary::make_writer() {
  writer_ = std::make_unique<LogWriter>(*group_.shared, group_.log_mapping.data(), group_.log_mapping.size());
  writer_->set_epoch(group_.shared->epoch.load());
  recorder_ = std::make_unique<Recorder>(*writer_);
  gate_ = std::make_unique<OutputGate>(*group_.device);
  group_.stack->set_observer(recorder_.get());
  published_mark_ = group_.device->mark();
}

void Primary::open_sockets() {
  if (!group_.rendezvous || group_.operators.is_open()) return;
  group_.operators.open(group_.descriptors.control.get());
  twins_.listen();
}

std::uint64_t Primary::turn_reserve_bytes() const {
  const std::uint64_t one_frame = group_.options.receive_window_bytes + 65536;
  return log_limits.fixed_reserve_bytes + group_.stack->connection_count() * kStateRecordBytes +
         log_limits.turn_write_bytes + one_frame;
}

void Primary::take_frames(std::size_t room_bytes) {
  // One frame can make a whole window's worth of out-of-order data deliverable, so each is counted with that much.
  const std::size_t one_frame = group_.options.receive_window_bytes + 65536;
  batch_.resize(group_.options.batch_frames);
  const std::size_t most = deadly_.is_careful(group_.now_ns) ? 1 : group_.options.batch_frames;
  std::size_t taken = 0;
  frames_left_ = false;
  while (taken < most) {
    std::size_t allowed = most - taken;
    if (recorder_ && recorder_->active()) {
      const std::uint64_t spent = writer_->pending_bytes();
      if (spent + one_frame > room_bytes) break;
      allowed = std::min<std::size_t>(allowed, (room_bytes - spent) / one_frame);
    }
    const std::size_t count = group_.device->rx_peek(std::span(batch_).first(allowed));
    if (count == 0) return;
    TANDEM_STOP_POINT("rx.taken");
    if (peer_answer_pending_ && !first_packet_pending_) {
      peer_answer_pending_ = false;
      group_.shared->last_takeover.peer_answered = monotonic_ns();
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (i == count / 2) TANDEM_STOP_POINT("rx.half");
      if (deadly_.is_alert() && drop_deadly(batch_[i])) continue;
      group_.at_work.at(batch_[i].place);
      TANDEM_MEET_FRAME(batch_[i].bytes);
      group_.stack->input(batch_[i]);
      TANDEM_STEP("turn.input");
      if (i % kFramesALook == kFramesALook - 1) static_cast<void>(group_.stack->out_of_time());
    }
    taken += count;
    counters_.frames += count;
    group_.at_work.behind();
    if (count < allowed) return;
  }
  frames_left_ = true;
}

bool Primary::drop_deadly(const RxFrame& frame) {
  using Verdict = DeadlyFrames::Verdict;
  const FrameIdentity identity = identify(frame.bytes);
  const Verdict verdict = deadly_.judge(frame.place, identity, twins_.is_protected(), group_.now_ns);
  if (verdict == Verdict::process || TANDEM_PLANTED(deadly_not_dropped)) return false;
  group_.device->rx_done(frame.cookie);
  ++counters_.deadly_frames;
  if (verdict == Verdict::give_up) reset_connection_of(identity);
  if (verdict != Verdict::first_drop) return true;
  const std::uint32_t ended = deadly_.ended_by(identity.key);
  const std::string who =
      std::string("the process that ") + (deadly_.last_end() == DeadlyFrames::End::died ? "died" : "hung");
  group_.log(
      "dropped " + identity.to_string() + ": " +
          (ended == 0   ? who + " was at it, or at one that came with it"
           : ended == 1 ? who + " was at it. If it comes again it is tried when there is a twin"
                        : "it has ended " + std::to_string(ended) + " processes and is dropped whenever it comes"),
      LogLevel::warning);
  return true;
}

void Primary::reset_connection_of(const FrameIdentity& frame) {
  Connection* found = nullptr;
  group_.stack->for_each_connection([&](Connection& connection) {
    if (connection.local() == frame.segment->destination && connection.remote() == frame.segment->source)
      found = &connection;
  });
  if (found == nullptr) return;
  group_.log("resetting the connection with " + frame.segment->source.to_string() + ": it cannot go on without " +
                 frame.to_string() + ", which ends the process that reads it. Keep the core dumps, and report this",
             LogLevel::error);
  found->abort();
}

void Primary::turn() {
  const std::uint64_t began_ns = group_.now_ns = turn_began_ns_ = monotonic_ns();
  ++counters_.turns;
  if (group_.slot != nullptr) group_.slot->heartbeat.fetch_add(1, std::memory_order_relaxed);
  TANDEM_STEP("turn.begun");
  group_.link.look();

  // Step 0. Without room for the worst that this turn can write nothing is taken in.
  const bool recording = recorder_ && recorder_->active();
  std::size_t room_bytes = SIZE_MAX;
  if (recording) {
    twins_.watch_reader();
    const std::uint64_t room = writer_->room();
    const std::uint64_t reserve = turn_reserve_bytes();
    if (recorder_->active() && room < reserve) {
      wait_for_log();
      return;
    }
    log_short_since_ns_ = 0;
    // The announced windows close before the ring is full; they reopen with some distance, so that they do not flap.
    if (room < group_.options.log_bytes / 2 && !low_windows_) {
      low_windows_ = true;
      group_.stack->clamp_windows(std::max<std::size_t>(65536, group_.options.receive_window_bytes / 8));
    } else if (room > group_.options.log_bytes / 4 * 3 && low_windows_) {
      low_windows_ = false;
      group_.stack->clamp_windows(0);
    }
    room_bytes = room - (reserve - group_.options.receive_window_bytes - 65536);
    writer_->set_time(group_.now_ns);
  }
  group_.stack->set_write_budget(log_limits.turn_write_bytes);
  group_.stack->set_turn_deadline(began_ns + (first_packet_pending_ ? kFirstTurn_ns : kTurn_ns));

  // Steps 1 and 2.
  [[maybe_unused]] const std::uint64_t resets =
      TANDEM_PLANTED(rst_past_gate) ? group_.stack->statistics().resets_sent : 0;
  take_frames(room_bytes);
  group_.stack->run_timers();
  TANDEM_STEP("turn.timers");
  work_left_ = group_.stack->run_handlers();
  run_application();
  TANDEM_MEET_HANDLERS();
  TANDEM_STOP_POINT("turn.handlers");
  if (group_.operators.ready()) group_.operators.process(*gate_, group_.stack->turn_deadline_ns());
  twins_.serve();
  twins_.continue_join();
  TANDEM_STEP("turn.snapshot");
  group_.stack->end_turn();
  TANDEM_STOP_POINT("turn.recorded");
  if (TANDEM_PLANTED(rst_past_gate) && group_.stack->statistics().resets_sent != resets &&
      group_.device->mark().tx_index == released_tx_index_ + 1)
    group_.device->tx_release(group_.device->mark().tx_index);
  publish_turn();
  twins_.continue_snapshot();
  if (group_.operators.captures()) group_.operators.run_capture();

  group_.link.diagnose();

  const std::uint64_t took_ns = monotonic_ns() - began_ns;
  counters_.longest_turn_ns = std::max(counters_.longest_turn_ns, took_ns);
  twins_.end_turn(took_ns);
}

void Primary::run_application() {
  const auto give_a_slice = [this] {
    if (group_.stack->out_of_time()) group_.stack->set_turn_deadline(monotonic_ns() + kSlice_ns);
  };
  if (group_.application != nullptr) {
    if (first_turn_) {
      // Somebody waits for the packets of this one.
      application_deadline_ns_ = group_.now_ns;
    } else {
      give_a_slice();
      application_deadline_ns_ = group_.application->on_turn(group_.node, group_.now_ns);
      give_a_slice();
      // What it wrote leaves with this turn.
      work_left_ = group_.stack->run_handlers();
    }
  }
  first_turn_ = false;
  give_a_slice();
}

void Primary::still_working() {
  if (group_.slot == nullptr || !group_.process.is_run_by_this_thread()) return;
  if (monotonic_ns() - turn_began_ns_ > std::uint64_t{Node::kLongestWork_ms} * 1'000'000) return;
  group_.slot->heartbeat.fetch_add(1, std::memory_order_relaxed);
}

void Primary::publish_turn() {
  const WireMark mark = group_.device->mark();
  std::uint64_t position = 0;
  if (TANDEM_PLANTED(gate_early)) group_.device->tx_release(mark.tx_index);
  if (TANDEM_PLANTED(ring_early)) group_.device->rx_release();
  if (recorder_ && recorder_->active() && !writer_->overflowed().empty()) {
    // Its twin cannot follow this turn. It is told so before anything of the turn leaves, and comes back with a snapshot.
    twins_.drop_reader(std::string(writer_->overflowed()));
    // It has begun a takeover and is about to end this process: nothing leaves without it.
    if (recorder_->active()) return;
  }
  // Step 3: one store makes the transaction visible, and with it what becomes of the wire.
  if (recorder_ && recorder_->active()) {
    if (writer_->in_transaction() || mark != published_mark_ || group_.now_ns - last_publish_ns_ > kIdlePublish_ns) {
      WireMark said = mark;
      if (TANDEM_PLANTED(mark_behind)) said.tx_index = published_mark_.tx_index;
      writer_->publish(said);
      TANDEM_STOP_POINT("publish.after");
      published_mark_ = mark;
      last_publish_ns_ = group_.now_ns;
    }
    position = writer_->position();
  }
  // Step 4. At `shm` what is published is committed.
  group_.at_work.published();
  if (deadly_.is_alert()) deadly_.end_turn(group_.now_ns);
  gate_->close_turn(position, mark.tx_index);
  gate_->committed(position);
  turn_sent_ = mark.tx_index != released_tx_index_;
  TANDEM_STEP("publish.released");
  released_tx_index_ = mark.tx_index;
  TANDEM_STOP_POINT("tx.after");
  // Step 5.
  group_.device->rx_release();
  group_.device->refill();
  TANDEM_STEP("turn.end");
}

void Primary::wait_for_log() {
  if (log_short_since_ns_ == 0) log_short_since_ns_ = group_.now_ns;
  ++counters_.log_waits;
  const std::uint64_t limit_ns = std::max<std::uint64_t>(500, std::uint64_t{4} * group_.options.detect_ms) * 1'000'000;
  // One that reads on makes room; but the peers do not wait for ever.
  const bool stands_still = twins_.reader_stands_still_ns() > limit_ns;
  if (group_.now_ns - log_short_since_ns_ > (stands_still ? limit_ns : kSlowReaderTimes * limit_ns)) {
    twins_.drop_reader("it does not keep up with the log");
    if (!recorder_->active()) return;
  }
  // Operators are answered, a twin that has gone is noticed, and the heartbeat goes on; the wire waits in its ring.
  frames_left_ = true;
  twins_.serve();
  // A joiner may have to be given more before it reads on, and that may have been the last of it.
  twins_.continue_snapshot();
  twins_.end_turn(0);
  if (group_.operators.ready()) group_.operators.process(*gate_);
  gate_->close_turn(writer_->position(), released_tx_index_);
  gate_->committed(writer_->position());
  group_.process.loop().run_once(group_.now_ns + 50'000);
}

void Primary::stop_recording() {
  left_alone_ns_ = group_.now_ns;
  waiting_said_ = false;
  recorder_->stop();
  if (low_windows_) group_.stack->clamp_windows(0);
  low_windows_ = false;
  log_short_since_ns_ = 0;
  // An open transaction is finished, so that the log stays whole for the next reader.
  if (!writer_->overflowed().empty()) writer_->abandon();
  if (writer_->in_transaction()) writer_->publish(published_mark_);
}

void Primary::device_is_new() {
  deadly_.forget_left();
  published_mark_ = group_.device->mark();
  released_tx_index_ = published_mark_.tx_index;
  gate_ = std::make_unique<OutputGate>(*group_.device);
}

bool Primary::request_switchover(std::string* why) {
  if (group_.role == Role::primary && twins_.has_member()) return switchover_requested_ = true;
  if (why != nullptr) *why = "no switchover: " + twins_.why_unprotected();
  return false;
}

bool Primary::note(Bytes bytes) {
  if (!recorder_ || !recorder_->active()) return true;
  const bool fits = writer_->append_whole(RecordType::note, 0, bytes);
  TANDEM_SHOWN(Shown::application_note, 0, bytes.size());
  return fits;
}

std::uint64_t Primary::next_deadline_ns() {
  if (frames_left_ || work_left_ || twins_.has_work() || group_.operators.ready()) return 0;
  if (group_.device->tx_pending()) return group_.now_ns + 20'000;
  std::uint64_t deadline =
      std::min(group_.stack->next_timer_ns(), application_deadline_ns_ == 0 ? UINT64_MAX : application_deadline_ns_);
  if (group_.rendezvous)
    deadline = std::min(deadline, group_.now_ns + std::uint64_t{group_.options.detect_ms} * 1'000'000 / 4);
  deadline = std::min(deadline, twins_.look_again_ns());
  if (group_.link.reopen_at_ns() != 0) deadline = std::min(deadline, group_.link.reopen_at_ns());
  if (twins_.serve_from_ns() > group_.now_ns) deadline = std::min(deadline, twins_.serve_from_ns());
  if (settle_at_ns_ != 0) deadline = std::min(deadline, settle_at_ns_);
  if (hand_over_from_ns_ != 0) {
    // The peer may want this processor for what is waited for.
    const std::uint64_t latest_ns = hand_over_from_ns_ + kHandOverWithin_ns;
    deadline = std::min(deadline, group_.now_ns < hand_over_from_ns_ ? hand_over_from_ns_
                                  : group_.now_ns < latest_ns        ? latest_ns
                                                                     : group_.now_ns + kLookForRoom_ns);
  } else if (group_.process.stopping() || switchover_requested_) {
    deadline = std::min(deadline, group_.now_ns + (twins_.has_member() ? kLookForRoom_ns : kLookForSuccessor_ns));
  }
  if (lock_try_ns_ != 0) deadline = std::min(deadline, lock_try_ns_);
  return std::min(deadline, group_.now_ns + 1'000'000'000);
}

void Primary::settle() {
  settle_at_ns_ = 0;
  group_.twin.stop_watching_owner();
  open_sockets();
  say_takeover();
  if (group_.rendezvous && !group_.descriptors.lock.valid()) hold_lock();
}

void Primary::say_takeover() {
  if (took_over_from_ == 0) return;
  const TakeoverTimes& times = group_.shared->last_takeover;
  std::string text = "took over from pid " + std::to_string(std::exchange(took_over_from_, 0)) +
                     (times.cause == TakeoverCause::died   ? ", which died"
                      : times.cause == TakeoverCause::hung ? ", which hung and was killed"
                                                           : ", which handed over") +
                     ": " + std::to_string(group_.stack->connection_count()) + " connections go on, promoted after " +
                     std::to_string((times.promoted - times.noticed) / 1000) + " us";
  if (times.first_packet != 0)
    text += ", first packet after " + std::to_string((times.first_packet - times.noticed) / 1000) + " us";
  group_.log(text, times.cause == TakeoverCause::switchover ? LogLevel::notice : LogLevel::warning);
  group_.operators.say_capture_ended();
}

int Primary::run() {
  // Right after a takeover somebody waits: the first turn takes little in, so that its packets leave soon.
  const std::uint32_t batch_frames = std::exchange(
      group_.options.batch_frames, first_packet_pending_ ? kFirstBatchFrames : group_.options.batch_frames);
  turn();
  group_.options.batch_frames = batch_frames;
  group_.link.watch_frames(true);
  group_.process.loop().set_options(group_.options.loop);
  group_.process.loop().set_spin_condition([this] { return group_.device->rx_ready(); });
  // What else there is to do can wait: the peer may want this very processor for its next request.
  settle_at_ns_ = group_.now_ns + (group_.twin.watches_owner() ? kSettleAfter_ns : 0);
  for (;;) {
    if (settle_at_ns_ != 0 && group_.now_ns >= settle_at_ns_) settle();
    // The last transaction needs room too; a twin that is far behind is waited for, or removed.
    const bool twin_is_ready = twins_.is_protected() && writer_->room() > log_limits.fixed_reserve_bytes;
    const bool wants_to_go =
        switchover_requested_ || (group_.process.stopping() && group_.role == Role::primary && !group_.shut_down);
    if (wants_to_go && twin_is_ready) {
      if (hand_over_from_ns_ == 0) hand_over_from_ns_ = group_.now_ns + kHandOverFrom_ns;
      if (is_time_to_hand_over()) {
        group_.rejoin_wanted = switchover_requested_ && !group_.process.stopping();
        if (hand_over()) return exit_code::kOk;
      }
    } else {
      hand_over_from_ns_ = 0;
      if (!twins_.has_member() && std::exchange(switchover_requested_, false))
        group_.log("the switchover that was asked for is off: " + twins_.why_unprotected() +
                       ". Ask again when the group is protected",
                   LogLevel::warning);
    }
    if (group_.shut_down) dismiss_twins();
    if (group_.process.stopping() && !twins_.has_member() && !waits_for_successor()) return orderly_close();
    if (lock_try_ns_ != 0 && group_.now_ns >= lock_try_ns_) hold_lock();
    group_.process.loop().run_once(next_deadline_ns());
    if (group_.device->tx_pending()) group_.device->tx_kick();
    turn();
    group_.report_state(group_.now_ns, settle_at_ns_ == 0);
    // As a twin it got real-time priority. It keeps that while its predecessor's memory is torn down, which would take the
    // processor from it for milliseconds.
    if (group_.process.is_realtime() && group_.now_ns >= twins_.serve_from_ns()) group_.process.leave_realtime();
  }
}

/// Right behind an answer, when nobody waits for another: the twin takes over while the peer deals with it.
bool Primary::is_time_to_hand_over() {
  if (group_.now_ns < hand_over_from_ns_) return false;
  if (group_.operators.is_answering() && group_.now_ns < hand_over_from_ns_ + kAnswersWithin_ns) return false;
  return (turn_sent_ && !group_.device->rx_ready()) || group_.now_ns >= hand_over_from_ns_ + kHandOverWithin_ns;
}

}  // namespace tandem::ha
