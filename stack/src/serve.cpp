// SPDX-License-Identifier: BSD-3-Clause
//
// What is due for a handler, in order: it learns that it was promoted or connected, is offered what is unread, learns of the
// end of the stream, of room to write, and last that the connection is closed.
//
// What a twin's handler is told too is shown to the observer right before the handler hears it: whatever the handler does about
// it, to this connection or to others, comes behind its cause, here and there.
#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"
#include "tandem/shown.hpp"

namespace tandem {

namespace {

/// How often one handler is offered its bytes in one turn, so that no other waits for long.
constexpr int kOffersPerTurn = 64;

}  // namespace

void Connection::Impl::tell(Told what) {
  if (announced && stack.observer != nullptr && !stack.dormant) {
    stack.observer->on_told(handle, what);
    stack.touch(*this);
  }
  TANDEM_SHOWN(Shown::told, announced ? id : 0, static_cast<std::uint64_t>(what));
  switch (what) {
    case Told::connected:
      connected = true;
      stack.dormant ? handler->on_established(handle) : handler->on_connected(handle);
      break;
    case Told::eof:
      eof_delivered = true;
      handler->on_eof(handle);
      break;
    case Told::closed:
      closed_delivered = true;
      handler->on_closed(handle);
      handler.reset();
      break;
  }
}

void Connection::Impl::begin_serving() {
  if (promote_due) {
    promote_due = false;
    handler->on_promote(handle);
  }
  if (connect_due) {
    connect_due = false;
    tell(Told::connected);
  }
}

bool Connection::Impl::serve(Serving how) {
  if (handler == nullptr || gone || abort_requested || stack.dormant) {
    return false;
  }
  begin_serving();
  bool again = false;
  const auto is_late = [&] { return how == Serving::in_time && stack.out_of_time(); };
  const auto offer = [&] {
    for (int i = 0; offer_due && !receive.empty() && !abort_requested; ++i) {
      if (i == kOffersPerTurn || (i != 0 && is_late())) {
        again = true;
        return;
      }
      const auto consumed_before = consumed;
      const auto written_before = send.end();
      room_was_short = false;
      handler->on_receive(handle, receive.unread());
      offer_due = consumed != consumed_before || send.end() != written_before;
      if (!offer_due && is_late()) {
        // It may have returned for want of time before it took anything.
        again = offer_due = true;
        return;
      }
    }
  };
  offer();
  if (room_due && !abort_requested) {
    room_due = false;
    if (!receive.empty() && !again) {
      offer_due = true;
      offer();
    }
    if (!abort_requested) {
      handler->on_writable(handle);
    }
    // It may have returned for want of time here as well.
    if (is_late()) again = room_due = true;
  }
  if (!abort_requested && !again) {
    deliver_eof();
    deliver_closed();
  }
  return again && !abort_requested;
}

void Connection::Impl::deliver_eof() {
  if (!fin_received || eof_delivered || handler == nullptr) {
    return;
  }
  // A handler that leaves bytes lying waits for more, which will not come, or for room to answer, which will.
  const bool has_seen_all = !offer_due && (!room_was_short || close_requested);
  if (unread().empty() || has_seen_all) {
    tell(Told::eof);
  }
}

void Connection::Impl::deliver_closed() {
  if (pcb != nullptr) {
    stack.note_time_wait(*this, pcb->state == TIME_WAIT);
    stack.note_live(*this, pcb->state >= ESTABLISHED && pcb->state != TIME_WAIT);
  }
  // Whoever still has something to read is left to it for as long as the connection lasts.
  if (in_time_wait && eof_delivered && handler != nullptr && unread().empty()) {
    tell(Told::closed);
  }
}

void Connection::Impl::finish(bool was_reset) {
  if (gone) {
    return;
  }
  if (handler != nullptr && !was_reset && !abort_requested) {
    offer_due = offer_due || !receive.empty();
    serve(Serving::to_the_end);
  }
  gone = true;
  reset = was_reset;
  if (!was_reset) {
    end_reason = EndReason::none;
  } else if (end_reason == EndReason::none) {
    end_reason = abort_requested ? EndReason::aborted : EndReason::unknown;
  }
  if (announced && stack.observer != nullptr && !stack.dormant) {
    stack.observer->on_close(handle, was_reset);
  }
  TANDEM_SHOWN(was_reset ? Shown::reset : Shown::ended, announced ? id : 0, 0);
  if (handler != nullptr) {
    if (was_reset) {
      handler->on_reset(handle);
    } else {
      handler->on_closed(handle);
    }
    handler.reset();
  }
  stack.forget(*this);
}

}  // namespace tandem
