// SPDX-License-Identifier: BSD-3-Clause
//
// Inside of Node. The object lives through the roles that its process plays:
//
//   start -> primary_setup -+-> run_primary -> (switchover | orderly close | stop)
//         -> twin_setup -> run_twin -> take_over -^
//
// One file a stage: node.cpp (start, options), primary.cpp (the turn), attach_server.cpp (twins come and go),
// twin.cpp (follow, detect), takeover.cpp (fence, adopt, promote), status.cpp (what tandemctl shows).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "channel/attach_protocol.hpp"
#include "channel/rendezvous.hpp"
#include "channel/shared_memory.hpp"
#include "gate/output_gate.hpp"
#include "log/log_ring.hpp"
#include "log/recorder.hpp"
#include "log/replica.hpp"
#include "log/snapshot.hpp"
#include "members/crash_notice.hpp"
#include "members/hang_detector.hpp"
#include "members/owner_claim.hpp"
#include "members/shared_group.hpp"
#include "node/node_error.hpp"
#include "roles/deadly_frames.hpp"
#include "say/control_server.hpp"
#include "say/log_limiter.hpp"
#include "tandem/capture.hpp"
#include "tandem/node.hpp"

namespace tandem {

struct Node::Impl {
  Impl(Node& node, NodeOptions options) : node_(node), options_(std::move(options)) {}

  // ---- node.cpp ----
  int run();
  int play_roles();
  int join_group();
  /// The lock is free: makes this process primary if nobody else holds what belongs to the group. False: it is to look again.
  [[nodiscard]] bool start_with(ha::Descriptor lock);
  void end_holders(const std::vector<ha::Rendezvous::Holder>& holders);
  void pause_before_retry();
  void take_signals();
  /// The thread's claims go before the memory that they lie in.
  void drop_claims();
  void check_options() const;
  /// Our link-local address joins those that were given.
  void take_link_local();
  void make_stack();
  void watch_signals();
  void log(std::string_view text, LogLevel level = LogLevel::notice);
  void write_log(std::string_view text, LogLevel level);
  /// Tells the service manager, when something has changed or it is due. `ready`: this process does its part.
  void report_state(std::uint64_t now_ns, bool ready);
  [[nodiscard]] ha::Fingerprint fingerprint() const;
  /// The same, encoded; made once.
  const std::vector<std::uint8_t>& options_text();
  [[nodiscard]] bool stopping() const { return stops_ != 0; }

  // ---- primary.cpp ----
  void start_alone();
  /// Operators may ask a process without a group too. That they cannot is no reason not to start.
  void open_control_alone();
  void start_primary(ha::Rendezvous::PrimaryDescriptors descriptors);
  void make_group();
  void make_writer();
  void open_sockets();
  int run_primary();
  void turn();
  void take_frames(std::size_t budget_bytes);
  /// Whether this frame is not to be processed; then it is given back.
  [[nodiscard]] bool drop_deadly(const RxFrame& frame);
  void reset_connection_of(const ha::FrameIdentity& frame);
  [[nodiscard]] std::uint64_t turn_reserve_bytes() const;
  void run_application();
  void still_working();
  void publish_turn();
  void wait_for_log();
  [[nodiscard]] std::uint64_t next_deadline_ns();
  void settle();
  int orderly_close();
  /// A primary that is to end and has no twin: whether one may come soon that its connections can be handed to.
  [[nodiscard]] bool waits_for_successor();
  void dismiss_twins();
  void hold_lock();
  /// False: the twin did not take over, and this process has everything back.
  bool hand_over();
  [[nodiscard]] bool is_time_to_hand_over();
  [[nodiscard]] bool twin_takes_over(ha::OwnerSlot& given);
  void take_back();

  // ---- attach_server.cpp ----
  struct Session {
    ha::Descriptor socket;
    std::uint64_t deadline_ns = 0;
    ha::Descriptor process;    ///< of whoever is at the other end, by itself
    std::uint32_t number = 0;  ///< of that process, as it is seen from here, or else by itself
    bool welcomed = false;
    bool ready = false;
    bool finished = false;
    bool removed = false;  ///< its twin is no longer waited for
    Loop::WatchId watch = 0;
    std::optional<std::uint32_t> reader;
  };
  void serve_attaches();
  void serve_session(Session& session);
  void greet(Session& session, const ha::Hello& hello, std::vector<ha::Descriptor> descriptors);
  [[nodiscard]] std::string differing_options(const ha::Hello& hello, std::vector<ha::Descriptor> descriptors) const;
  void refuse(Session& session, int code, const std::string& text);
  void refuse_first_version(Session& session);
  void note_refusal(const Session& session, const std::string& text);
  void drop_reader(Session& session, std::string_view why);
  void begin_join(Session& session);
  void continue_join();
  void end_join();
  void watch_reader();
  [[nodiscard]] Session* reader_session();
  [[nodiscard]] bool twin_is_member() const;
  /// A member, and what it has not read yet would not delay a takeover.
  [[nodiscard]] bool is_protected() const { return twin_caught_up_ && twin_is_member(); }
  [[nodiscard]] std::string why_unprotected() const;
  void judge_lag();
  [[nodiscard]] bool session_is_gone(const Session& session) const;
  [[nodiscard]] static std::string name_of(const Session& session);

