// SPDX-License-Identifier: BSD-3-Clause
//
// The face of a connection.
#include "tandem/connection.hpp"

#include <algorithm>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"
#include "tandem/shown.hpp"

namespace tandem {

ConnectionId Connection::id() const { return impl_->id; }
Endpoint Connection::local() const { return impl_->local; }
Endpoint Connection::remote() const { return impl_->remote; }
std::uint16_t Connection::service() const { return impl_->service; }
bool Connection::is_replicated() const { return impl_->replicated; }
Handler* Connection::handler() const { return impl_->handler.get(); }
Stack& Connection::stack() const { return impl_->stack.face; }

TcpPhase Connection::phase() const {
  if (impl_->pcb != nullptr) {
    return phase_of(*impl_->pcb);
  }
  return impl_->gone ? TcpPhase::closed : impl_->shown.phase;
}

TcpState Connection::state() const {
  const StackScope scope(impl_->stack);
  impl_->update_acked();
  return impl_->state();
}

std::size_t Connection::writable() const {
  const auto room = impl_->send_room();
  if (room != 0 && impl_->pcb == nullptr) {
    // Short of memory a takeover has not linked it yet: that is tried again, and Handler::on_writable follows.
    const StackScope scope(impl_->stack);
    if (!impl_->ensure_linked()) {
      return 0;
    }
  }
  const auto budget = impl_->stack.write_budget_left();
  // Where nothing has been written in this turn the next one has no more to give: it would only be asked again, and so on.
  if (room > budget && impl_->stack.write_budget < impl_->stack.turn_write_budget) {
    impl_->stack.starve(*impl_);
  }
  const auto all = std::min(room, budget);
  impl_->room_was_short = impl_->room_was_short || all < impl_->stack.options.send_queue_bytes;
  return all;
}

bool Connection::write(Bytes bytes) {
  const StackScope scope(impl_->stack);
  return impl_->write(bytes);
}

Bytes Connection::unread() const { return impl_->unread(); }

void Connection::consume(std::size_t count) {
  const StackScope scope(impl_->stack);
  impl_->consume(count);
}

std::uint64_t Connection::bytes_written() const { return impl_->send.end(); }
std::uint64_t Connection::bytes_acked() const { return impl_->acked; }
std::uint64_t Connection::bytes_received() const { return impl_->received; }
std::uint64_t Connection::bytes_consumed() const { return impl_->consumed; }

bool Connection::note(Bytes bytes) {
  if (!impl_->announced || impl_->stack.observer == nullptr || impl_->stack.dormant || impl_->gone ||
      impl_->is_half_open())
    return true;
  const bool fits = impl_->stack.observer->on_note(*this, bytes);
  TANDEM_SHOWN(Shown::note, impl_->id, bytes.size());
  return fits;
}

void Connection::close() {
  const StackScope scope(impl_->stack);
  impl_->request_close(false);
}

void Connection::half_close() {
  const StackScope scope(impl_->stack);
  impl_->request_close(true);
}

EndReason Connection::end_reason() const { return impl_->end_reason; }

void Connection::abort() {
  const StackScope scope(impl_->stack);
  if (impl_->stack.dormant || impl_->gone || impl_->abort_requested) {
    return;
  }
  impl_->abort_requested = true;
  if (impl_->pcb != nullptr) {
    impl_->stack.lost.push_back(impl_);
  } else {
    impl_->stack.touch(*impl_);
    impl_->ensure_linked();  // which ends it, now or when there is memory
  }
}

void Connection::set_no_delay(bool on) {
  const StackScope scope(impl_->stack);
  if (impl_->stack.dormant || !impl_->ensure_linked()) {
    return;
  }
  if (on) {
    tcp_nagle_disable(impl_->pcb);
  } else {
    tcp_nagle_enable(impl_->pcb);
  }
  impl_->stack.touch(*impl_);
}

void Connection::set_keepalive(std::uint32_t idle_ms, std::uint32_t interval_ms, std::uint32_t count) {
  const StackScope scope(impl_->stack);
  if (impl_->stack.dormant || !impl_->ensure_linked()) {
    return;
  }
  tcp_pcb* const pcb = impl_->pcb;
  if (idle_ms == 0) {
    ip_reset_option(pcb, SOF_KEEPALIVE);
  } else {
    ip_set_option(pcb, SOF_KEEPALIVE);
    pcb->keep_idle = idle_ms;
    pcb->keep_intvl = interval_ms;
    pcb->keep_cnt = count;
    tandem_tcp_arm(pcb);
  }
  impl_->stack.touch(*impl_);
}

void Connection::replicate() {
  const StackScope scope(impl_->stack);
  if (!impl_->stack.dormant && !impl_->gone && !impl_->replicated && impl_->ensure_linked()) {
    impl_->replicated = true;
    impl_->update_acked();
    impl_->stack.announce(*impl_);
  }
}

void Connection::visit_send_queue(std::uint64_t from, std::uint64_t to, const std::function<void(Bytes)>& visit) const {
  from = std::max(from, impl_->send.begin());
  to = std::min(to, impl_->send.end());
  if (from < to) {
    impl_->send.visit(from, to, visit);
  }
}

std::vector<OutOfOrderPiece> Connection::out_of_order() const { return impl_->out_of_order_pieces(); }

ConnectionImage Connection::export_connection() const {
  const StackScope scope(impl_->stack);
  impl_->update_acked();
  return impl_->image();
}

}  // namespace tandem
