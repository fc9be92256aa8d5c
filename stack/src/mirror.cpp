// SPDX-License-Identifier: BSD-3-Clause
//
// A dormant stack is told what the primary's observer saw. Nothing in a log is trusted: what does not follow from what came
// before is refused, and changes nothing.
#include <algorithm>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"
#include "tandem/planted.hpp"
#include "tandem/shown.hpp"

namespace tandem {

namespace {

/// Numbers go on above the highest one that a log has named, so a log may not name the last ones.
constexpr ConnectionId kMaxId = ConnectionId{1} << 62;

/// Within one turn the primary frees before it fills, and tells of the freeing when the turn ends; so for a while a twin may
/// hold as much again as one queue's limit.
std::uint64_t queue_limit(std::size_t bytes) { return 2 * std::uint64_t{bytes} + 65536; }

std::int32_t distance(std::uint32_t from, std::uint32_t to) { return static_cast<std::int32_t>(to - from); }

/// Something is outstanding, waits to be sent, or is owed: the peer waits for us.
bool is_urgent(const TcpState& state) {
  return state.snd_una != state.write_seq || (state.flags & tcp_flag::kAckPending) != 0;
}

}  // namespace

void Stack::Impl::list_dormant(Connection::Impl& connection) {
  if (connection.listed) {
    unlist_dormant(connection);
  }
  // Counted from here on, so that who takes over keeps no more than one limit of them, however late they come to life.
  if (!connection.is_half_open() || TANDEM_PLANTED(half_open_uncounted)) {
    uncount_half_open(connection);
  } else if (connection.half_open_at == nullptr) {
    count_half_open(connection, find_listener(connection.local));
  }
  connection.urgent = is_urgent(connection.shown);
  connection.listed = true;
  (connection.urgent ? urgent : idle).push_newest(connection);
}

void Stack::Impl::unlist_dormant(Connection::Impl& connection) {
  (connection.urgent ? urgent : idle).remove(connection);
  connection.listed = false;
}

void Stack::Impl::note_unsettled(Connection::Impl& connection, bool unsettled) {
  if (connection.unsettled != unsettled) {
    connection.unsettled = unsettled;
    unsettled_count += unsettled ? 1 : std::size_t(-1);
  }
}

Connection::Impl* Stack::Impl::add_image(ConnectionId id, const ConnectionImage& image, Replication replication,
                                         std::string_view* why) {
  const auto refuse = [&](std::string_view reason) {
    if (why != nullptr) {
      *why = reason;
    }
    return nullptr;
  };
  const TcpState& state = image.state;
  if (const auto reason = inconsistency(image); !reason.empty()) {
    return refuse(reason);
  }
  if (connections.contains(id)) {
    return refuse("the connection's id exists");
  }
  if (by_tuple.contains({state.local, state.remote})) {
    return refuse("a connection between these two ends exists");
  }
  const bool in_time_wait = state.phase == TcpPhase::time_wait;
  if (in_time_wait ? time_wait_count >= TANDEM_TCP_TIME_WAIT_MAX : is_full()) {
    return refuse("there are as many connections as this stack may have");
  }
  if (image.send_queue.size() > queue_limit(options.send_queue_bytes) ||
      image.receive_queue.size() > queue_limit(options.receive_window_bytes)) {
    return refuse("a queue is longer than this stack's limit");
  }
  if (!services.contains(image.service)) {
    return refuse("the service is not defined");
  }
  auto& connection = add_connection(id, image.service, replication, state.local, state.remote);
  connection.adopt_state(state);
  connection.send.reset(state.bytes_acked);
  connection.send.append(image.send_queue);
  connection.receive.append(image.receive_queue);
  for (const auto& piece : image.out_of_order) {
    connection.out_of_order.add(piece.seq, piece.bytes, piece.fin, options.receive_window_bytes);
  }
  // In TIME-WAIT the primary's handler may be gone already; a half-open connection has none yet.
  if (!connection.closed_delivered && !connection.is_half_open() && !make_handler(connection)) {
    connection.gone = true;
    forget(connection);
    graveyard.pop_back();
    return refuse("the service refuses the connection");
  }
  return &connection;
}

Connection::Impl* Stack::Impl::mirror_open(ConnectionId id, const ConnectionImage& image) {
  if (!dormant || id > kMaxId) {
    return nullptr;
  }
  auto* const connection = add_image(id, image, Replication::replicated, nullptr);
  if (connection == nullptr) {
    return nullptr;
  }
  connection->announced = true;
  list_dormant(*connection);
  if (connection->handler != nullptr) {
    connection->handler->on_opened(connection->handle);
    // One that comes late, by a snapshot or tagged late, hears what was told before.
    if (connection->eof_delivered) {
      connection->handler->on_eof(connection->handle);
    }
  }
  return connection;
}

bool Connection::Impl::is_half_open() const {
  return (pcb != nullptr ? phase_of(*pcb) : shown.phase) == TcpPhase::syn_rcvd && !active_open && handler == nullptr;
}

bool Connection::Impl::ensure_handler() {
  if (is_half_open()) {
    if (!stack.make_handler(*this)) {
      return false;
    }
    handler->on_opened(handle);
  }
  return true;
}

bool Connection::Impl::mirror_received(Bytes bytes) {
  if (!is_mirrored() || !ensure_handler() ||
      receive.size() + bytes.size() > queue_limit(stack.options.receive_window_bytes)) {
    return false;
  }
  receive.append(bytes);
  received += bytes.size();
  stack.note_unsettled(*this, true);
  return true;
}

bool Connection::Impl::mirror_skipped(std::uint64_t count) {
  if (!is_mirrored() || !ensure_handler() || !receive.empty() || wants_stream ||
      count > queue_limit(stack.options.receive_window_bytes)) {
    return false;
  }
  received += count;
  consumed += count;
  stack.note_unsettled(*this, true);
  return true;
}

bool Connection::Impl::mirror_out_of_order(std::uint32_t seq, Bytes bytes, bool fin) {
  if (!is_mirrored()) {
    return false;
  }
  if (shown.phase == TcpPhase::syn_sent) {
    // Where the peer's numbers begin is told when the turn ends.
    stack.note_unsettled(*this, true);
  } else {
    const auto ahead = distance(shown.rcv_nxt + static_cast<std::uint32_t>(received - shown.bytes_received), seq);
    if (ahead < 0 || static_cast<std::uint32_t>(ahead) > kMaxWindowBytes) {
      return false;
    }
  }
  return out_of_order.add(seq, bytes, fin, stack.options.receive_window_bytes);
}

bool Connection::Impl::mirror_written(Bytes bytes) {
  if (!is_mirrored() || !ensure_handler() ||
      send.end() - acked + bytes.size() > queue_limit(stack.options.send_queue_bytes)) {
    return false;
  }
  send.append(bytes);
  stack.note_unsettled(*this, true);
  if (wants_stream && handler != nullptr) {
    TANDEM_SHOWN(Shown::written, id, bytes.size());
    handler->on_written(handle, bytes);
  }
  return true;
}

bool Connection::Impl::mirror_consumed(std::uint64_t count) {
  if (!is_mirrored() || count > receive.size()) {
    return false;
  }
  const Bytes taken = receive.unread().first(static_cast<std::size_t>(count));
  if (!TANDEM_PLANTED(consumed_lost)) {
    receive.drop(taken.size());
  }
  consumed += count;
  stack.note_unsettled(*this, true);
  if (wants_stream && handler != nullptr) {
    TANDEM_SHOWN(Shown::consumed, id, taken.size());
    handler->on_consumed(handle, taken);
  }
  receive.trim();
  return true;
}

bool Connection::Impl::mirror_note(Bytes bytes) {
  if (!is_mirrored() || !ensure_handler()) {
    return false;
  }
  if (handler != nullptr) {
    TANDEM_SHOWN(Shown::note, id, bytes.size());
    handler->on_note(handle, bytes);
  }
  return true;
}

bool Connection::Impl::mirror_told(Told what) {
  if (!is_mirrored() || !ensure_handler() || handler == nullptr) {
    return false;
  }
  switch (what) {
    case Told::connected:
      if (connected) {
        return false;
      }
      break;
    case Told::eof:
      if (eof_delivered) {
        return false;
      }
      break;
    case Told::closed:
      if (!eof_delivered) {
        return false;
      }
      break;
    default:
      return false;
  }
  // That the FIN is there is said by the state when the turn ends.
  if (what != Told::connected) {
    stack.note_unsettled(*this, true);
  }
  tell(what);
  return true;
}

bool Connection::Impl::mirror_state(const TcpState& state) {
  const TcpState& before = shown;
  const bool answered = before.phase == TcpPhase::syn_sent && state.phase != TcpPhase::syn_sent;
  if (!is_mirrored() || !inconsistency(state).empty() || state.local != local || state.remote != remote ||
      state.iss != iss || (state.irs != irs && !answered) || state.bytes_written != send.end() ||
      state.bytes_received != received || state.bytes_consumed != consumed || state.bytes_acked < acked ||
      distance(before.snd_una, state.snd_una) < 0 || distance(before.snd_nxt, state.snd_nxt) < 0 ||
      (!answered && distance(before.rcv_nxt, state.rcv_nxt) < 0) ||
      ((state.flags & tcp_flag::kConnectedTold) != 0) != connected ||
      ((state.flags & tcp_flag::kEofTold) != 0) != eof_delivered ||
      ((state.flags & tcp_flag::kClosedTold) != 0) != closed_delivered ||
      (!out_of_order.empty() &&
       (state.phase == TcpPhase::syn_sent || !out_of_order.is_within(state.rcv_nxt, kMaxWindowBytes)))) {
    return false;
  }
  if (state.phase != TcpPhase::syn_rcvd && !ensure_handler()) {
    return false;
  }
  stack.note_unsettled(*this, false);
  adopt_state(state);
  send.release(acked);
  if (!out_of_order.empty()) {
    out_of_order.trim(state.rcv_nxt);
  }
  stack.list_dormant(*this);
  return true;
}

void Stack::Impl::mirror_close(Connection::Impl& connection, bool reset) {
  if (!connection.is_mirrored()) {
    return;
  }
  connection.finish(reset);
  graveyard.clear();
}

void Stack::Impl::mirror_clear() {
  while (!connections.empty()) {
    auto& connection = *connections.begin()->second;
    connection.gone = true;
    connection.handler.reset();
    forget(connection);
  }
  graveyard.clear();
  neighbours.clear();
}

bool Connection::Impl::is_mirrored() const { return stack.dormant && !gone; }

}  // namespace tandem