  // ---- twin.cpp ----
  enum class TwinEnd : std::uint8_t { take_over, join_again, stop, shut_down };
  void attach(ha::Descriptor socket);
  bool say_hello(int socket);
  TwinEnd run_twin();
  [[nodiscard]] TwinEnd owner_is_gone(ha::OwnerFate fate);
  /// Whether a primary that hangs can be ended from here. Says once for each time that it hangs when it cannot.
  [[nodiscard]] bool can_fence(std::uint64_t heartbeat);
  void stop_watching_owner();
  void leave_group();
  void withdraw_holder();
  void step_back();
  void step_forward();
  void step_aside();
  void step_in();

  // ---- takeover.cpp ----
  static constexpr int kRealtimePriority = 10;  ///< SCHED_FIFO, from a twin's membership to a while after its promotion
  enum class Cause : std::uint64_t { died = 1, hung = 2, switchover = 3 };
  /// take_over when it has ended, however long that takes; else what becomes of this twin.
  [[nodiscard]] TwinEnd fence_hung_owner();
  void take_over(Cause cause);
  /// The frames that the owner was at which has ended, if it ended by its own fault or hung. Throws when owners die without end.
  [[nodiscard]] ha::FramesLeft look_at_death(Cause cause);
  /// The one line of the log about it, when nobody waits any more.
  void say_takeover();

  // ---- link_life.cpp ----
  void watch_link();
  void unwatch_link();
  /// Whether frames that arrive end a sleep.
  void watch_frames(bool wanted);
  void look_at_link();
  /// False: it is to be tried again.
  bool reopen_link();
  void say_warning();
  /// Says once what arrives for us and cannot be used, and what to do about it.
  void diagnose();

  // ---- status.cpp ----
  ha::ControlServer::Reply answer(const std::string& command);
  std::string status_json() const;
  ha::ControlServer::Reply connections_json();
  [[nodiscard]] nlohmann::json connection_json(Connection& connection) const;
  ha::ControlServer::Reply metrics_reply();
  std::string own_metrics();

  // ---- capture_control.cpp ----
  ha::ControlServer::Reply capture_reply(const std::string& command);
  ha::ControlServer::Reply stop_capture();
  [[nodiscard]] nlohmann::json capture_json() const;
  /// Behind each turn of a capture's.
  void run_capture();
  /// Promoted: an operator may wait for packets that nobody writes any more.
  void say_capture_ended();

  // ---- operator_views.cpp ----
  [[nodiscard]] std::string arp_json() const;
  [[nodiscard]] std::string listeners_json() const;
  std::string device_json();

  Node& node_;
  NodeOptions options_;
  Application* application_ = nullptr;
  std::vector<std::function<void(Stack&)>> setup_;
  std::vector<std::uint16_t> listening_ports_;
  std::optional<IpPrefix> link_local_;  ///< the derived one
  LogHook log_hook_;
  ha::LogLimiter log_limiter_;
  StateHook state_hook_;
  NodeState reported_state_;
  std::uint64_t next_state_report_ns_ = 0;

  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<RunningCapture> capture_;  ///< an operator's, of device_
  std::string capture_name_;
  std::unique_ptr<Stack> stack_;
  Role role_ = Role::alone;
  bool switchover_requested_ = false;
  bool rejoin_wanted_ = false;
  bool realtime_ = false;             ///< runs SCHED_FIFO
  std::uint64_t settle_at_ns_ = 0;    ///< when it does what it has put off; 0 = done
  std::uint32_t took_over_from_ = 0;  ///< number of the predecessor, as long as the log does not say so
  std::optional<int> nice_before_;    ///< while it attaches it steps back
  std::uint64_t now_ns_ = 0;
  std::uint64_t turn_began_ns_ = 0;
  std::thread::id thread_;  ///< that runs it
  std::uint64_t started_ns_ = 0;
  std::string attach_failure_;
  bool attach_failure_said_ = false;
  std::uint64_t retry_pause_ns_ = 0;   ///< before the next attempt to attach
  std::uint64_t orphan_since_ns_ = 0;  ///< nobody has the lock and somebody holds what belongs to the group; 0 = not so
  bool orphan_said_ = false;
  ha::Descriptor holder_;            ///< says that this process may hold it
  std::uint32_t stops_ = 0;          ///< signals and requests to end
  std::uint64_t stop_since_ns_ = 0;  ///< primary: since when it is to end
  std::uint64_t left_alone_ns_ = 0;  ///< when the other process of the pair has gone; 0 = there was none
  bool waiting_said_ = false;
  bool shut_down_ = false;      ///< the group is to end, not this process
  std::uint64_t identity_ = 0;  ///< of this node, among the processes of all namespaces
  ha::Descriptor signals_;
  std::vector<std::uint8_t> options_text_;

