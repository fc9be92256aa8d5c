// SPDX-License-Identifier: BSD-3-Clause
// The session state machine of RFC 4271 section 8: events go in, actions come out, nothing else happens.
//
// There is one machine for each connection that a neighbour may have (RFC 4271 section 8.2.1): the one that we open and
// the one that we accept. Which of two survives is decided outside (section 6.8) and told as open_collision_dump.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bgp/message.hpp"

namespace tandem::bgp {

enum class State : std::uint8_t { idle, connect, active, open_sent, open_confirm, established };
std::string_view name_of(State state);

/// Events with the numbers of RFC 4271 section 8.1. Those of optional attributes that we do not have are absent.
enum class Event : std::uint8_t {
  manual_start = 1,
  manual_stop = 2,
  automatic_start = 3,
  manual_start_passive = 4,
  automatic_start_passive = 5,
  automatic_stop = 8,
  connect_retry_timer_expires = 9,
  hold_timer_expires = 10,
  keepalive_timer_expires = 11,
  tcp_cr_acked = 16,
  tcp_connection_confirmed = 17,
  tcp_connection_fails = 18,
  bgp_open = 19,
  bgp_header_err = 21,
  bgp_open_msg_err = 22,
  open_collision_dump = 23,
  notif_msg_ver_err = 24,
  notif_msg = 25,
  keepalive_msg = 26,
  update_msg = 27,
  update_msg_err = 28,
  route_refresh_msg = 64  // RFC 2918; handled as an UPDATE is
};

enum class Timer : std::uint8_t { connect_retry, hold, keepalive };
inline constexpr std::size_t kTimers = 3;

struct FsmAction {
  enum class Kind : std::uint8_t {
    connect,  // open a transport connection
    send_open,
    send_keepalive,
    send_notification,        // `code`, `subcode`
    send_given_notification,  // the one that the decoder made out of the error it found
    close,                    // the transport connection, after what is to be sent
    start_timer,              // (again) with the session's value
    stop_timer,
    session_up,
    session_down,  // was Established
    process_update,
    process_route_refresh
  };
  Kind kind = Kind::close;
  Timer timer = Timer::hold;
  std::uint8_t code = 0;
  std::uint8_t subcode = 0;
};

/// At most kMax actions follow one event.
class FsmActions {
 public:
  static constexpr std::size_t kMax = 12;
  void add(FsmAction action);
  const FsmAction* begin() const { return actions_.data(); }
  const FsmAction* end() const { return actions_.data() + size_; }
  std::size_t size() const { return size_; }

 private:
  std::array<FsmAction, kMax> actions_{};
  std::size_t size_ = 0;
};

class Fsm {
 public:
  State state() const { return state_; }
  std::uint32_t connect_retry_counter() const { return connect_retry_counter_; }

  FsmActions handle(Event event);

  /// A session that another process has led so far goes on here: state as mirrored, timers afresh, and a KEEPALIVE at once
  /// where the session has come so far that the peer waits for them. Only open_sent, open_confirm and established can be resumed.
  FsmActions resume(State state);
  /// The same without any action: for a mirror that is brought up to date.
  void mirror(State state) { state_ = state; }

 private:
  void to_idle(FsmActions& out);
  void fail(FsmActions& out, ErrorCode code, std::uint8_t subcode);
  void fail_given(FsmActions& out);
  void stop(Event event, FsmActions& out);

  void in_idle(Event event, FsmActions& out);
  void in_connect(Event event, FsmActions& out);
  void in_active(Event event, FsmActions& out);
  void in_open_sent(Event event, FsmActions& out);
  void in_open_confirm(Event event, FsmActions& out);
  void in_established(Event event, FsmActions& out);

  State state_ = State::idle;
  std::uint32_t connect_retry_counter_ = 0;
};

}  // namespace tandem::bgp
