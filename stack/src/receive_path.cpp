// SPDX-License-Identifier: BSD-3-Clause
//
// From TCP's in-order data to the handler. When nothing is unread the frame itself is offered, without a copy; what the handler
// leaves is copied, so that the frame can go back to its device at once.
//
// The observer is told before the handler sees the bytes when the twin's handler wants them; else only of what stays, since
// bytes that are consumed at once need no copy on the twin.
#include <algorithm>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"
#include "tandem/planted.hpp"
#include "tandem/shown.hpp"

namespace tandem {

namespace {

/// How often one piece is offered while the handler makes progress; afterwards it waits for run_handlers.
constexpr int kDirectOffers = 16;

}  // namespace

bool Connection::Impl::take_data(pbuf* data) {
  const bool shown_to_observer = announced && stack.observer != nullptr;
  if (handler != nullptr && !abort_requested) {
    begin_serving();
  }
  for (const pbuf* part = data; part != nullptr; part = part->next) {
    const Bytes bytes{static_cast<const std::uint8_t*>(part->payload), part->len};
    if (bytes.empty()) {
      continue;
    }
    received += bytes.size();
    const bool offer = receive.empty() && handler != nullptr && !abort_requested && !stack.late;
    if (shown_to_observer && (wants_stream || !offer)) {
      stack.observer->on_received(handle, bytes);
    }
    if (!offer) {
      receive.append(bytes);
      continue;
    }
    direct = bytes;
    for (int i = 0; i < kDirectOffers && !direct.empty() && !abort_requested; ++i) {
      const auto consumed_before = consumed;
      const auto written_before = send.end();
      handler->on_receive(handle, direct);
      if (consumed == consumed_before && send.end() == written_before) {
        break;
      }
    }
    const Bytes rest = direct;
    direct = {};
    if (!rest.empty()) {
      if (shown_to_observer && !wants_stream) {
        stack.observer->on_received(handle, rest);
      }
      receive.append(rest);
    }
  }
  pbuf_free(data);
  offer_due = !receive.empty();
  stack.touch(*this);
  stack.give_work(*this);
  return !abort_requested;
}

void Connection::Impl::take_fin() {
  fin_received = true;
  stack.touch(*this);
  stack.give_work(*this);
  if (handler != nullptr && !abort_requested) {
    begin_serving();
    // What is unread is offered once more, in this turn, before the handler is told.
    offer_due = !receive.empty();
    deliver_eof();
  }
}

void Connection::Impl::consume(std::size_t count) {
  // One that has ended is read to its end without a connection under it.
  if (stack.dormant || gone || abort_requested || (listed && !ensure_linked())) {
    return;
  }
  count = std::min(count, unread().size());
  if (count == 0) {
    return;
  }
  const bool was_direct = !direct.empty();
  if (was_direct) {
    direct = direct.subspan(count);
  } else {
    receive.drop(count);
  }
  consumed += count;
  if (announced && stack.observer != nullptr) {
    if (was_direct && !wants_stream) {
      stack.observer->on_skipped(handle, count);
    } else {
      stack.observer->on_consumed(handle, count);
      if (wants_stream) {
        TANDEM_SHOWN(Shown::consumed, id, count);
      }
    }
  }
  stack.touch(*this);
  stack.give_work(*this);
  if (pcb == nullptr || pcb->state == TIME_WAIT || (!was_direct && TANDEM_PLANTED(window_update_lost))) {
    return;
  }
  for (std::size_t left = count; left != 0;) {
    const auto step = static_cast<u16_t>(std::min<std::size_t>(left, 0xffff));
    tcp_recved(pcb, step);
    left -= step;
  }
}

}  // namespace tandem
