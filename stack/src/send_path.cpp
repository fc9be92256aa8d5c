// SPDX-License-Identifier: BSD-3-Clause
//
// From the application's writes to TCP's segments. lwIP is given only what TCP can use soon, by reference: the more it is given,
// the more segments a takeover has to build.
#include <algorithm>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"
#include "tandem/shown.hpp"

namespace tandem {

namespace {

/// Segments that wait behind the window, so that an ACK finds something to send at once.
constexpr std::uint32_t kFeedAheadSegments = 8;

bool may_feed(const tcp_pcb& pcb) { return pcb.state == ESTABLISHED || pcb.state == CLOSE_WAIT; }

bool may_write(TcpPhase phase) {
  return phase == TcpPhase::syn_sent || phase == TcpPhase::syn_rcvd || phase == TcpPhase::established ||
         phase == TcpPhase::close_wait;
}

}  // namespace

std::size_t Connection::Impl::send_room() const {
  if (stack.dormant || gone || close_requested || abort_requested || is_half_open() ||
      !may_write(pcb != nullptr ? phase_of(*pcb) : shown.phase)) {
    return 0;
  }
  const auto queued = static_cast<std::size_t>(send.end() - acked);
  return stack.options.send_queue_bytes - std::min(stack.options.send_queue_bytes, queued);
}

bool Connection::Impl::write(Bytes bytes) {
  if (bytes.size() > std::min(send_room(), stack.write_budget_left())) {
    room_was_short = true;
    return false;
  }
  if (stack.dormant || gone || close_requested || abort_requested || !ensure_linked()) {
    return false;
  }
  if (bytes.empty()) {
    return true;
  }
  send.append(bytes);
  // Many small writes are not to take more of the log than one large one.
  stack.write_budget -= bytes.size() + Stack::Impl::kWriteCostBytes;
  if (announced && stack.observer != nullptr) {
    stack.observer->on_written(handle, bytes);
    if (wants_stream) {
      TANDEM_SHOWN(Shown::written, id, bytes.size());
    }
  }
  stack.touch(*this);
  stack.give_work(*this);
  if (!kick_hold) {
    feed();
  }
  return true;
}

void Connection::Impl::update_acked() {
  if (pcb == nullptr) {
    return;
  }
  const auto grown = static_cast<std::int32_t>(pcb->lastack - seq_of_position(acked));
  if (grown > 0) {
    const auto bytes = std::min<std::uint64_t>(static_cast<std::uint32_t>(grown), send.end() - acked);
    acked += bytes;
    fed = std::max(fed, acked);
    room_due = room_due || bytes != 0;
  }
  // A segment that is acknowledged in part still refers to its first byte.
  std::uint32_t kept = 0;
  for (const tcp_seg* segment : {pcb->unacked, pcb->unsent}) {
    if (segment != nullptr && seq_before(seq_of(*segment), pcb->lastack)) {
      kept = std::max(kept, pcb->lastack - seq_of(*segment));
    }
  }
  send.release(acked - std::min<std::uint64_t>(kept, acked - send.begin()));
}

void Connection::Impl::feed() {
  if (pcb == nullptr || !may_feed(*pcb)) {
    return;
  }
  const std::uint32_t ahead = std::min(pcb->snd_wnd, pcb->cwnd) + kFeedAheadSegments * std::uint32_t{pcb->mss};
  while (fed < send.end()) {
    const std::uint32_t queued = pcb->snd_lbb - pcb->lastack;
    const Bytes run = send.contiguous(fed);
    std::size_t count = std::min<std::size_t>({run.size(), 0xffff, pcb->snd_buf});
    if (queued + count > ahead) {
      count = queued < ahead ? std::min<std::size_t>(count, ahead - queued) : 0;
      // A short piece now would become a short segment.
      count -= count % pcb->mss;
    }
    if (count == 0) {
      return;
    }
    const bool more = fed + count < send.end();
    if (tcp_write(pcb, run.data(), static_cast<u16_t>(count), more ? TCP_WRITE_FLAG_MORE : 0) != ERR_OK) {
      // Where memory is short nothing may be in flight whose ACK would bring us here again.
      if (pcb->unacked == nullptr && pcb->unsent == nullptr) {
        stack.starve(*this);
      }
      return;
    }
    fed += count;
  }
  if (close_requested && (pcb->flags & (TF_FIN | TF_CLOSEPEND)) == 0) {
    tcp_shutdown(pcb, 0, 1);
  }
}

void Connection::Impl::flush() {
  if (pcb == nullptr || abort_requested || (kick_hold && !kick_answered)) {
    return;
  }
  kick_hold = false;
  update_acked();
  feed();
  if (pcb != nullptr) {
    tandem_tcp_arm(pcb);
    tandem_tcp_turn_ended(pcb);
  }
  if (pcb != nullptr && (pcb->unsent != nullptr || (pcb->flags & TF_ACK_NOW) != 0)) {
    tcp_output(pcb);
  }
}

void Connection::Impl::request_close(bool half) {
  if (stack.dormant || gone || abort_requested || (close_requested && (half || !half_closed))) {
    return;
  }
  half_closed = half;
  if (close_requested) {
    // The half that was left open for the peer is no longer waited for.
    stack.touch(*this);
    return;
  }
  close_requested = true;
  stack.touch(*this);
  if (!ensure_linked()) {
    return;  // feed() closes it when there is memory for it
  }
  stack.give_work(*this);
  if (pcb->state == SYN_SENT && send.end() == 0) {
    // Nothing was said yet and nothing is to be said.
    abort_requested = true;
    stack.lost.push_back(this);
    return;
  }
  if (!kick_hold) {
    feed();
  }
}

}  // namespace tandem
