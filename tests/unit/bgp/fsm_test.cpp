// SPDX-License-Identifier: BSD-3-Clause
// RFC 4271 section 8.2.2, as a table.
#include <sstream>

#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

namespace {

std::string text_of(const FsmActions& actions) {
  static constexpr const char* kTimer[] = {"retry", "hold", "keepalive"};
  std::string text;
  for (const auto& a : actions) {
    if (!text.empty()) text += ' ';
    switch (a.kind) {
      case FsmAction::Kind::connect:
        text += "connect";
        break;
      case FsmAction::Kind::send_open:
        text += "open";
        break;
      case FsmAction::Kind::send_keepalive:
        text += "ka";
        break;
      case FsmAction::Kind::send_notification:
        text += "notify" + std::to_string(a.code) + "/" + std::to_string(a.subcode);
        break;
      case FsmAction::Kind::send_given_notification:
        text += "notify";
        break;
      case FsmAction::Kind::close:
        text += "close";
        break;
      case FsmAction::Kind::start_timer:
        text += std::string("+") + kTimer[static_cast<int>(a.timer)];
        break;
      case FsmAction::Kind::stop_timer:
        text += std::string("-") + kTimer[static_cast<int>(a.timer)];
        break;
      case FsmAction::Kind::session_up:
        text += "up";
        break;
      case FsmAction::Kind::session_down:
        text += "down";
        break;
      case FsmAction::Kind::process_update:
        text += "update";
        break;
      case FsmAction::Kind::process_route_refresh:
        text += "refresh";
        break;
    }
  }
  return text;
}

struct Row {
  State from;
  Event event;
  State to;
  std::string actions;
  int counter = 0;  // change of ConnectRetryCounter
};

constexpr auto kIdle = State::idle;
constexpr auto kConnect = State::connect;
constexpr auto kActive = State::active;
constexpr auto kOpenSent = State::open_sent;
constexpr auto kOpenConfirm = State::open_confirm;
constexpr auto kEstablished = State::established;
const std::string kRelease = "-retry -hold -keepalive close";
const std::string kDown = kRelease + " down";
using E = Event;

const std::vector<Event> kAllEvents{E::manual_start,
                                    E::manual_stop,
                                    E::automatic_start,
                                    E::manual_start_passive,
                                    E::automatic_start_passive,
                                    E::automatic_stop,
                                    E::connect_retry_timer_expires,
                                    E::hold_timer_expires,
                                    E::keepalive_timer_expires,
                                    E::tcp_cr_acked,
                                    E::tcp_connection_confirmed,
                                    E::tcp_connection_fails,
                                    E::bgp_open,
                                    E::bgp_header_err,
                                    E::bgp_open_msg_err,
                                    E::open_collision_dump,
                                    E::notif_msg_ver_err,
                                    E::notif_msg,
                                    E::keepalive_msg,
                                    E::update_msg,
                                    E::update_msg_err,
                                    E::route_refresh_msg};

const std::vector<Row> kTable{
    {kIdle, E::manual_start, kConnect, "+retry connect"},
    {kIdle, E::automatic_start, kConnect, "+retry connect"},
    {kIdle, E::manual_start_passive, kActive, "+retry"},
    {kIdle, E::automatic_start_passive, kActive, "+retry"},

    {kConnect, E::manual_stop, kIdle, kRelease},
    {kConnect, E::automatic_stop, kIdle, kRelease, 1},
    {kConnect, E::connect_retry_timer_expires, kConnect, "close +retry connect"},
    {kConnect, E::tcp_cr_acked, kOpenSent, "-retry open +hold"},
    {kConnect, E::tcp_connection_confirmed, kOpenSent, "-retry open +hold"},
    {kConnect, E::tcp_connection_fails, kIdle, kRelease},
    {kConnect, E::hold_timer_expires, kIdle, kRelease, 1},
    {kConnect, E::keepalive_timer_expires, kIdle, kRelease, 1},
    {kConnect, E::bgp_open, kIdle, kRelease, 1},
    {kConnect, E::bgp_header_err, kIdle, kRelease, 1},
    {kConnect, E::bgp_open_msg_err, kIdle, kRelease, 1},
    {kConnect, E::open_collision_dump, kIdle, kRelease, 1},
    {kConnect, E::notif_msg_ver_err, kIdle, kRelease, 1},
    {kConnect, E::notif_msg, kIdle, kRelease, 1},
    {kConnect, E::keepalive_msg, kIdle, kRelease, 1},
    {kConnect, E::update_msg, kIdle, kRelease, 1},
    {kConnect, E::update_msg_err, kIdle, kRelease, 1},
    {kConnect, E::route_refresh_msg, kIdle, kRelease, 1},

    {kActive, E::manual_stop, kIdle, kRelease},
    {kActive, E::automatic_stop, kIdle, kRelease, 1},
    {kActive, E::connect_retry_timer_expires, kConnect, "+retry connect"},
    {kActive, E::tcp_cr_acked, kOpenSent, "-retry open +hold"},
    {kActive, E::tcp_connection_confirmed, kOpenSent, "-retry open +hold"},
    {kActive, E::tcp_connection_fails, kIdle, kRelease, 1},
    {kActive, E::hold_timer_expires, kIdle, kRelease, 1},
    {kActive, E::keepalive_timer_expires, kIdle, kRelease, 1},
    {kActive, E::bgp_open, kIdle, kRelease, 1},
    {kActive, E::bgp_header_err, kIdle, kRelease, 1},
    {kActive, E::bgp_open_msg_err, kIdle, kRelease, 1},
    {kActive, E::open_collision_dump, kIdle, kRelease, 1},
    {kActive, E::notif_msg_ver_err, kIdle, kRelease, 1},
    {kActive, E::notif_msg, kIdle, kRelease, 1},
    {kActive, E::keepalive_msg, kIdle, kRelease, 1},
    {kActive, E::update_msg, kIdle, kRelease, 1},
    {kActive, E::update_msg_err, kIdle, kRelease, 1},
    {kActive, E::route_refresh_msg, kIdle, kRelease, 1},

    {kOpenSent, E::manual_stop, kIdle, "notify6/2 " + kRelease},
    {kOpenSent, E::automatic_stop, kIdle, "notify6/4 " + kRelease, 1},
    {kOpenSent, E::hold_timer_expires, kIdle, "notify4/0 " + kRelease, 1},
    {kOpenSent, E::tcp_connection_fails, kActive, "close -hold +retry"},
    {kOpenSent, E::bgp_open, kOpenConfirm, "-retry ka +keepalive +hold"},
    {kOpenSent, E::bgp_header_err, kIdle, "notify " + kRelease, 1},
    {kOpenSent, E::bgp_open_msg_err, kIdle, "notify " + kRelease, 1},
    {kOpenSent, E::open_collision_dump, kIdle, "notify6/7 " + kRelease, 1},
    {kOpenSent, E::notif_msg_ver_err, kIdle, kRelease},
    {kOpenSent, E::notif_msg, kIdle, kRelease, 1},
    {kOpenSent, E::connect_retry_timer_expires, kIdle, "notify5/1 " + kRelease, 1},
    {kOpenSent, E::keepalive_timer_expires, kIdle, "notify5/1 " + kRelease, 1},
    {kOpenSent, E::keepalive_msg, kIdle, "notify5/1 " + kRelease, 1},
    {kOpenSent, E::update_msg, kIdle, "notify5/1 " + kRelease, 1},
    {kOpenSent, E::update_msg_err, kIdle, "notify5/1 " + kRelease, 1},
    {kOpenSent, E::route_refresh_msg, kIdle, "notify5/1 " + kRelease, 1},

    {kOpenConfirm, E::manual_stop, kIdle, "notify6/2 " + kRelease},
    {kOpenConfirm, E::automatic_stop, kIdle, "notify6/4 " + kRelease, 1},
    {kOpenConfirm, E::hold_timer_expires, kIdle, "notify4/0 " + kRelease, 1},
    {kOpenConfirm, E::keepalive_timer_expires, kOpenConfirm, "ka +keepalive"},
    {kOpenConfirm, E::tcp_connection_fails, kIdle, kRelease, 1},
    {kOpenConfirm, E::bgp_header_err, kIdle, "notify " + kRelease, 1},
    {kOpenConfirm, E::bgp_open_msg_err, kIdle, "notify " + kRelease, 1},
    {kOpenConfirm, E::open_collision_dump, kIdle, "notify6/7 " + kRelease, 1},
    {kOpenConfirm, E::notif_msg_ver_err, kIdle, kRelease},
    {kOpenConfirm, E::notif_msg, kIdle, kRelease, 1},
    {kOpenConfirm, E::keepalive_msg, kEstablished, "+hold up"},
    {kOpenConfirm, E::bgp_open, kIdle, "notify5/2 " + kRelease, 1},
    {kOpenConfirm, E::connect_retry_timer_expires, kIdle, "notify5/2 " + kRelease, 1},
    {kOpenConfirm, E::update_msg, kIdle, "notify5/2 " + kRelease, 1},
    {kOpenConfirm, E::update_msg_err, kIdle, "notify5/2 " + kRelease, 1},
    {kOpenConfirm, E::route_refresh_msg, kIdle, "notify5/2 " + kRelease, 1},

    {kEstablished, E::manual_stop, kIdle, "notify6/2 " + kDown},
    {kEstablished, E::automatic_stop, kIdle, "notify6/4 " + kDown, 1},
    {kEstablished, E::hold_timer_expires, kIdle, "notify4/0 " + kDown, 1},
    {kEstablished, E::keepalive_timer_expires, kEstablished, "ka +keepalive"},
    {kEstablished, E::tcp_connection_fails, kIdle, kDown, 1},
    {kEstablished, E::bgp_header_err, kIdle, "notify " + kDown, 1},
    {kEstablished, E::open_collision_dump, kIdle, "notify6/7 " + kDown, 1},
    {kEstablished, E::notif_msg_ver_err, kIdle, kDown, 1},
    {kEstablished, E::notif_msg, kIdle, kDown, 1},
    {kEstablished, E::keepalive_msg, kEstablished, "+hold"},
    {kEstablished, E::update_msg, kEstablished, "+hold update"},
    {kEstablished, E::route_refresh_msg, kEstablished, "+hold refresh"},
    {kEstablished, E::update_msg_err, kIdle, "notify " + kDown, 1},
    {kEstablished, E::bgp_open, kIdle, "notify5/3 " + kDown, 1},
    {kEstablished, E::bgp_open_msg_err, kIdle, "notify5/3 " + kDown, 1},
    {kEstablished, E::connect_retry_timer_expires, kIdle, "notify5/3 " + kDown, 1},
};

}  // namespace

