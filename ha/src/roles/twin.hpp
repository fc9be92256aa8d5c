// SPDX-License-Identifier: BSD-3-Clause
//
// Who follows the group's log, watches the primary's claim to the wire, and takes over.
#pragma once

#include <cstdint>
#include <memory>

#include "channel/shared_memory.hpp"
#include "log/replica.hpp"
#include "members/fencing.hpp"
#include "members/owner_claim.hpp"
#include "members/shared_group.hpp"
#include "roles/frames_at_work.hpp"
#include "tandem/loop.hpp"

namespace tandem::ha {

struct Group;

class Twin {
 public:
  enum class End : std::uint8_t { take_over, join_again, stop, shut_down };

  explicit Twin(Group& group) : group_(group) {}

  /// Asks the primary at the other end to be taken in. is_attached() says whether that was done; Group::attach_failure why not.
  /// Throws NodeError when asking again would not help.
  void attach(Descriptor socket);
  [[nodiscard]] bool is_attached() const { return attach_socket_.valid(); }
  /// Follows, until it has taken over (Primary::run goes on from there), or is to end or to begin anew.
  End run();
  /// It had been brought up to date.
  [[nodiscard]] bool was_complete() const { return replica_ && replica_->complete(); }
  [[nodiscard]] bool follows() const { return replica_ != nullptr; }
  /// Of the transaction that is being applied, or was applied last.
  [[nodiscard]] std::uint64_t time_ns() const { return replica_->time_ns(); }
  [[nodiscard]] bool watches_owner() const { return socket_watch_ != 0; }
  void stop_watching_owner();
  /// The claim to its place goes before the memory that it lies in.
  void drop_claim();
  void leave();

 private:
  // ---- twin.cpp ----
  bool say_hello(int socket);
  [[nodiscard]] End owner_is_gone(OwnerFate fate);
  /// Whether a primary that hangs can be ended from here. Says once for each time that it hangs when it cannot.
  [[nodiscard]] bool can_fence(std::uint64_t heartbeat);

  // ---- takeover.cpp ----
  /// take_over when it has ended, however long that takes; else what becomes of this twin.
  [[nodiscard]] End fence_hung_owner();
  void take_over(TakeoverCause cause);
  /// The frames that the owner was at which has ended, if it ended by its own fault or hung. Throws when owners die without end.
  [[nodiscard]] FramesLeft look_at_death(TakeoverCause cause);

  Group& group_;
  Descriptor attach_socket_;
  Descriptor owner_process_, owner_stat_, owner_schedstat_;
  Fencing fencing_ = Fencing::unknown;
  bool owner_hung_ = false;                  ///< in its end, whoever ended it
  bool owner_was_stopped_ = false;           ///< when it was found hanging
  std::uint64_t hang_said_at_ = UINT64_MAX;  ///< heartbeat of the hang that could not be ended
  Loop::WatchId socket_watch_ = 0;           ///< of attach_socket_; 0 = none
  Loop::WatchId word_watch_ = 0;             ///< of the owner's word, while word_watched_
  bool socket_closed_ = false;
  bool word_watched_ = false;
  std::unique_ptr<Replica> replica_;
  std::unique_ptr<SnapshotFeed> old_feed_;  ///< of a takeover right behind the joining, until there is time to unmap it
  std::uint32_t reader_ = 0;
  bool place_held_ = false;  ///< this thread holds readers[reader_]
};

}  // namespace tandem::ha
