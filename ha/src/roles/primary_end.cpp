// SPDX-License-Identifier: BSD-3-Clause
//
// What ends a primary's time: a planned switchover (design.md section 5), an orderly end, and the successor that is waited for
// when one event has hit both processes of the pair.
#include <algorithm>
#include <utility>

#include "log/log_limits.hpp"
#include "members/eligibility_word.hpp"
#include "node/node_impl.hpp"
#include "node/system.hpp"
#include "tandem/planted.hpp"
#include "tandem/stop_point.hpp"

namespace tandem {

namespace {

/// How long connections may take to close in good order when the process ends.
constexpr std::uint64_t kOrderlyClose_ns = 3'000'000'000;
/// What ends both processes of a pair within this time is taken for one event, which is not to end the connections: ...
constexpr std::uint64_t kOneEvent_ns = 5'000'000'000;
/// ... the later one waits so long for a successor, ...
constexpr std::uint64_t kSuccessor_ns = 5'000'000'000;
/// ... or so long, while one is being brought up.
constexpr std::uint64_t kSuccessorJoins_ns = 60'000'000'000;
/// A predecessor lets go of the group's lock with the last of what it had open.
constexpr std::uint64_t kLookForLock_ns = 1'000'000;
constexpr std::uint64_t kLocksGoSoon_ns = 100'000'000;
constexpr std::uint64_t kLookForLockLater_ns = 100'000'000;
/// How often a primary that has handed over looks whether its twin has taken over.
constexpr std::uint64_t kLookForTwin_ns = 200'000;

}  // namespace

bool Node::Impl::hand_over() {
  now_ns_ = monotonic_ns();
  // The last transaction says so, and covers everything that was staged or dealt with.
  const std::uint32_t payload[2] = {1, 0};
  writer_->append(ha::RecordType::role_change, 0, {{reinterpret_cast<const std::uint8_t*>(payload), sizeof payload}});
  TANDEM_STEP("switchover.recorded");
  publish_turn();
  if (!twin_is_member()) return false;
  TANDEM_STOP_POINT("switchover.published");
  device_->give_away();
  TANDEM_STOP_POINT("switchover.given");
  ha::hand_over_ownership(*slot_);
  TANDEM_STEP("switchover.handed_over");
  if (!twin_takes_over(*slot_)) {
    take_back();
    return false;
  }
  slot_ = nullptr;
  at_work_ = ha::FramesAtWork();
  step_aside();
  log("planned switchover: handed over to the twin");
  return true;
}

/// When the twin has gone, or does not move within the time after which a primary counts as hung, everything is claimed again;
/// whoever is first at the owner's word decides.
bool Node::Impl::twin_takes_over(ha::OwnerSlot& given) {
  const Session* const session = reader_session();
  const std::uint64_t until = monotonic_ns() + std::uint64_t{options_.detect_ms} * 1'000'000;
  while (given.life.word.load(std::memory_order_acquire) == ha::kOwnerHandedOver) {
    if (session_is_gone(*session) || monotonic_ns() > until) {
      TANDEM_STEP("switchover.alone");
      return !ha::reclaim_ownership(given, identity_);
    }
    // Whoever else waits for this processor is let in by sleeping only.
    ha::system::sleep(kLookForTwin_ns);
  }
  return true;
}

void Node::Impl::take_back() {
  ha::set_crash_notice(slot_);
  TANDEM_STEP("switchover.reclaimed");
  // Whatever the twin has begun, it will find the owner's word claimed.
  Session& session = *reader_session();
  group_->readers[*session.reader].state.store(ha::ReaderState::ineligible);
  device_->take_back();
  writer_->set_epoch(group_->epoch.fetch_add(1) + 1);
  switchover_requested_ = rejoin_wanted_ = false;
  hand_over_from_ns_ = 0;
  log("planned switchover: the twin did not take over, going on", LogLevel::warning);
  drop_reader(session, "it did not take over when it was handed everything");
}

int Node::Impl::orderly_close() {
  // A process that is told to end as it takes over comes here at once; operators are answered until it ends.
  if (settle_at_ns_ != 0) settle();
  log("closing " + std::to_string(stack_->connection_count()) + " connections");
  for (const std::uint16_t port : listening_ports_) {
    for (const std::uint8_t version : {std::uint8_t{4}, std::uint8_t{6}})
      stack_->unlisten({IpAddress::any(version), port});
  }
  now_ns_ = monotonic_ns();
  if (application_ != nullptr) application_->on_stop(node_);
  stack_->for_each_connection([](Connection& connection) { connection.close(); });
  TANDEM_STEP("close.began");
  const std::uint64_t until = monotonic_ns() + kOrderlyClose_ns;
  while (stack_->connection_count() > 0 && monotonic_ns() < until) {
    turn();
    report_state(now_ns_, true);
    loop_->run_once(std::min(next_deadline_ns(), until));
  }
  turn();
  return shut_down_ ? exit_code::kShutDown : exit_code::kOk;
}

bool Node::Impl::waits_for_successor() {
  if (stop_since_ns_ == 0) stop_since_ns_ = now_ns_;
  // A second signal says that it is meant.
  if (role_ != Role::primary || shut_down_ || stops_ > 1 || left_alone_ns_ == 0) return false;
  if (TANDEM_PLANTED(stop_closes_at_once)) return false;
  if (stop_since_ns_ > left_alone_ns_ + kOneEvent_ns) return false;
  const std::uint64_t since = std::max(stop_since_ns_, left_alone_ns_);
  if (now_ns_ > since + (reader_session() != nullptr ? kSuccessorJoins_ns : kSuccessor_ns)) return false;
  if (!std::exchange(waiting_said_, true))
    log("told to end just as the other process of the pair has gone: waiting up to " +
            std::to_string(kSuccessor_ns / 1'000'000'000) +
            " seconds for a successor to hand over to (a second signal, or tandemctl shutdown, closes at once)",
        LogLevel::notice);
  return true;
}

void Node::Impl::dismiss_twins() {
  if (group_ == nullptr) return;
  // First, so that whoever is removed knows why.
  group_->shut_down.store(1, std::memory_order_release);
  if (Session* session = reader_session()) drop_reader(*session, "the group is being shut down");
}

void Node::Impl::hold_lock() {
  descriptors_.lock = rendezvous_->try_lock();
  const std::uint64_t soon = now_ns_ < left_alone_ns_ + kLocksGoSoon_ns ? kLookForLock_ns : kLookForLockLater_ns;
  lock_try_ns_ = descriptors_.lock.valid() ? 0 : now_ns_ + soon;
  // Only then: there is no moment at which a newcomer could take the group for abandoned.
  if (descriptors_.lock.valid()) withdraw_holder();
}

}  // namespace tandem
