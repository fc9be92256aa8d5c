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
#include <vector>

#include "attach_protocol.hpp"
#include "control_server.hpp"
#include "hang_detector.hpp"
#include "log_limiter.hpp"
#include "log_ring.hpp"
#include "node_error.hpp"
#include "output_gate.hpp"
#include "owner_claim.hpp"
#include "recorder.hpp"
#include "rendezvous.hpp"
#include "replica.hpp"
#include "shared_group.hpp"
#include "shared_memory.hpp"
#include "snapshot.hpp"
#include "tandem/node.hpp"

namespace tandem {

struct Node::Impl {
  Impl(Node& node, NodeOptions options) : node_(node), options_(std::move(options)) {}

  // ---- node.cpp ----
  int run();
  void check_options() const;
  void make_stack();
  void watch_signals();
  void log(std::string_view text, LogLevel level = LogLevel::notice);
  void write_log(std::string_view text, LogLevel level);
  /// Tells the service manager, when something has changed or it is due. `ready`: this process does its part.
  void report_state(std::uint64_t now_ns, bool ready);
  [[nodiscard]] ha::Fingerprint fingerprint() const;
  [[nodiscard]] bool stopping() const { return stop_requested_; }

  // ---- primary.cpp ----
  void start_alone();
  void start_primary(ha::Rendezvous::PrimaryDescriptors descriptors);
  void make_group();
  void make_writer();
  void open_sockets();
  int run_primary();
  void turn();
  void take_frames(std::size_t budget_bytes);
  [[nodiscard]] std::uint64_t turn_reserve_bytes() const;
  void publish_turn();
  void wait_for_log();
  [[nodiscard]] std::uint64_t next_deadline_ns();
  void settle();
  int orderly_close();
  /// False: the twin did not take over, and this process has everything back.
  bool hand_over();
  [[nodiscard]] bool is_time_to_hand_over();
  [[nodiscard]] bool twin_takes_over(ha::OwnerSlot& given);
  void take_back();

  // ---- attach_server.cpp ----
  struct Session {
    ha::Descriptor socket;
    std::uint64_t deadline_ns = 0;
    std::int32_t pid = 0;
    bool welcomed = false;
    bool ready = false;
    bool finished = false;
    bool removed = false;  ///< its twin is no longer waited for
    Loop::WatchId watch = 0;
    std::optional<std::uint32_t> reader;
  };
  void serve_attaches();
  void serve_session(Session& session);
  void greet(Session& session, const ha::Hello& hello);
  void refuse(Session& session, int code, const std::string& text);
  void drop_reader(Session& session, std::string_view why);
  void begin_join(Session& session);
  void continue_join();
  void end_join();
  void watch_reader();
  [[nodiscard]] Session* reader_session();
  [[nodiscard]] bool twin_is_member() const;
  [[nodiscard]] bool session_is_gone(const Session& session) const;

  // ---- twin.cpp ----
  enum class TwinEnd : std::uint8_t { take_over, join_again, stop };
  void attach(ha::Descriptor socket);
  TwinEnd run_twin();
  [[nodiscard]] TwinEnd owner_is_gone(ha::OwnerFate fate);
  void stop_watching_owner();
  void leave_group();
  void step_back();
  void step_forward();
  void step_aside();
  void step_in();

  // ---- takeover.cpp ----
  static constexpr int kRealtimePriority = 10;  ///< SCHED_FIFO, from a twin's membership to a while after its promotion
  enum class Cause : std::uint64_t { died = 1, hung = 2, switchover = 3 };
  void fence_hung_owner();
  void take_over(Cause cause);
  /// The one line of the log about it, when nobody waits any more.
  void say_takeover();
  /// Tearing down the memory of a dead process takes a processor for milliseconds: others go before it. Called again when the peer
  /// has just been sent something, or may have been: it may have been woken on that processor.
  void set_predecessor_aside();

  // ---- status.cpp ----
  ha::ControlServer::Reply answer(const std::string& command);
  std::string status_json() const;
  ha::ControlServer::Reply connections_json();
  [[nodiscard]] nlohmann::json connection_json(Connection& connection) const;
  std::string metrics_json();

  Node& node_;
  NodeOptions options_;
  Application* application_ = nullptr;
  std::vector<std::function<void(Stack&)>> setup_;
  std::vector<std::uint16_t> listening_ports_;
  LogHook log_hook_;
  ha::LogLimiter log_limiter_;
  StateHook state_hook_;
  NodeState reported_state_;
  std::uint64_t next_state_report_ns_ = 0;

  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Stack> stack_;
  Role role_ = Role::alone;
  bool stop_requested_ = false;
  bool switchover_requested_ = false;
  bool rejoin_wanted_ = false;
  bool realtime_ = false;             ///< runs SCHED_FIFO
  std::uint64_t settle_at_ns_ = 0;    ///< when it does what it has put off; 0 = done
  std::uint32_t predecessor_ = 0;     ///< pid of the dead owner; 0 = none
  std::uint32_t took_over_from_ = 0;  ///< as long as the log does not say so
  int predecessor_step_ = 0;          ///< how often it has been set aside
  std::optional<int> nice_before_;    ///< while it attaches it steps back
  std::uint64_t now_ns_ = 0;
  std::uint64_t started_ns_ = 0;
  ha::Descriptor signals_;

  // The group. Empty when alone.
  std::optional<ha::Rendezvous> rendezvous_;
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
  bool low_windows_ = false;
  std::uint32_t released_tx_index_ = 0;
  bool turn_sent_ = false;               ///< the turn before handed packets over
  std::uint64_t hand_over_from_ns_ = 0;  ///< a switchover that is wanted; 0 = none
  std::uint64_t join_longest_turn_ns_ = 0;
  std::uint64_t join_took_ns_ = 0;
  std::uint64_t join_connections_ = 0;
  std::string unprotected_why_ = "no twin is attached";
  bool frames_left_ = false;
  bool work_left_ = false;
  std::uint64_t application_deadline_ns_ = 0;
  std::vector<RxFrame> batch_;
  bool first_packet_pending_ = false;
  bool peer_answer_pending_ = false;
  struct Counters {
    std::uint64_t turns = 0, frames = 0, longest_turn_ns = 0, twins_attached = 0, twins_removed = 0,
                  attaches_refused = 0, log_waits = 0;
  } counters_;

  // Twin.
  ha::Descriptor attach_socket_;
  ha::Descriptor owner_process_;
  Loop::WatchId socket_watch_ = 0;  ///< of attach_socket_; 0 = none
  Loop::WatchId word_watch_ = 0;    ///< of the owner's word, while word_watched_
  bool socket_closed_ = false;
  bool word_watched_ = false;
  std::unique_ptr<ha::Replica> replica_;
  std::uint32_t reader_ = 0;
};

}  // namespace tandem
