// SPDX-License-Identifier: BSD-3-Clause
//
// What ends a primary's time: a planned switchover (design.md section 5), an orderly end, and the successor that is waited for
// when one event has hit both processes of the pair.
#include <algorithm>
#include <utility>

#include "log/log_limits.hpp"
#include "members/crash_notice.hpp"
#include "members/eligibility_word.hpp"
#include "members/owner_claim.hpp"
#include "node/group.hpp"
#include "node/system.hpp"
#include "tandem/planted.hpp"
#include "tandem/stop_point.hpp"

namespace tandem::ha {

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
/// Whoever has handed over waits so long for its successor's first packet before it gives its memory back.
constexpr std::uint64_t kAside_ns = 2'000'000;

}  // namespace

bool Primary::hand_over() {
  group_.now_ns = monotonic_ns();
  // The last transaction says so, and covers everything that was staged or dealt with.
  const std::uint32_t payload[2] = {1, 0};
  writer_->append(RecordType::role_change, 0, {{reinterpret_cast<const std::uint8_t*>(payload), sizeof payload}});
  TANDEM_STEP("switchover.recorded");
  publish_turn();
  if (!twins_.has_member()) return false;
  TANDEM_STOP_POINT("switchover.published");
  group_.device->give_away();
  TANDEM_STOP_POINT("switchover.given");
  hand_over_ownership(*group_.slot);
  TANDEM_STEP("switchover.handed_over");
  if (!twin_takes_over(*group_.slot)) {
    take_back();
    return false;
  }
  group_.slot = nullptr;
  group_.at_work = FramesAtWork();
  step_aside();
  group_.log("planned switchover: handed over to the twin");
  return true;
}

/// When the twin has gone, or does not move within the time after which a primary counts as hung, everything is claimed again;
/// whoever is first at the owner's word decides.
bool Primary::twin_takes_over(OwnerSlot& given) {
  const std::uint64_t until = monotonic_ns() + std::uint64_t{group_.options.detect_ms} * 1'000'000;
  while (given.life.word.load(std::memory_order_acquire) == kOwnerHandedOver) {
    if (twins_.reader_has_gone() || monotonic_ns() > until) {
      TANDEM_STEP("switchover.alone");
      return !reclaim_ownership(given, group_.process.identity());
    }
    // Whoever else waits for this processor is let in by sleeping only.
    system::sleep(kLookForTwin_ns);
  }
  return true;
}

void Primary::take_back() {
  set_crash_notice(group_.slot);
  TANDEM_STEP("switchover.reclaimed");
  // Whatever the twin has begun, it will find the owner's word claimed.
  twins_.take_back();
  group_.device->take_back();
  writer_->set_epoch(group_.shared->epoch.fetch_add(1) + 1);
  switchover_requested_ = group_.rejoin_wanted = false;
  hand_over_from_ns_ = 0;
  group_.log("planned switchover: the twin did not take over, going on", LogLevel::warning);
  twins_.drop_reader("it did not take over when it was handed everything");
}

void Primary::step_aside() {
  // Tearing down takes milliseconds of processor, and nobody is to wait for it. The way back takes root.
  group_.process.step_aside(group_.rejoin_wanted);
  // Whoever was woken before that is let in only by sleeping; and the twin is to have sent something first.
  const std::uint64_t until = monotonic_ns() + kAside_ns;
  do {
    system::sleep(200'000);
  } while (group_.shared->last_takeover.first_packet == 0 && monotonic_ns() < until);
  group_.device->give_back_memory();
  system::give_back(group_.log_mapping);
}

int Primary::orderly_close() {
  // A process that is told to end as it takes over comes here at once; operators are answered until it ends.
  if (settle_at_ns_ != 0) settle();
  group_.log("closing " + std::to_string(group_.stack->connection_count()) + " connections");
  for (const std::uint16_t port : group_.listening_ports) {
    for (const std::uint8_t version : {std::uint8_t{4}, std::uint8_t{6}})
      group_.stack->unlisten({IpAddress::any(version), port});
  }
  group_.now_ns = monotonic_ns();
  if (group_.application != nullptr) group_.application->on_stop(group_.node);
  group_.stack->for_each_connection([](Connection& connection) { connection.close(); });
  TANDEM_STEP("close.began");
  const std::uint64_t until = monotonic_ns() + kOrderlyClose_ns;
  while (group_.stack->connection_count() > 0 && monotonic_ns() < until) {
    turn();
    group_.report_state(group_.now_ns, true);
    group_.process.loop().run_once(std::min(next_deadline_ns(), until));
  }
  turn();
  return group_.shut_down ? exit_code::kShutDown : exit_code::kOk;
}

bool Primary::waits_for_successor() {
  if (stop_since_ns_ == 0) stop_since_ns_ = group_.now_ns;
  // A second signal says that it is meant.
  if (group_.role != Role::primary || group_.shut_down || group_.process.stops() > 1 || left_alone_ns_ == 0)
    return false;
  if (TANDEM_PLANTED(stop_closes_at_once)) return false;
  if (stop_since_ns_ > left_alone_ns_ + kOneEvent_ns) return false;
  const std::uint64_t since = std::max(stop_since_ns_, left_alone_ns_);
  if (group_.now_ns > since + (twins_.has_reader() ? kSuccessorJoins_ns : kSuccessor_ns)) return false;
  if (!std::exchange(waiting_said_, true))
    group_.log("told to end just as the other process of the pair has gone: waiting up to " +
                   std::to_string(kSuccessor_ns / 1'000'000'000) +
                   " seconds for a successor to hand over to (a second signal, or tandemctl shutdown, closes at once)",
               LogLevel::notice);
  return true;
}

void Primary::dismiss_twins() {
  if (group_.shared == nullptr) return;
  // First, so that whoever is removed knows why.
  group_.shared->shut_down.store(1, std::memory_order_release);
  twins_.drop_reader("the group is being shut down");
}

void Primary::hold_lock() {
  group_.descriptors.lock = group_.rendezvous->try_lock();
  const std::uint64_t soon = group_.now_ns < left_alone_ns_ + kLocksGoSoon_ns ? kLookForLock_ns : kLookForLockLater_ns;
  lock_try_ns_ = group_.descriptors.lock.valid() ? 0 : group_.now_ns + soon;
  // Only then: there is no moment at which a newcomer could take the group for abandoned.
  if (group_.descriptors.lock.valid()) group_.withdraw_holder();
}

}  // namespace tandem::ha
