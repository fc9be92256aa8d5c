// SPDX-License-Identifier: BSD-3-Clause
//
// Frames that end the processes that read them. A process that dies by its own fault, or hangs and is ended, leaves in shared memory
// which frames it was at (frames_at_work.hpp), and whoever takes over would meet the same ones: they are in the ring still. So it
// drops them, which costs TCP a retransmission, and remembers what it dropped:
//
//   ended one    the frame is tried again when it comes back, but only by a process that has a twin; until then it is dropped
//   ended two    it is dropped whenever it comes; its connection, which cannot go on, is reset when that has been often enough
//
// A process that ended behind its frames, in a handler, leaves all of its turn: all of it is dropped, and for a while its successor
// takes one frame a turn, so that the next end names one. Those frames too are tried again by a process that has a twin, but as most
// of them are innocent they wait for that no longer than some seconds. What is known lies in shared memory and goes from owner to owner,
// but for these.
//
// A hang says less than a death: the machine may have kept the process from going on, and then the frame is innocent. One that
// was stopped by a signal says nothing, and nothing is dropped for it. Else it counts: whoever hangs at a frame, and hangs at it again
// when its sender repeats it, would do so for as long as it is repeated, and each time costs everybody a detection time. That two
// processes are kept from running within the same few microseconds' work is no accident. But one that has only hung once is not kept
// waiting for a twin without end: a group that is given none must not withhold from a connection what is innocent most often.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "members/shared_group.hpp"
#include "roles/frames_at_work.hpp"
#include "tandem/address.hpp"

namespace tandem::ha {

/// By what a frame is known again when its sender repeats it: a TCP segment that takes sequence space by its ends and its sequence
/// number, whatever else its sender has changed since; any other frame by its bytes, without what IPv4 counts up.
struct FrameIdentity {
  struct Segment {
    Endpoint source, destination;
    std::uint32_t seq = 0;
  };
  std::uint64_t key = 0;  ///< never 0
  std::optional<Segment> segment;
  [[nodiscard]] std::string to_string() const;
};
FrameIdentity identify(Bytes frame);

class DeadlyFrames {
 public:
  /// Of a frame that has ended two processes, before its connection is given up. One that has ended one may be innocent: it waits
  /// until there is a twin, however often it comes.
  static constexpr std::uint32_t kMostDropsOfDeadly = 3;
  /// For so long one frame a turn is taken, after an end that named more than one; and so long frames that were left may take to be
  /// shown, which they are in the first turns.
  static constexpr std::uint64_t kCareful_ns = 10'000'000'000;
  /// For so long after a takeover a frame that may well be innocent waits for a twin, one that a single process has hung at or one of
  /// several: somewhat more than the start of a twin takes.
  static constexpr std::uint64_t kPatience_ns = 3'000'000'000;
  /// What has not come for so long will not come again, and frames need not be looked at any more.
  static constexpr std::uint64_t kForgetAfter_ns = 600'000'000'000;

  enum class Verdict : std::uint8_t {
    process,
    first_drop,  ///< drop it, and say so: it has just ended a process
    drop,
    give_up  ///< drop it and reset its connection
  };

  enum class End : std::uint8_t { died, hung };

  /// Primary, behind a takeover. `left`: what the owner that died by its own fault or hung was at; nothing when it was no fault of its
  /// own. `mark`: from where on frames will be shown.
  void begin(SharedGroup& group, const FramesLeft& left, End end, const WireMark& mark, std::uint64_t now_ns);
  /// The rings are others: what was left in the old ones will not be shown.
  void forget_left() { left_ = {}; }
  /// Whether frames have to be judged at all. Nearly always false.
  [[nodiscard]] bool is_alert() const { return alert_; }
  [[nodiscard]] bool is_careful(std::uint64_t now_ns) const { return alert_ && now_ns < careful_until_ns_; }
  /// What becomes of this frame; all have to be asked for while is_alert(), those of one source in their order. `has_twin`: somebody
  /// goes on if it ends this process as well.
  Verdict judge(FramePlace place, const FrameIdentity& frame, bool has_twin, std::uint64_t now_ns);
  /// The turn is published: what was tried again in it has done no harm, and is forgotten.
  void end_turn(std::uint64_t now_ns);
  /// Processes that this frame has ended, as far as that is known.
  [[nodiscard]] std::uint32_t ended_by(std::uint64_t key) const;
  [[nodiscard]] End last_end() const { return end_; }

 private:
  [[nodiscard]] DeadlyFrame* find(std::uint64_t key) const;
  DeadlyFrame& note(std::uint64_t key);
  static void forget(DeadlyFrame& entry);
  static std::uint32_t ended_by(const DeadlyFrame& entry);
  [[nodiscard]] bool anything_is_known() const;

  SharedGroup* group_ = nullptr;
  bool alert_ = false;
  FramesLeft left_;                      ///< what is still to be shown of it
  bool left_one_ = false;                ///< the end named a single frame
  std::vector<std::uint64_t> suspects_;  ///< keys of those that were dropped together, and have not been tried again
  End end_ = End::died;
  std::uint64_t began_ns_ = 0;
  std::uint64_t careful_until_ns_ = 0;
  bool met_ = false;  ///< in this turn
  std::uint64_t last_met_ns_ = 0;
  std::uint64_t tried_ = 0;  ///< key of the frame that this turn tries again
};

}  // namespace tandem::ha
