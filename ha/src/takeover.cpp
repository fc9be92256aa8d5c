// SPDX-License-Identifier: BSD-3-Clause
//
// Fence, drain, adopt, promote (design.md section 6).
#include <cerrno>
#include <cstring>
#include <utility>

#include "membership.hpp"
#include "node_impl.hpp"
#include "system.hpp"
#include "tandem/planted.hpp"
#include "tandem/stop_point.hpp"

namespace tandem {

using ha::NodeError;
using ha::OwnerFate;

namespace {

constexpr std::uint64_t kFenceWithin_ns = 5'000'000'000;
constexpr std::uint32_t kMaxFutileTakeovers = 3;

}  // namespace

void Node::Impl::fence_hung_owner() {
  ha::OwnerSlot& owner = group_->owners[group_->owner.load() % ha::kOwnerSlots];
  log("the primary (pid " + std::to_string(owner.pid.load()) + ") has not turned for " +
          std::to_string(options_.detect_ms) + " ms: killing it, then taking over",
      LogLevel::warning);
  if (!ha::system::kill_process(owner_process_.get())) {
    throw NodeError(exit_code::kPrivilege, std::string("the hung primary cannot be killed: ") + std::strerror(errno) +
                                               ". No fence, no takeover: end it by hand.");
  }
  const std::uint64_t until = monotonic_ns() + kFenceWithin_ns;
  // It may have handed over in its last moment, and could have had that back: so that is taken, not looked at.
  while (ha::owner_fate(owner.word.load(std::memory_order_acquire)) != OwnerFate::died &&
         !ha::take_handed_over(owner)) {
    if (monotonic_ns() > until) {
      throw NodeError(exit_code::kSystem,
                      "the hung primary was killed but its thread has not ended after 5 seconds (blocked in the "
                      "kernel?). No fence, no takeover.");
    }
    report_state(monotonic_ns(), true);
    ha::system::wait_for_word(owner.word, owner.word.load(), 1'000'000);
  }
}

void Node::Impl::set_predecessor_aside() {
  if (predecessor_ == 0 || predecessor_step_ == ha::system::kIdleSteps) return;
  ha::system::make_idle(predecessor_, predecessor_step_++);
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

  // A transaction between two takeovers is progress. Without any, the same thing kills one process after the other.
  const std::uint32_t futile = replica_->transactions() == 0 ? group_->futile_takeovers.load() + 1 : 0;
  group_->futile_takeovers.store(futile);
  if (futile >= kMaxFutileTakeovers) {
    throw NodeError(exit_code::kTakeoverLoop,
                    "log position " + std::to_string(times.position) +
                        " has failed takeover after takeover. "
                        "Stopped, so that somebody looks: keep the core dumps, then start the group anew.");
  }
  predecessor_step_ = 0;
  took_over_from_ = group_->owners[group_->owner.load() % ha::kOwnerSlots].pid.load();
  if (cause != Cause::switchover) predecessor_ = group_->owners[group_->owner.load() % ha::kOwnerSlots].pid.load();
  slot_ = &ha::claim_ownership(*group_);
  ha::set_crash_notice(slot_);
  TANDEM_STEP("takeover.claimed");
  group_->epoch.fetch_add(1);
  group_->takeovers.fetch_add(1);
  TANDEM_STOP_POINT("adopt.begin");

  const std::optional<WireMark> mark = replica_->mark();
  device_->adopt(mark ? &*mark : nullptr);
  times.adopted = monotonic_ns();
  times.adopted_packets = device_->adopted_packets();
  // Nothing waits in the ring: then what the peer has to say may wait for the processor that the predecessor dies on.
  if (!device_->rx_ready()) set_predecessor_aside();
  TANDEM_STOP_POINT("adopt.done");

  ha::free_readers(*group_);
  TANDEM_STEP("takeover.readers");
  if (TANDEM_PLANTED(predecessor_leaked)) static_cast<void>(replica_.release());
  replica_.reset();
  role_ = Role::primary;
  now_ns_ = monotonic_ns();
  make_writer();
  TANDEM_STEP("takeover.writer");
  released_tx_index_ = device_->mark().tx_index;
  first_packet_pending_ = !device_->adoption_sent();
  peer_answer_pending_ = true;
  if (first_packet_pending_) {
    gate_->send_first_alone([this] {
      first_packet_pending_ = false;
      group_->last_takeover.first_packet = monotonic_ns();
    });
  } else {
    times.first_packet = times.adopted;
  }
  stack_->activate(device_->adoption_is_exact() ? Stack::Adoption::exact : Stack::Adoption::kicked);
  times.promoted = monotonic_ns();
  TANDEM_STOP_POINT("promote.linked");
  if (application_ != nullptr) application_->on_primary(node_, true);
  unprotected_why_ = "no twin has attached since the takeover";
  // Bringing up a twin costs more than the takeover did: real work first.
  attach_from_ns_ = now_ns_ + std::uint64_t{options_.reprotect_delay_ms} * 1'000'000;
}

}  // namespace tandem
