// SPDX-License-Identifier: BSD-3-Clause
#include "log/replica.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tandem/loop.hpp"
#include "tandem/planted.hpp"
#include "tandem/shown.hpp"
#include "tandem/stop_point.hpp"

namespace tandem::ha {
namespace {

/// As long as the type's first layout is, or longer: later versions append.
bool is_long_enough(RecordType type, std::size_t length) {
  switch (type) {
    case RecordType::transaction_begin:
    case RecordType::commit:
      return length >= 16;
    case RecordType::skipped:
    case RecordType::consumed:
    case RecordType::snapshot_begin:
    case RecordType::snapshot_end:
    case RecordType::close:
    case RecordType::role_change:
    case RecordType::told:
    case RecordType::out_of_order:
      return length >= 8;
    case RecordType::neighbour:
      return length >= 24;
    case RecordType::ring_marks:
      return length >= sizeof(RingMarksPrefix);
    case RecordType::stack_secret:
      return length >= sizeof(Secret);
    case RecordType::open:
    case RecordType::snapshot_send:
    case RecordType::snapshot_receive:
      return length > 8;
    default:
      return true;
  }
}

bool may_come_in_parts(RecordType type) {
  return type == RecordType::note || type == RecordType::snapshot_handler || type == RecordType::snapshot_application;
}

/// Behind whether it was reset stands why, if whoever wrote the record knew of reasons.
EndReason end_reason(Bytes payload) {
  const auto reason = load<std::uint32_t>(payload.subspan(4));
  return reason == 0 || reason > static_cast<std::uint32_t>(EndReason::unknown) ? EndReason::unknown
                                                                                : static_cast<EndReason>(reason);
}

/// Appends a staged piece that may overlap what is there; a hole makes it false.
bool append_staged(bool& any, std::uint64_t& from, std::vector<std::uint8_t>& bytes, std::uint64_t position,
                   Bytes piece) {
  if (!any || position > from + bytes.size()) {
    // Bytes before were acknowledged or consumed meanwhile: what was staged is wanted no longer.
    any = true;
    from = position;
    bytes.clear();
  } else if (position < from + bytes.size()) {
    return false;
  }
  bytes.insert(bytes.end(), piece.begin(), piece.end());
  return true;
}

/// The part [from, to) of staged bytes, or false when they do not cover it.
bool take_staged(std::uint64_t staged_from, const std::vector<std::uint8_t>& staged, std::uint64_t from,
                 std::uint64_t to, std::vector<std::uint8_t>& out) {
  if (from == to) return true;
  if (from > to || staged_from > from || staged_from + staged.size() < to) return false;
  const auto begin = staged.begin() + static_cast<std::ptrdiff_t>(from - staged_from);
  out.assign(begin, begin + static_cast<std::ptrdiff_t>(to - from));
  return true;
}

}  // namespace

Replica::Replica(Stack& stack, Node& node, Application* application, LogReader reader, std::uint64_t epoch,
                 std::unique_ptr<SnapshotFeed> snapshot)
    : stack_(stack),
      node_(node),
      application_(application),
      live_(std::move(reader)),
      feed_(std::move(snapshot)),
      snapshot_(feed_ != nullptr ? feed_->reader() : LogReader(nullptr, 0, 0)),
      epoch_(epoch) {}

bool Replica::fail(const Record& record, const std::string& what) {
  error_ = what + " (record type " + std::to_string(record.type) + ", connection " + std::to_string(record.id) +
           ", transaction " + std::to_string(transactions_ + 1) + ", log position " + std::to_string(position()) + ")";
  return false;
}

bool Replica::apply(std::uint64_t published, std::uint64_t deadline_ns) {
  if (!error_.empty()) return false;
  if (feed_ != nullptr) return apply_snapshot(published, deadline_ns);
  return apply_live(published, deadline_ns);
}

bool Replica::apply_live(std::uint64_t published, std::uint64_t deadline_ns) {
  Record record;
  while (live_.reader.next(published, record)) {
    ++records_;
    if (TANDEM_PLANTED(note_out_of_order) && static_cast<RecordType>(record.type) == RecordType::note) {
      if (Record later; live_.reader.next(published, later) && !apply_record(live_, later)) return false;
    }
    if (!apply_record(live_, record)) return false;
    TANDEM_STEP("replica.record");
    if (deadline_ns != UINT64_MAX && !live_.in_transaction && monotonic_ns() >= deadline_ns) return true;
  }
  if (!live_.reader.error().empty()) {
    error_ = live_.reader.error();
    return false;
  }
  if (live_.in_transaction && !TANDEM_PLANTED(partial_transaction)) {
    error_ = "the published position cuts a transaction in two";
    return false;
  }
  return true;
}

bool Replica::apply_snapshot(std::uint64_t published, std::uint64_t deadline_ns) {
  const std::uint64_t snapshot_published = feed_->published();
  while (!complete_) {
    if (!snapshot_at_) {
      if (snapshot_.reader.position() == snapshot_published) break;
      std::uint64_t position = 0;
      if (!read_snapshot_at(snapshot_published, position)) return false;
      snapshot_at_ = position;
    }
    // Published behind what was looked at: the next time.
    if (*snapshot_at_ > published) break;
    if (!apply_live(*snapshot_at_, deadline_ns)) return false;
    if (position() != *snapshot_at_) return true;
    // The live log may have said nothing yet.
    time_ns_ = std::max(time_ns_, snapshot_time_ns_);
    Record record;
    while (snapshot_.in_transaction) {
      if (!snapshot_.reader.next(snapshot_published, record)) {
        error_ = snapshot_.reader.error().empty() ? "the snapshot's log ends within a transaction"
                                                  : "the snapshot's log: " + snapshot_.reader.error();
        return false;
      }
      ++records_;
      if (!apply_record(snapshot_, record)) return false;
      TANDEM_STEP("replica.record");
    }
    snapshot_at_.reset();
    feed_->report(snapshot_.reader.position());
    if (deadline_ns != UINT64_MAX && monotonic_ns() >= deadline_ns) return true;
  }
  if (complete_ && deadline_ns != UINT64_MAX && feed_->let_go()) feed_.reset();
  // What has come in part is of this position still.
  if (!snapshot_.parts.empty()) return true;
  return apply_live(published, deadline_ns);
}

bool Replica::read_snapshot_at(std::uint64_t snapshot_published, std::uint64_t& position) {
  Record begin, at;
  if (!snapshot_.reader.next(snapshot_published, begin) || !snapshot_.reader.next(snapshot_published, at)) {
    error_ = "the snapshot's log: " +
             (snapshot_.reader.error().empty() ? "it ends within a transaction" : snapshot_.reader.error());
    return false;
  }
  if (static_cast<RecordType>(begin.type) != RecordType::transaction_begin ||
      static_cast<RecordType>(at.type) != RecordType::snapshot_at || at.version != 1 || at.payload.size() < 8)
    return fail(at, "a transaction of a snapshot that does not say where it belongs");
  if (!apply_record(snapshot_, begin)) return false;
  position = load<std::uint64_t>(at.payload);
  if (position < live_.reader.position()) return fail(at, "a transaction of a snapshot that comes too late");
  return true;
}

bool Replica::apply_record(Source& source, const Record& record) {
  const auto type = static_cast<RecordType>(record.type & ~kOptionalRecord);
  const bool optional = (record.type & kOptionalRecord) != 0;
  const bool known = ((type >= RecordType::transaction_begin && type <= RecordType::told) ||
                      type == RecordType::ring_marks || type == RecordType::part || type == RecordType::stack_secret) &&
                     record.version == 1;
  if (!known) {
    if (optional) {
      ++skipped_optional_;
      return true;
    }
    return fail(record, "a mandatory record that this version does not know; run the same version on both sides");
  }
  if (!is_long_enough(type, record.payload.size())) return fail(record, "a record that is too short");
  if ((type == RecordType::transaction_begin) == source.in_transaction)
    return fail(record, "a record outside of a transaction");
  if (type == RecordType::transaction_begin) return begin_transaction(source, record);
  if (type == RecordType::commit) return end_transaction(source, record);
  // What was told before the snapshot begins is in it.
  if (&source == &live_ && feed_ != nullptr && !in_snapshot_ && !complete_ && type != RecordType::ring_marks)
    return true;
  if (type == RecordType::part) return take_part(source, record);
  if (!source.parts.empty() && type != RecordType::ring_marks) {
    if (!may_come_in_parts(type) || record.id != source.parts_id)
      return fail(record, "parts of something that does not follow them");
    std::vector<std::uint8_t> whole = std::exchange(source.parts, {});
    whole.insert(whole.end(), record.payload.begin(), record.payload.end());
    return apply_record(source, {record.type, record.version, record.id, whole});
  }

  switch (type) {
    case RecordType::ring_marks: {
      const auto prefix = load<RingMarksPrefix>(record.payload);
      if (prefix.queues < 2 || prefix.queues > kMostQueues ||
          record.payload.size() < sizeof prefix + prefix.queues * sizeof(RingMark))
        return fail(record, "marks of a number of rings that no device has");
      more_marks_.more_queues = prefix.queues - 1;
      for (std::uint32_t i = 0; i < more_marks_.more_queues; ++i)
        more_marks_.more_rx_indices[i] =
            load<RingMark>(record.payload, sizeof prefix + (i + 1) * sizeof(RingMark)).rx_index;
      return true;
    }
    case RecordType::snapshot_begin:
      stack_.mirror_clear();
      staged_.clear();
      in_snapshot_ = true;
      complete_ = false;
      return true;
    case RecordType::snapshot_end:
      if (!in_snapshot_) return fail(record, "an end of a snapshot that did not begin");
      in_snapshot_ = false;
      complete_ = true;
      staged_.clear();
      return true;
    case RecordType::snapshot_application:
      if (application_ != nullptr && !application_->restore(node_, record.payload)) {
        return fail(record, "the application does not understand a piece of its own saved state");
      }
      return true;
    case RecordType::neighbour: {
      const auto entry = load<NeighbourRecord>(record.payload);
      if (entry.version != 4 && entry.version != 6) return fail(record, "a neighbour of no known IP version");
      Neighbour neighbour;
      neighbour.address.version = entry.version;
      std::memcpy(neighbour.address.octets.data(), entry.address, sizeof entry.address);
      std::memcpy(neighbour.mac.octets.data(), entry.mac, sizeof entry.mac);
      stack_.mirror_neighbour(neighbour);
      return true;
    }
    case RecordType::role_change:
      return true;
    case RecordType::stack_secret:
      stack_.mirror_secret(load<Secret>(record.payload));
      return true;
    case RecordType::note:
      if (record.id == 0) {
        TANDEM_SHOWN(Shown::application_note, 0, record.payload.size());
        if (application_ != nullptr) application_->on_note(node_, record.payload);
        return true;
      }
      return apply_connection_record(record);
    case RecordType::snapshot_send:
    case RecordType::snapshot_receive:
      return stage(record);
    case RecordType::open:
      return apply_open(record);
    default:
      return apply_connection_record(record);
  }
}

bool Replica::begin_transaction(Source& source, const Record& record) {
  const auto begin = load<TransactionBegin>(record.payload);
  if (begin.epoch != epoch_ && !TANDEM_PLANTED(epoch_not_checked))
    return fail(record,
                "a transaction of epoch " + std::to_string(begin.epoch) + " in epoch " + std::to_string(epoch_));
  if (&source == &live_)
    time_ns_ = begin.time_ns;
  else
    snapshot_time_ns_ = begin.time_ns;
  source.in_transaction = true;
  return true;
}

bool Replica::end_transaction(Source& source, const Record& record) {
  source.in_transaction = false;
  if (!stack_.mirror_is_settled()) return fail(record, "bytes of a connection without the state that counts them");
  const auto commit = load<Commit>(record.payload);
  mark_ = std::exchange(more_marks_, {});
  mark_->rx_index = commit.rx_index;
  mark_->tx_index = commit.tx_index;
  if (&source == &snapshot_) return true;
  if (!source.parts.empty()) return fail(record, "parts of something that does not follow them");
  ++transactions_;
  TANDEM_SHOWN(Shown::transaction, 0, position());
  return true;
}

bool Replica::take_part(Source& source, const Record& record) {
  if (record.payload.empty() || (!source.parts.empty() && record.id != source.parts_id))
    return fail(record, "parts that do not belong together");
  // Those of the live log are of one transaction, which the log held; and no writer saves more than would fit there.
  if (source.parts.size() + record.payload.size() > live_.reader.bytes())
    return fail(record, "parts that are longer than the log");
  source.parts_id = record.id;
  source.parts.insert(source.parts.end(), record.payload.begin(), record.payload.end());
  return true;
}

bool Replica::stage(const Record& record) {
  const auto position = load<std::uint64_t>(record.payload);
  const Bytes piece = record.payload.subspan(8);
  Staged& staged = staged_[record.id];
  const bool is_send = static_cast<RecordType>(record.type) == RecordType::snapshot_send;
  std::vector<std::uint8_t>& bytes = is_send ? staged.send : staged.receive;
  const bool good = is_send ? append_staged(staged.has_send, staged.send_from, bytes, position, piece)
                            : append_staged(staged.has_receive, staged.receive_from, bytes, position, piece);
  if (!good) return fail(record, "snapshot bytes that repeat a position");
  return true;
}

bool Replica::apply_open(const Record& record) {
  const auto prefix = load<OpenPrefix>(record.payload);
  ConnectionImage image;
  const auto state = decode_tcp_state(record.payload.subspan(sizeof prefix));
  if (!state) return fail(record, "a connection state that cannot be read");
  image.state = *state;
  image.service = prefix.service;
  if ((prefix.flags & kOpenFromSnapshot) != 0) {
    const Staged& staged = staged_[record.id];
    if (!take_staged(staged.send_from, staged.send, state->bytes_acked, state->bytes_written, image.send_queue) ||
        !take_staged(staged.receive_from, staged.receive, state->bytes_consumed, state->bytes_received,
                     image.receive_queue)) {
      return fail(record, "a snapshot that lacks bytes of a queue");
    }
    staged_.erase(record.id);
  }
  if (stack_.mirror_open(record.id, image) == nullptr) {
    return fail(record, "a connection that cannot be opened: " + std::string(inconsistency(*state)) + ", service " +
                            std::to_string(prefix.service));
  }
  return true;
}

bool Replica::apply_connection_record(const Record& record) {
  Connection* connection = stack_.find(record.id);
  if (connection == nullptr) {
    // Its snapshot is still to come, and will be of a later turn.
    if (feed_ != nullptr && !complete_) return true;
    return fail(record, "a record of a connection that is not open");
  }
  bool good = true;
  switch (static_cast<RecordType>(record.type & ~kOptionalRecord)) {
    case RecordType::received:
      good = stack_.mirror_received(*connection, record.payload);
      break;
    case RecordType::skipped:
      good = stack_.mirror_skipped(*connection, load<std::uint64_t>(record.payload));
      break;
    case RecordType::out_of_order: {
      const auto prefix = load<OutOfOrderPrefix>(record.payload);
      good =
          stack_.mirror_out_of_order(*connection, prefix.seq, record.payload.subspan(sizeof prefix), prefix.fin != 0);
      break;
    }
    case RecordType::written:
      good = stack_.mirror_written(*connection, record.payload);
      break;
    case RecordType::consumed:
      good = stack_.mirror_consumed(*connection, load<std::uint64_t>(record.payload));
      break;
    case RecordType::note:
      good = stack_.mirror_note(*connection, record.payload);
      break;
    case RecordType::told: {
      const auto what = load<std::uint32_t>(record.payload);
      good = what <= UINT8_MAX && stack_.mirror_told(*connection, static_cast<Told>(what));
      break;
    }
    case RecordType::state: {
      const auto state = decode_tcp_state(record.payload);
      good = state && stack_.mirror_state(*connection, *state);
      break;
    }
    case RecordType::close:
      stack_.mirror_close(*connection, load<std::uint32_t>(record.payload) != 0, end_reason(record.payload));
      break;
    case RecordType::snapshot_handler:
      if (connection->handler() != nullptr && !TANDEM_PLANTED(saved_state_lost))
        connection->handler()->restore(*connection, record.payload);
      break;
    default:
      return fail(record, "a record that belongs to no connection");
  }
  if (!good) return fail(record, "a record that does not follow from the connection's state");
  return true;
}

}  // namespace tandem::ha
