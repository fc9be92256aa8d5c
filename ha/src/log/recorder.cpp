// SPDX-License-Identifier: BSD-3-Clause
#include "log/recorder.hpp"

#include <algorithm>

#include "log/log_format.hpp"
#include "tandem/planted.hpp"

namespace tandem::ha {

void Recorder::stop() {
  active_ = complete_ = joining_ = false;
  given_.clear();
}

void Recorder::start_partial() {
  stop();
  active_ = joining_ = true;
}

void Recorder::start_whole() {
  given_.clear();
  active_ = complete_ = joining_ = true;
}

void Recorder::on_open(Connection& connection) {
  if (!active_) return;
  // Tagged late: the queues go first, like those of a snapshot.
  const std::uint64_t acked = connection.bytes_acked();
  const std::uint64_t consumed = connection.bytes_consumed();
  const bool has_queues = connection.bytes_written() != acked || connection.bytes_received() != consumed;
  if (has_queues) {
    std::uint64_t position = acked;
    connection.visit_send_queue(acked, connection.bytes_written(), [&](Bytes piece) {
      log_.append(RecordType::snapshot_send, connection.id(), {as_bytes(position), piece});
      position += piece.size();
    });
    Bytes unread = connection.unread();
    for (position = consumed; !unread.empty();) {
      const Bytes piece = unread.first(std::min<std::size_t>(unread.size(), kMaxPayloadBytes / 2));
      log_.append(RecordType::snapshot_receive, connection.id(), {as_bytes(position), piece});
      position += piece.size();
      unread = unread.subspan(piece.size());
    }
  }
  records_.open(connection, has_queues);
  if (joining_) give(connection.id());
  for (const OutOfOrderPiece& piece : connection.out_of_order()) {
    on_out_of_order(connection, piece.seq, piece.bytes, piece.fin);
  }
}

void Recorder::on_received(Connection& connection, Bytes bytes) {
  if (is_recorded(connection.id())) log_.append_bytes(RecordType::received, connection.id(), bytes);
}

void Recorder::on_skipped(Connection& connection, std::uint64_t count) {
  if (is_recorded(connection.id())) log_.append(RecordType::skipped, connection.id(), {as_bytes(count)});
}

void Recorder::on_out_of_order(Connection& connection, std::uint32_t seq, Bytes bytes, bool fin) {
  if (is_recorded(connection.id())) records_.out_of_order(connection.id(), seq, bytes, fin);
}

void Recorder::on_written(Connection& connection, Bytes bytes) {
  if (is_recorded(connection.id())) log_.append_bytes(RecordType::written, connection.id(), bytes);
}

void Recorder::on_consumed(Connection& connection, std::uint64_t count) {
  if (is_recorded(connection.id())) log_.append(RecordType::consumed, connection.id(), {as_bytes(count)});
}

bool Recorder::on_note(Connection& connection, Bytes bytes) {
  return !is_recorded(connection.id()) || log_.append_whole(RecordType::note, connection.id(), bytes);
}

void Recorder::on_told(Connection& connection, Told what) {
  if (!is_recorded(connection.id())) return;
  if (TANDEM_PLANTED(told_late) && what == Told::eof) {
    told_late_.push_back(connection.id());
    return;
  }
  if (TANDEM_PLANTED(told_late)) tell_late(connection.id());
  const std::uint32_t payload[2] = {static_cast<std::uint32_t>(what), 0U};
  log_.append(RecordType::told, connection.id(), {as_bytes(payload)});
}

void Recorder::tell_late(ConnectionId id) {
  if (std::erase(told_late_, id) == 0) return;
  const std::uint32_t payload[2] = {static_cast<std::uint32_t>(Told::eof), 0U};
  log_.append(RecordType::told, id, {as_bytes(payload)});
}

void Recorder::on_state(Connection& connection, const TcpState& state) {
  const bool early = TANDEM_PLANTED(snapshot_mixed) && active_;
  if ((!is_recorded(connection.id()) && !early) || TANDEM_PLANTED_SELDOM(record_dropped, 64)) return;
  if (TANDEM_PLANTED(told_late)) tell_late(connection.id());
  records_.state(connection.id(), state);
}

void Recorder::on_close(Connection& connection, bool reset) {
  if (!is_recorded(connection.id())) return;
  if (TANDEM_PLANTED(told_late)) tell_late(connection.id());
  // A reader looks at the first number for whether, and at the second, where it knows of it, for why.
  const std::uint32_t payload[2] = {reset ? 1U : 0U, static_cast<std::uint32_t>(connection.end_reason())};
  log_.append(RecordType::close, connection.id(), {as_bytes(payload)});
  given_.erase(connection.id());
}

void Recorder::on_neighbour(const Neighbour& neighbour) {
  if (active_) records_.neighbour(neighbour);
}

}  // namespace tandem::ha
