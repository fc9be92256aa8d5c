// SPDX-License-Identifier: BSD-3-Clause
//
// Frames that end the processes that read them. A process that dies by its own fault leaves in shared memory which frames it was at
// (OwnerSlot::frames), and whoever takes over would meet the same ones: they are in the ring still. So it drops them, which costs
// TCP a retransmission, and remembers what it dropped:
//
//   died once    the frame is tried again when it comes back, but only by a process that has a twin; until then it is dropped
//   died twice   it is dropped whenever it comes; its connection, which cannot go on, is reset when that has been often enough
//
// A process that died behind its frames, in a handler, leaves a batch: all of it is dropped, and for a while its successor takes one
// frame a turn, so that the next death names one. What is known lies in shared memory and goes from owner to owner.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "shared_group.hpp"
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

/// OwnerSlot::frames: how many frames from which index of the receive ring on; 0 = none.
/// It and its successor count what they are shown: an index is the one at which its turn began, and the frames shown since.
constexpr std::uint64_t frames_word(std::uint32_t first, std::uint32_t count) {
  return std::uint64_t{count} << 32 | first;
}

class DeadlyFrames {
 public:
  /// Of a frame that has ended two processes, before its connection is given up. One that has ended one may be innocent: it waits
  /// until there is a twin, however often it comes.
  static constexpr std::uint32_t kMostDropsOfDeadly = 3;
  /// For so long one frame a turn is taken, after a death that named more than one.
  static constexpr std::uint64_t kCareful_ns = 10'000'000'000;
  /// What has not come for so long will not come again, and frames need not be looked at any more.
  static constexpr std::uint64_t kForgetAfter_ns = 600'000'000'000;

  enum class Verdict : std::uint8_t {
    process,
    first_drop,  ///< drop it, and say so: it has just ended a process
    drop,
    give_up  ///< drop it and reset its connection
  };

  /// Primary, behind a takeover. `left_at`: the frames word of the owner that died or hung, or 0 when that was no fault of its own,
  /// or at no frame; `died`: not a hang, which says little about the frame; `rx_index`: of the first frame that will be shown.
  void begin(SharedGroup& group, std::uint64_t left_at, bool died, std::uint32_t rx_index, std::uint64_t now_ns);
  /// Whether frames have to be judged at all. Nearly always false.
  [[nodiscard]] bool is_alert() const { return alert_; }
  [[nodiscard]] bool is_careful(std::uint64_t now_ns) const { return alert_ && now_ns < careful_until_ns_; }
  /// What becomes of the next frame that is shown; all have to be asked for while is_alert(). `has_twin`: somebody goes on if it ends this process as well.
  Verdict judge(const FrameIdentity& frame, bool has_twin);
  /// The turn is published: what was tried again in it has done no harm, and is forgotten.
  void end_turn(std::uint64_t now_ns);
  /// Processes that this frame has ended, as far as that is known.
  [[nodiscard]] std::uint32_t deaths_by(std::uint64_t key) const;

 private:
  [[nodiscard]] DeadlyFrame* find(std::uint64_t key) const;
  DeadlyFrame& note(std::uint64_t key);
  static void forget(DeadlyFrame& entry);
  [[nodiscard]] bool anything_is_known() const;

  SharedGroup* group_ = nullptr;
  bool alert_ = false;
  std::uint32_t before_left_ = 0, left_count_ = 0;  ///< frames that are shown before those of the dead owner, and those
  bool left_one_ = false;                           ///< the death named a single frame
  std::uint64_t careful_until_ns_ = 0;
  bool met_ = false;  ///< in this turn
  std::uint64_t last_met_ns_ = 0;
  std::uint64_t tried_ = 0;  ///< key of the frame that this turn tries again
};

}  // namespace tandem::ha