  // The link.
  std::vector<Loop::WatchId> link_watches_;
  std::vector<Loop::WatchId> frames_watches_;  ///< of the device's poll_fds
  bool link_event_ = false;                    ///< something has been told about it
  bool link_was_up_ = true;                    ///< as the log says
  std::uint32_t link_mtu_ = 0;
  std::uint64_t reopen_at_ns_ = 0;  ///< an interface that is there again is tried again; 0 = none
  std::uint64_t reopen_pause_ns_ = 0;
  bool said_not_open_ = false;
  std::string said_warning_;
  std::uint64_t diagnosed_ns_ = 0;
  std::uint64_t no_socket_before_ = 0;
  bool said_unfinished_ = false, said_refused_ = false, said_no_socket_ = false, said_too_large_ = false,
       said_vlan_ = false;

  // The group. Empty when alone.
  std::optional<ha::Rendezvous> rendezvous_;
  std::unique_ptr<ha::LoneSocket> lone_socket_;  ///< without a group
  ha::Rendezvous::PrimaryDescriptors descriptors_;
  ha::Descriptor group_file_, log_file_;
  ha::Mapping group_mapping_, log_mapping_;
  ha::SharedGroup* group_ = nullptr;
  ha::OwnerSlot* slot_ = nullptr;

  // Primary.
  std::unique_ptr<ha::LogWriter> writer_;
  std::unique_ptr<ha::Recorder> recorder_;
  std::unique_ptr<ha::Snapshot> snapshot_;
  std::unique_ptr<ha::OutputGate> gate_;
  std::unique_ptr<ha::ControlServer> control_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::uint64_t attach_from_ns_ = 0;  ///< new twins are served from then on
  bool attach_ready_ = true;          ///< the listening socket may have somebody
  bool session_event_ = false;
  std::uint64_t sessions_checked_ns_ = 0;
  bool join_ended_ = false;  ///< the snapshot's end is in this turn's transaction
  WireMark published_mark_;
  std::uint64_t last_publish_ns_ = 0;
  std::uint64_t log_short_since_ns_ = 0;
  std::uint64_t reader_seen_position_ = 0;
  std::uint64_t reader_seen_ns_ = 0;
  std::uint64_t join_began_ns_ = 0;
  bool join_waits_ = false;  ///< the joiner has not read yet what it was given
  bool twin_caught_up_ = false;
  bool protection_said_ = false;  ///< in the log
  std::uint64_t behind_since_ns_ = 0;
  bool low_windows_ = false;
  std::uint32_t released_tx_index_ = 0;
  bool turn_sent_ = false;               ///< the turn before handed packets over
  std::uint64_t hand_over_from_ns_ = 0;  ///< a switchover that is wanted; 0 = none
  std::uint64_t join_longest_turn_ns_ = 0;
  std::uint64_t join_took_ns_ = 0;
  std::uint64_t join_connections_ = 0;
  std::uint64_t lines_lost_ = 0;  ///< of the log, that standard error did not take
  std::string unprotected_why_ = "no twin is attached";
  bool frames_left_ = false;
  bool work_left_ = false;
  bool first_turn_ = false;  ///< behind a takeover
  std::uint64_t application_deadline_ns_ = 0;
  std::vector<RxFrame> batch_;
  ha::DeadlyFrames deadly_;
  ha::FramesAtWork at_work_;
  bool first_packet_pending_ = false;
  std::uint64_t lock_try_ns_ = 0;  ///< a promoted process asks for the group's lock until its predecessor has let it go
  bool peer_answer_pending_ = false;
  struct Counters {
    std::uint64_t turns = 0, frames = 0, longest_turn_ns = 0, twins_attached = 0, twins_removed = 0,
                  attaches_refused = 0, log_waits = 0, twins_behind = 0, deadly_frames = 0;
  } counters_;

  // Twin.
  ha::Descriptor attach_socket_;
  ha::Descriptor owner_process_, owner_stat_, owner_schedstat_;
  ha::Fencing fencing_ = ha::Fencing::unknown;
  bool owner_hung_ = false;                  ///< in its end, whoever ended it
  bool owner_was_stopped_ = false;           ///< when it was found hanging
  std::uint64_t hang_said_at_ = UINT64_MAX;  ///< heartbeat of the hang that could not be ended
  Loop::WatchId socket_watch_ = 0;           ///< of attach_socket_; 0 = none
  Loop::WatchId word_watch_ = 0;             ///< of the owner's word, while word_watched_
  bool socket_closed_ = false;
  bool word_watched_ = false;
  std::unique_ptr<ha::Replica> replica_;
  std::uint32_t reader_ = 0;
  bool place_held_ = false;  ///< this thread holds readers[reader_]
};

}  // namespace tandem
