// SPDX-License-Identifier: BSD-3-Clause
//
// Who speaks for the group's connections, or for those of a node without a group: the turn (design.md section 3), and how its
// time begins and ends.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "channel/rendezvous.hpp"
#include "gate/output_gate.hpp"
#include "log/log_ring.hpp"
#include "log/recorder.hpp"
#include "roles/attach_server.hpp"
#include "roles/deadly_frames.hpp"
#include "tandem/device.hpp"

namespace tandem::ha {

struct Group;

class Primary {
 public:
  struct Counters {
    std::uint64_t turns = 0, frames = 0, longest_turn_ns = 0, log_waits = 0, deadly_frames = 0;
  };

  explicit Primary(Group& group) : group_(group), twins_(group, *this) {}

  // ---- How it begins ----
  void start_alone();
  /// The first of its group.
  void start(Rendezvous::PrimaryDescriptors descriptors);
  /// The device is adopted from a predecessor, whose number it was; `left` are the frames that ended it.
  void start_promoted(const FramesLeft& left, DeadlyFrames::End end, std::uint32_t predecessor);

  /// Turn after turn, until it has handed over or is to end. Returns an exit code.
  int run();

  // ---- What others want of it ----
  bool request_switchover(std::string* why);
  /// False: it does not fit.
  bool note(Bytes bytes);
  void still_working();
  /// Another device is behind the group's, with rings that nothing has passed yet.
  void device_is_new();
  void drop_twin(std::string_view why) { twins_.drop_reader(why); }
  /// Nobody reads the log any more.
  void stop_recording();
  /// The next turn publishes, whatever it has to say.
  void publish_next_turn() { last_publish_ns_ = 0; }

  [[nodiscard]] AttachServer& twins() { return twins_; }
  [[nodiscard]] const AttachServer& twins() const { return twins_; }
  [[nodiscard]] LogWriter& writer() { return *writer_; }
  [[nodiscard]] Recorder& recorder() { return *recorder_; }
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  // ---- primary.cpp ----
  void make_shared();
  void make_writer();
  void open_sockets();
  void turn();
  void take_frames(std::size_t room_bytes);
  /// Whether this frame is not to be processed; then it is given back.
  [[nodiscard]] bool drop_deadly(const RxFrame& frame);
  void reset_connection_of(const FrameIdentity& frame);
  [[nodiscard]] std::uint64_t turn_reserve_bytes() const;
  void run_application();
  void publish_turn();
  void wait_for_log();
  [[nodiscard]] std::uint64_t next_deadline_ns();
  /// What a promoted process has put off.
  void settle();
  /// The one line of the log about a takeover, when nobody waits any more.
  void say_takeover();

  // ---- primary_end.cpp ----
  int orderly_close();
  /// It is to end and has no twin: whether one may come soon that its connections can be handed to.
  [[nodiscard]] bool waits_for_successor();
  void dismiss_twins();
  void hold_lock();
  /// False: the twin did not take over, and this process has everything back.
  bool hand_over();
  [[nodiscard]] bool is_time_to_hand_over();
  [[nodiscard]] bool twin_takes_over(OwnerSlot& given);
  void take_back();
  /// Out of the way of whoever has taken over.
  void step_aside();

  Group& group_;
  AttachServer twins_;
  std::unique_ptr<LogWriter> writer_;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<OutputGate> gate_;

  std::uint64_t turn_began_ns_ = 0;
  WireMark published_mark_;
  std::uint64_t last_publish_ns_ = 0;
  std::uint64_t log_short_since_ns_ = 0;
  bool low_windows_ = false;
  std::uint32_t released_tx_index_ = 0;
  bool turn_sent_ = false;  ///< the turn before handed packets over
  bool frames_left_ = false;
  bool work_left_ = false;
  std::uint64_t application_deadline_ns_ = 0;
  std::vector<RxFrame> batch_;
  DeadlyFrames deadly_;
  Counters counters_;

  // Behind a takeover.
  bool first_turn_ = false;
  bool first_packet_pending_ = false;
  bool peer_answer_pending_ = false;
  std::uint64_t settle_at_ns_ = 0;    ///< when it does what it has put off; 0 = done
  std::uint32_t took_over_from_ = 0;  ///< number of the predecessor, as long as the log does not say so
  std::uint64_t lock_try_ns_ = 0;     ///< it asks for the group's lock until its predecessor has let it go

  // Its end.
  bool switchover_requested_ = false;
  std::uint64_t hand_over_from_ns_ = 0;  ///< a switchover that is wanted; 0 = none
  std::uint64_t stop_since_ns_ = 0;      ///< since when it is to end
  std::uint64_t left_alone_ns_ = 0;      ///< when the other process of the pair has gone; 0 = there was none
  bool waiting_said_ = false;
};

}  // namespace tandem::ha