TEST_CASE("each event in each state does what RFC 4271 says, and nothing where it says nothing", "[fsm]") {
  for (const State from : {kIdle, kConnect, kActive, kOpenSent, kOpenConfirm, kEstablished}) {
    for (const Event event : kAllEvents) {
      INFO(name_of(from) << " event " << static_cast<int>(event));
      const auto row =
          std::find_if(kTable.begin(), kTable.end(), [&](const Row& r) { return r.from == from && r.event == event; });
      Fsm fsm;
      fsm.mirror(from);
      const auto before = fsm.connect_retry_counter();
      const std::string actions = text_of(fsm.handle(event));
      if (row == kTable.end()) {
        CHECK(fsm.state() == from);
        CHECK(actions.empty());
        continue;
      }
      CHECK(fsm.state() == row->to);
      CHECK(actions == row->actions);
      CHECK(static_cast<int>(fsm.connect_retry_counter() - before) == row->counter);
    }
  }
}

TEST_CASE("a start or an operator's stop resets ConnectRetryCounter", "[fsm]") {
  for (const Event event :
       {E::manual_start, E::automatic_start, E::manual_start_passive, E::automatic_start_passive, E::manual_stop}) {
    Fsm fsm;
    fsm.mirror(kActive);
    fsm.handle(E::bgp_header_err);
    REQUIRE(fsm.connect_retry_counter() == 1);
    if (event == E::manual_stop) fsm.mirror(kActive);
    fsm.handle(event);
    CHECK(fsm.connect_retry_counter() == 0);
  }
}

TEST_CASE("a session that is resumed has fresh timers and says at once that it is alive", "[fsm]") {
  Fsm fsm;
  CHECK(text_of(fsm.resume(kOpenSent)) == "+hold");
  CHECK(text_of(fsm.resume(kOpenConfirm)) == "+hold ka +keepalive");
  CHECK(text_of(fsm.resume(kEstablished)) == "+hold ka +keepalive");
  CHECK(fsm.state() == kEstablished);
}
