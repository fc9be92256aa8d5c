// SPDX-License-Identifier: BSD-3-Clause
//
// Connections that their application has closed and whose peer says nothing any more. What was written is sent again for a while,
// and a FIN is waited for, but neither without end: RFC 9293 section 3.8.3 gives up, as Linux does with what no process has open.
//
// The time counts from when the peer was last heard, which is mirrored, so a takeover starts none of it afresh. Some are looked at
// in each tick, so that a turn does not grow with their number.
#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"
#include "tandem/planted.hpp"

namespace tandem {

namespace {

constexpr std::size_t kLooksPerTick = 1024;

bool waits_for_peer(const tcp_pcb& pcb) {
  return pcb.state == FIN_WAIT_1 || pcb.state == FIN_WAIT_2 || pcb.state == CLOSING || pcb.state == LAST_ACK;
}

}  // namespace

void Stack::Impl::watch_closing(Connection::Impl& connection) {
  if (!connection.in_closing && connection.close_requested && waits_for_peer(*connection.pcb)) {
    connection.in_closing = true;
    connection.closing_place = closing.size();
    closing.push_back(&connection);
  }
}

void Stack::Impl::unwatch_closing(Connection::Impl& connection) {
  if (connection.in_closing) {
    connection.in_closing = false;
    closing[connection.closing_place] = closing.back();
    closing[connection.closing_place]->closing_place = connection.closing_place;
    closing.pop_back();
  }
}

void Stack::Impl::give_up_silent_closes() {
  for (std::size_t looks = std::min(closing.size(), kLooksPerTick); looks != 0 && !closing.empty(); --looks) {
    closing_next = closing_next < closing.size() ? closing_next : 0;
    auto& connection = *closing[closing_next];
    if (connection.pcb == nullptr || !waits_for_peer(*connection.pcb)) {
      unwatch_closing(connection);
      continue;
    }
    ++closing_next;
    const bool answered = connection.pcb->state == FIN_WAIT_2;
    const std::uint64_t silent_ms = std::uint64_t{tcp_ticks - connection.pcb->tmr} * kTcpTickMs;
    if ((answered && connection.half_closed) ||
        silent_ms < (answered ? options.limits.fin_wait_2_ms : options.limits.unanswered_close_ms)) {
      continue;
    }
    if (TANDEM_PLANTED(silent_close_kept)) continue;
    ++counters.closes_given_up;
    connection.reset = true;
    // Nobody is there who could be told; whoever comes back is told by an RST then. Its error callback comes from here.
    tcp_abandon(connection.pcb, 0);
  }
}

}  // namespace tandem
