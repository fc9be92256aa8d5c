// SPDX-License-Identifier: BSD-3-Clause
//
// Fence, drain, adopt, promote (design.md section 6).
#include <cerrno>
#include <cstring>
#include <utility>

#include "members/eligibility_word.hpp"
#include "node/node_impl.hpp"
#include "node/system.hpp"
#include "tandem/planted.hpp"
#include "tandem/stop_point.hpp"

namespace tandem {

using ha::NodeError;
using ha::OwnerFate;

namespace {

/// How often a twin says that it still waits for the end of a primary that it has killed.
constexpr std::uint64_t kSayAgain_ns = 5'000'000'000;
constexpr std::uint32_t kMaxFutileTakeovers = 3;

/// Frames of all queues that have been dealt with; it wraps.
std::uint32_t frames_dealt_with(const WireMark& mark) {
  std::uint32_t sum = mark.rx_index;
  for (std::uint32_t i = 0; i < mark.more_queues && i < mark.more_rx_indices.size(); ++i)
    sum += mark.more_rx_indices[i];
  return sum;
}

}  // namespace

Node::Impl::TwinEnd Node::Impl::fence_hung_owner() {
  ha::OwnerSlot& owner = group_->owners[group_->owner.load() % ha::kOwnerSlots];
  ha::ReaderSlot& self = group_->readers[reader_];
  log("the primary (pid " + std::to_string(owner.number.load()) + ") has not turned for " +
          std::to_string(options_.detect_ms) + " ms: killing it, then taking over",
      LogLevel::warning);
  if (!ha::system::kill_process(owner_process_.get())) {
    log(std::string("the hung primary cannot be killed: ") + std::strerror(errno) +
            ". No fence, no takeover: end it by hand. Joining again",
        LogLevel::error);
    self.state.store(ha::ReaderState::ineligible);
    return TwinEnd::join_again;
  }
  // It may have handed over in its last moment, and could have had that back: so that is taken, not looked at. A signal that was
  // sent cannot be had back either: it will end, and then this twin takes over, however long the kernel keeps it.
  const std::uint64_t killed_ns = monotonic_ns();
  std::uint64_t said_ns = killed_ns;
  while (ha::owner_fate(owner) != OwnerFate::died && !ha::take_handed_over(owner)) {
    const std::uint64_t now = monotonic_ns();
    if (now - said_ns > kSayAgain_ns) {
      said_ns = now;
      log("the hung primary was killed " + std::to_string((now - killed_ns) / 1'000'000'000) +
              " seconds ago and has not ended yet (blocked in the kernel, as by a device or a network file system?). "
              "No "
              "fence, no takeover: waiting for its end",
          LogLevel::warning);
    }
    if (stopping()) {
      self.state.store(ha::ReaderState::ineligible);
      return TwinEnd::stop;
    }
    report_state(now, true);
    ha::system::wait_for_word(owner.life.word, owner.life.word.load(), 1'000'000);
    if (now - killed_ns > 10'000'000) loop_->run_once(0);
  }
  return TwinEnd::take_over;
}

void Node::Impl::say_takeover() {
  if (took_over_from_ == 0) return;
  const ha::TakeoverTimes& times = group_->last_takeover;
  const auto cause = static_cast<Cause>(times.cause);
  std::string text = "took over from pid " + std::to_string(std::exchange(took_over_from_, 0)) +
                     (cause == Cause::died   ? ", which died"
                      : cause == Cause::hung ? ", which hung and was killed"
                                             : ", which handed over") +
                     ": " + std::to_string(stack_->connection_count()) + " connections go on, promoted after " +
                     std::to_string((times.promoted - times.noticed) / 1000) + " us";
  if (times.first_packet != 0)
    text += ", first packet after " + std::to_string((times.first_packet - times.noticed) / 1000) + " us";
  log(text, cause == Cause::switchover ? LogLevel::notice : LogLevel::warning);
  say_capture_ended();
}

ha::FramesLeft Node::Impl::look_at_death(Cause cause) {
  const ha::OwnerSlot& dead = group_->owners[group_->owner.load() % ha::kOwnerSlots];
  const bool crashed = cause == Cause::died && dead.crashed.load() != 0;
  // A frame that was dealt with between two deaths is progress, and so is one that is dropped. Without any, something else ends one
  // process after the other, and taking over again does not help.
  const std::optional<WireMark> mark = replica_->mark();
  const std::uint32_t rx_index = mark ? frames_dealt_with(*mark) : 0;
  const ha::FramesLeft left = ha::frames_left(dead);
  const bool stands_still = crashed && !left.any() && group_->futile_rx_index.load() == rx_index;
  const std::uint32_t futile = stands_still ? group_->futile_takeovers.load() + 1 : 0;
  group_->futile_takeovers.store(futile);
  group_->futile_rx_index.store(rx_index);
  if (futile >= kMaxFutileTakeovers) {
    throw NodeError(
        exit_code::kTakeoverLoop,
        std::to_string(futile + 1) + " processes in a row died by their own fault while no frame came in (signal " +
            std::to_string(dead.crashed.load()) + ", log position " + std::to_string(group_->last_takeover.position) +
            "). Stopped, so that somebody looks: keep the core dumps, then start the group anew.");
  }
  return crashed || (owner_hung_ && !owner_was_stopped_) ? left : ha::FramesLeft{};
}

void Node::Impl::take_over(Cause cause) {
  ha::TakeoverTimes& times = group_->last_takeover;
  times.cause = static_cast<std::uint64_t>(cause);
  times.fenced = monotonic_ns();
  if (!replica_->apply(group_->published.load(std::memory_order_acquire))) {
    throw NodeError(exit_code::kProtocol,
                    "the log cannot be drained: " + replica_->error() + ". Connections are lost; start again.");
  }
  times.drained = monotonic_ns();
  TANDEM_STEP("takeover.drained");
  times.position = replica_->position();

  const ha::FramesLeft left = look_at_death(cause);
  took_over_from_ = group_->owners[group_->owner.load() % ha::kOwnerSlots].number.load();
  slot_ = &ha::claim_ownership(*group_, identity_, static_cast<std::uint32_t>(ha::system::process_id()));
  at_work_ = ha::FramesAtWork(slot_);
  ha::set_crash_notice(slot_);
  TANDEM_STEP("takeover.claimed");
  group_->epoch.fetch_add(1);
  group_->takeovers.fetch_add(1);
  TANDEM_STOP_POINT("adopt.begin");

  const std::optional<WireMark> mark = replica_->mark();
  device_->adopt(mark ? &*mark : nullptr);
  times.adopted = monotonic_ns();
  times.adopted_packets = device_->adopted_packets();
  TANDEM_STOP_POINT("adopt.done");

  ha::leave_place(group_->readers[reader_]);
  place_held_ = false;
  ha::free_readers(*group_);
  TANDEM_STEP("takeover.readers");
  if (TANDEM_PLANTED(predecessor_leaked)) static_cast<void>(replica_.release());
  replica_.reset();
  role_ = Role::primary;
  left_alone_ns_ = monotonic_ns();
  now_ns_ = turn_began_ns_ = monotonic_ns();
  make_writer();
  TANDEM_STEP("takeover.writer");
  released_tx_index_ = device_->mark().tx_index;
  using End = ha::DeadlyFrames::End;
  deadly_.begin(*group_, left, owner_hung_ ? End::hung : End::died, device_->mark(), now_ns_);
  first_packet_pending_ = !device_->adoption_sent();
  peer_answer_pending_ = first_turn_ = true;
  if (first_packet_pending_) {
    gate_->send_first_alone([this] {
      first_packet_pending_ = false;
      group_->last_takeover.first_packet = monotonic_ns();
    });
  } else {
    times.first_packet = times.adopted;
  }
  stack_->activate(device_->adoption_is_exact() ? Stack::Adoption::exact : Stack::Adoption::kicked);
  if (device_->announce_after_adoption()) stack_->announce();
  times.promoted = monotonic_ns();
  TANDEM_STOP_POINT("promote.linked");
  if (application_ != nullptr) application_->on_primary(node_, true);
  unprotected_why_ = "no twin has attached since the takeover";
  // Bringing up a twin costs more than the takeover did: real work first.
  attach_from_ns_ = now_ns_ + std::uint64_t{options_.reprotect_delay_ms} * 1'000'000;
}

}  // namespace tandem
