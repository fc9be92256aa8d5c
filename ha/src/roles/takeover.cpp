// SPDX-License-Identifier: BSD-3-Clause
//
// Fence, drain, adopt, promote (design.md section 6).
#include <cerrno>
#include <cstring>
#include <utility>

#include "members/crash_notice.hpp"
#include "members/eligibility_word.hpp"
#include "node/group.hpp"
#include "node/node_error.hpp"
#include "node/system.hpp"
#include "tandem/planted.hpp"
#include "tandem/stop_point.hpp"

namespace tandem::ha {

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

Twin::End Twin::fence_hung_owner() {
  OwnerSlot& owner = group_.shared->owners[group_.shared->owner.load() % kOwnerSlots];
  ReaderSlot& self = group_.shared->readers[reader_];
  group_.log("the primary (pid " + std::to_string(owner.number.load()) + ") has not turned for " +
                 std::to_string(group_.options.detect_ms) + " ms: killing it, then taking over",
             LogLevel::warning);
  if (!system::kill_process(owner_process_.get())) {
    group_.log(std::string("the hung primary cannot be killed: ") + std::strerror(errno) +
                   ". No fence, no takeover: end it by hand. Joining again",
               LogLevel::error);
    self.state.store(ReaderState::ineligible);
    return End::join_again;
  }
  // It may have handed over in its last moment, and could have had that back: so that is taken, not looked at. A signal that was
  // sent cannot be had back either: it will end, and then this twin takes over, however long the kernel keeps it.
  const std::uint64_t killed_ns = monotonic_ns();
  std::uint64_t said_ns = killed_ns;
  while (owner_fate(owner) != OwnerFate::died && !take_handed_over(owner)) {
    const std::uint64_t now = monotonic_ns();
    if (now - said_ns > kSayAgain_ns) {
      said_ns = now;
      group_.log(
          "the hung primary was killed " + std::to_string((now - killed_ns) / 1'000'000'000) +
              " seconds ago and has not ended yet (blocked in the kernel, as by a device or a network file system?). "
              "No "
              "fence, no takeover: waiting for its end",
          LogLevel::warning);
    }
    if (group_.process.stopping()) {
      self.state.store(ReaderState::ineligible);
      return End::stop;
    }
    group_.report_state(now, true);
    system::wait_for_word(owner.life.word, owner.life.word.load(), 1'000'000);
    if (now - killed_ns > 10'000'000) group_.process.loop().run_once(0);
  }
  return End::take_over;
}

FramesLeft Twin::look_at_death(TakeoverCause cause) {
  const OwnerSlot& dead = group_.shared->owners[group_.shared->owner.load() % kOwnerSlots];
  const bool crashed = cause == TakeoverCause::died && dead.crashed.load() != 0;
  // A frame that was dealt with between two deaths is progress, and so is one that is dropped. Without any, something else ends one
  // process after the other, and taking over again does not help.
  const std::optional<WireMark> mark = replica_->mark();
  const std::uint32_t rx_index = mark ? frames_dealt_with(*mark) : 0;
  const FramesLeft left = frames_left(dead);
  const bool stands_still = crashed && !left.any() && group_.shared->futile_rx_index.load() == rx_index;
  const std::uint32_t futile = stands_still ? group_.shared->futile_takeovers.load() + 1 : 0;
  group_.shared->futile_takeovers.store(futile);
  group_.shared->futile_rx_index.store(rx_index);
  if (futile >= kMaxFutileTakeovers) {
    throw NodeError(exit_code::kTakeoverLoop,
                    std::to_string(futile + 1) +
                        " processes in a row died by their own fault while no frame came in (signal " +
                        std::to_string(dead.crashed.load()) + ", log position " +
                        std::to_string(group_.shared->last_takeover.position) +
                        "). Stopped, so that somebody looks: keep the core dumps, then start the group anew.");
  }
  return crashed || (owner_hung_ && !owner_was_stopped_) ? left : FramesLeft{};
}

void Twin::take_over(TakeoverCause cause) {
  TakeoverTimes& times = group_.shared->last_takeover;
  times.cause = cause;
  times.fenced = monotonic_ns();
  if (!replica_->apply(group_.shared->published.load(std::memory_order_acquire))) {
    throw NodeError(exit_code::kProtocol,
                    "the log cannot be drained: " + replica_->error() + ". Connections are lost; start again.");
  }
  times.drained = monotonic_ns();
  TANDEM_STEP("takeover.drained");
  times.position = replica_->position();

  const FramesLeft left = look_at_death(cause);
  const std::uint32_t predecessor = group_.shared->owners[group_.shared->owner.load() % kOwnerSlots].number.load();
  group_.slot =
      &claim_ownership(*group_.shared, group_.process.identity(), static_cast<std::uint32_t>(system::process_id()));
  group_.at_work = FramesAtWork(group_.slot);
  set_crash_notice(group_.slot);
  TANDEM_STEP("takeover.claimed");
  group_.shared->epoch.fetch_add(1);
  group_.shared->takeovers.fetch_add(1);
  TANDEM_STOP_POINT("adopt.begin");

  const std::optional<WireMark> mark = replica_->mark();
  group_.device->adopt(mark ? &*mark : nullptr);
  times.adopted = monotonic_ns();
  times.adopted_packets = group_.device->adopted_packets();
  TANDEM_STOP_POINT("adopt.done");

  leave_place(group_.shared->readers[reader_]);
  place_held_ = false;
  free_readers(*group_.shared);
  TANDEM_STEP("takeover.readers");
  old_feed_ = replica_->take_feed();
  if (TANDEM_PLANTED(predecessor_leaked)) static_cast<void>(replica_.release());
  replica_.reset();
  // What has come so far was said to the twin.
  group_.process.take_signals();
  group_.primary.start_promoted(left, owner_hung_ ? DeadlyFrames::End::hung : DeadlyFrames::End::died, predecessor);
}

}  // namespace tandem::ha
