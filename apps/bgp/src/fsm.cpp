// SPDX-License-Identifier: BSD-3-Clause
#include "bgp/fsm.hpp"

#include <cassert>

#include "tandem/planted.hpp"

namespace tandem::bgp {

using Kind = FsmAction::Kind;

namespace {

void start(FsmActions& out, Timer timer) { out.add({Kind::start_timer, timer, 0, 0}); }
void stop_one(FsmActions& out, Timer timer) { out.add({Kind::stop_timer, timer, 0, 0}); }
void add(FsmActions& out, Kind kind) { out.add({kind, Timer::hold, 0, 0}); }

}  // namespace

std::string_view name_of(State state) {
  switch (state) {
    case State::idle:
      return "Idle";
    case State::connect:
      return "Connect";
    case State::active:
      return "Active";
    case State::open_sent:
      return "OpenSent";
    case State::open_confirm:
      return "OpenConfirm";
    case State::established:
      return "Established";
  }
  return "?";
}

void FsmActions::add(FsmAction action) {
  assert(size_ < kMax);
  if (size_ < kMax) actions_[size_++] = action;
}

FsmActions Fsm::handle(Event event) {
  FsmActions out;
  switch (state_) {
    case State::idle:
      in_idle(event, out);
      break;
    case State::connect:
      in_connect(event, out);
      break;
    case State::active:
      in_active(event, out);
      break;
    case State::open_sent:
      in_open_sent(event, out);
      break;
    case State::open_confirm:
      in_open_confirm(event, out);
      break;
    case State::established:
      in_established(event, out);
      break;
  }
  return out;
}

FsmActions Fsm::resume(State state) {
  assert(state >= State::open_sent);
  FsmActions out;
  state_ = state;
  if (!TANDEM_PLANTED(bgp_hold_time_stops)) start(out, Timer::hold);
  if (state != State::open_sent) {
    add(out, Kind::send_keepalive);
    if (!TANDEM_PLANTED(bgp_keepalives_stop)) start(out, Timer::keepalive);
  }
  return out;
}

void Fsm::to_idle(FsmActions& out) {
  const bool was_up = state_ == State::established;
  stop_one(out, Timer::connect_retry);
  stop_one(out, Timer::hold);
  stop_one(out, Timer::keepalive);
  add(out, Kind::close);
  if (was_up) add(out, Kind::session_down);
  state_ = State::idle;
}

void Fsm::fail(FsmActions& out, ErrorCode code, std::uint8_t subcode) {
  out.add({Kind::send_notification, Timer::hold, static_cast<std::uint8_t>(code), subcode});
  ++connect_retry_counter_;
  to_idle(out);
}

void Fsm::fail_given(FsmActions& out) {
  add(out, Kind::send_given_notification);
  ++connect_retry_counter_;
  to_idle(out);
}

void Fsm::stop(Event event, FsmActions& out) {
  const auto subcode =
      event == Event::manual_stop ? CeaseCode::administrative_shutdown : CeaseCode::administrative_reset;
  if (state_ >= State::open_sent)
    out.add({Kind::send_notification, Timer::hold, static_cast<std::uint8_t>(ErrorCode::cease),
             static_cast<std::uint8_t>(subcode)});
  if (event == Event::manual_stop)
    connect_retry_counter_ = 0;
  else
    ++connect_retry_counter_;
  to_idle(out);
}

void Fsm::in_idle(Event event, FsmActions& out) {
  switch (event) {
    case Event::manual_start:
    case Event::automatic_start:
      connect_retry_counter_ = 0;
      start(out, Timer::connect_retry);
      add(out, Kind::connect);
      state_ = State::connect;
      break;
    case Event::manual_start_passive:
    case Event::automatic_start_passive:
      connect_retry_counter_ = 0;
      start(out, Timer::connect_retry);
      state_ = State::active;
      break;
    default:
      break;
  }
}

void Fsm::in_connect(Event event, FsmActions& out) {
  switch (event) {
    case Event::manual_start:
    case Event::automatic_start:
    case Event::manual_start_passive:
    case Event::automatic_start_passive:
      break;
    case Event::manual_stop:
    case Event::automatic_stop:
      stop(event, out);
      break;
    case Event::connect_retry_timer_expires:
      add(out, Kind::close);
      start(out, Timer::connect_retry);
      add(out, Kind::connect);
      break;
    case Event::tcp_cr_acked:
    case Event::tcp_connection_confirmed:
      stop_one(out, Timer::connect_retry);
      add(out, Kind::send_open);
      state_ = State::open_sent;
      start(out, Timer::hold);
      break;
    case Event::tcp_connection_fails:
      to_idle(out);
      break;
    default:
      ++connect_retry_counter_;
      to_idle(out);
      break;
  }
}

void Fsm::in_active(Event event, FsmActions& out) {
  switch (event) {
    case Event::manual_start:
    case Event::automatic_start:
    case Event::manual_start_passive:
    case Event::automatic_start_passive:
      break;
    case Event::manual_stop:
    case Event::automatic_stop:
      stop(event, out);
      break;
    case Event::connect_retry_timer_expires:
      start(out, Timer::connect_retry);
      add(out, Kind::connect);
      state_ = State::connect;
      break;
    case Event::tcp_cr_acked:
    case Event::tcp_connection_confirmed:
      stop_one(out, Timer::connect_retry);
      add(out, Kind::send_open);
      state_ = State::open_sent;
      start(out, Timer::hold);
      break;
    default:
      // The RFC restarts ConnectRetryTimer for a failed connection and then goes to Idle, where that timer means nothing: it stops here.
      ++connect_retry_counter_;
      to_idle(out);
      break;
  }
}

void Fsm::in_open_sent(Event event, FsmActions& out) {
  switch (event) {
    case Event::manual_start:
    case Event::automatic_start:
    case Event::manual_start_passive:
    case Event::automatic_start_passive:
    case Event::tcp_cr_acked:
    case Event::tcp_connection_confirmed:
      break;  // a second connection has a machine of its own
    case Event::manual_stop:
    case Event::automatic_stop:
      stop(event, out);
      break;
    case Event::hold_timer_expires:
      fail(out, ErrorCode::hold_timer, 0);
      break;
    case Event::tcp_connection_fails:
      add(out, Kind::close);
      stop_one(out, Timer::hold);
      start(out, Timer::connect_retry);
      state_ = State::active;
      break;
    case Event::bgp_open:
      stop_one(out, Timer::connect_retry);
      add(out, Kind::send_keepalive);
      state_ = State::open_confirm;
      start(out, Timer::keepalive);
      start(out, Timer::hold);
      break;
    case Event::bgp_header_err:
    case Event::bgp_open_msg_err:
      fail_given(out);
      break;
    case Event::open_collision_dump:
      fail(out, ErrorCode::cease, static_cast<std::uint8_t>(CeaseCode::collision_resolution));
      break;
    case Event::notif_msg_ver_err:
      to_idle(out);
      break;
    case Event::notif_msg:
      // The RFC lists this among the unexpected messages, which are answered by a NOTIFICATION; but its section 6.4 wants no
      // NOTIFICATION in answer to one.
      ++connect_retry_counter_;
      to_idle(out);
      break;
    default:
      fail(out, ErrorCode::fsm, 1);
      break;
  }
}

void Fsm::in_open_confirm(Event event, FsmActions& out) {
  switch (event) {
    case Event::manual_start:
    case Event::automatic_start:
    case Event::manual_start_passive:
    case Event::automatic_start_passive:
    case Event::tcp_cr_acked:
    case Event::tcp_connection_confirmed:
      break;
    case Event::manual_stop:
    case Event::automatic_stop:
      stop(event, out);
      break;
    case Event::hold_timer_expires:
      fail(out, ErrorCode::hold_timer, 0);
      break;
    case Event::keepalive_timer_expires:
      add(out, Kind::send_keepalive);
      start(out, Timer::keepalive);
      break;
    case Event::tcp_connection_fails:
    case Event::notif_msg:
      ++connect_retry_counter_;
      to_idle(out);
      break;
    case Event::notif_msg_ver_err:
      to_idle(out);
      break;
    case Event::bgp_header_err:
    case Event::bgp_open_msg_err:
      fail_given(out);
      break;
    case Event::open_collision_dump:
      fail(out, ErrorCode::cease, static_cast<std::uint8_t>(CeaseCode::collision_resolution));
      break;
    case Event::keepalive_msg:
      start(out, Timer::hold);
      state_ = State::established;
      add(out, Kind::session_up);
      break;
    default:
      fail(out, ErrorCode::fsm, 2);
      break;
  }
}

void Fsm::in_established(Event event, FsmActions& out) {
  switch (event) {
    case Event::manual_start:
    case Event::automatic_start:
    case Event::manual_start_passive:
    case Event::automatic_start_passive:
    case Event::tcp_cr_acked:
    case Event::tcp_connection_confirmed:
      break;
    case Event::manual_stop:
    case Event::automatic_stop:
      stop(event, out);
      break;
    case Event::hold_timer_expires:
      fail(out, ErrorCode::hold_timer, 0);
      break;
    case Event::keepalive_timer_expires:
      add(out, Kind::send_keepalive);
      start(out, Timer::keepalive);
      break;
    case Event::tcp_connection_fails:
    case Event::notif_msg:
    case Event::notif_msg_ver_err:
      ++connect_retry_counter_;
      to_idle(out);
      break;
    // The RFC answers a broken header here with an FSM error; its section 6.1 names the header error, which tells the peer more.
    case Event::bgp_header_err:
    case Event::update_msg_err:
      fail_given(out);
      break;
    case Event::open_collision_dump:
      fail(out, ErrorCode::cease, static_cast<std::uint8_t>(CeaseCode::collision_resolution));
      break;
    case Event::keepalive_msg:
      start(out, Timer::hold);
      break;
    case Event::update_msg:
      start(out, Timer::hold);
      add(out, Kind::process_update);
      break;
    case Event::route_refresh_msg:
      start(out, Timer::hold);
      add(out, Kind::process_route_refresh);
      break;
    default:
      fail(out, ErrorCode::fsm, 3);
      break;
  }
}

}  // namespace tandem::bgp
