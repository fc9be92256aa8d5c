// SPDX-License-Identifier: BSD-3-Clause
#include "log/snapshot.hpp"

#include <algorithm>
#include <utility>

#include "log/log_format.hpp"
#include "log/log_limits.hpp"
#include "tandem/loop.hpp"
#include "tandem/stop_point.hpp"

namespace tandem::ha {
namespace {

constexpr std::size_t kPieceBytes = 32 * 1024;

}  // namespace

Snapshot::Snapshot(Stack& stack, Node& node, Application* application, LogWriter& log, Recorder& recorder,
                   SnapshotWay way)
    : stack_(stack), node_(node), application_(application), log_(log), records_(log), recorder_(recorder), way_(way) {
  // Only their names: to look at thousands of them would take longer than a turn may.
  ids_ = stack_.connection_ids();
  if (way_ == SnapshotWay::in_live_log)
    recorder_.start_partial();
  else
    recorder_.start_whole();
  const std::uint64_t count = ids_.size();
  log_.append(RecordType::snapshot_begin, 0, {as_bytes(count)});
  log_.append(static_cast<RecordType>(static_cast<std::uint16_t>(RecordType::stack_secret) | kOptionalRecord), 0,
              {stack_.options().secret});
  for (const Neighbour& neighbour : stack_.neighbours()) neighbours_.push_back(neighbour.address);
}

bool Snapshot::step_connection(ConnectionId id, std::size_t& bytes_left) {
  Connection* connection = stack_.find(id);
  // It has closed since, or it was opened in the live log by being tagged late.
  if (connection == nullptr || !connection->is_replicated() || recorder_.is_given(id)) return true;
  if (!current_started_) {
    current_started_ = true;
    copied_ = 0;
    send_position_ = connection->bytes_acked();
    receive_position_ = connection->bytes_consumed();
  }
  // What has been acknowledged or consumed meanwhile is wanted no longer.
  send_position_ = std::max(send_position_, connection->bytes_acked());
  receive_position_ = std::max(receive_position_, connection->bytes_consumed());

  // A connection that is written faster than the budget would never be done: after twice its queues the rest goes at once.
  const std::uint64_t limit = 2 * (stack_.options().send_queue_bytes + stack_.options().receive_window_bytes);
  const std::uint64_t allowed = copied_ > limit ? UINT64_MAX : bytes_left;
  std::uint64_t used = 0;
  const std::uint64_t send_left = connection->bytes_written() - send_position_;
  connection->visit_send_queue(send_position_, send_position_ + std::min(send_left, allowed), [&](Bytes bytes) {
    while (!bytes.empty()) {
      const Bytes piece = bytes.first(std::min(bytes.size(), kPieceBytes));
      log_.append(RecordType::snapshot_send, id, {as_bytes(send_position_), piece});
      send_position_ += piece.size();
      used += piece.size();
      bytes = bytes.subspan(piece.size());
    }
  });
  Bytes unread = connection->unread();
  unread = unread.subspan(static_cast<std::size_t>(receive_position_ - connection->bytes_consumed()));
  while (!unread.empty() && used < allowed) {
    const Bytes piece = unread.first(std::min<std::uint64_t>({unread.size(), kPieceBytes, allowed - used}));
    log_.append(RecordType::snapshot_receive, id, {as_bytes(receive_position_), piece});
    receive_position_ += piece.size();
    used += piece.size();
    unread = unread.subspan(piece.size());
  }
  copied_ += used;
  // An open costs about a kilobyte of work even without queues.
  bytes_left -= std::min<std::uint64_t>(bytes_left, used + 1024);
  if (send_position_ != connection->bytes_written() || receive_position_ != connection->bytes_received()) {
    bytes_left = 0;
    return false;
  }
  records_.open(*connection, true);
  recorder_.give(id);
  for (const OutOfOrderPiece& piece : connection->out_of_order())
    records_.out_of_order(id, piece.seq, piece.bytes, piece.fin);
  ++opened_;
  if (const Handler* handler = connection->handler())
    write_whole(RecordType::snapshot_handler, id, handler->save(*connection), bytes_left);
  return true;
}

void Snapshot::write_whole(RecordType type, ConnectionId id, std::vector<std::uint8_t> bytes, std::size_t& bytes_left) {
  if (bytes.empty()) return;
  if (way_ == SnapshotWay::in_live_log) {
    log_.append_whole(type, id, bytes);
    bytes_left -= std::min(bytes_left, bytes.size());
    return;
  }
  rest_ = std::move(bytes);
  rest_at_ = 0;
  rest_type_ = type;
  rest_id_ = id;
  write_rest(bytes_left);
}

void Snapshot::write_rest(std::size_t& bytes_left) {
  Bytes left = Bytes(rest_).subspan(rest_at_);
  // At least one piece, or nothing would ever be done with a small budget.
  do {
    const Bytes piece = left.first(std::min<std::size_t>(left.size(), log_limits.snapshot_part_bytes));
    left = left.subspan(piece.size());
    log_.append(left.empty() ? rest_type_ : RecordType::part, rest_id_, {piece});
    bytes_left -= std::min(bytes_left, piece.size());
  } while (!left.empty() && bytes_left != 0);
  rest_at_ = rest_.size() - left.size();
}

bool Snapshot::step(SnapshotBudget budget) {
  std::size_t bytes_left = budget.bytes;
  if (is_in_the_middle()) {
    // And nothing else, which would be of a later turn.
    write_rest(bytes_left);
    return false;
  }
  bool first = true;
  const auto spent = [&] {
    if (first) {
      first = false;
      return false;
    }
    return bytes_left == 0 || is_in_the_middle() || monotonic_ns() >= budget.deadline_ns;
  };
  // They are small: so many go in each turn, however late it is, or a deadline that is always over would make a turn of each.
  constexpr std::size_t kNeighboursPerStep = 256;
  for (std::size_t i = 0; i < kNeighboursPerStep && next_neighbour_ < neighbours_.size(); ++i) {
    // As it is now: what has changed since is in the log already, and an older word behind that would undo it.
    if (const auto neighbour = stack_.neighbour(neighbours_[next_neighbour_++])) {
      records_.neighbour(*neighbour);
      bytes_left -= std::min(bytes_left, sizeof(RecordHeader) + sizeof(NeighbourRecord));
    }
  }
  if (next_neighbour_ < neighbours_.size()) return false;
  while (next_ < ids_.size()) {
    if (spent()) return false;
    if (step_connection(ids_[next_], bytes_left)) {
      ++next_;
      current_started_ = false;
    }
    TANDEM_STOP_POINT("snapshot.part");
  }
  recorder_.set_complete();
  std::vector<std::uint8_t> piece;
  while (!application_done_) {
    if (spent()) return false;
    piece.clear();
    application_done_ = application_ == nullptr || !application_->save(node_, application_cursor_, kPieceBytes, piece);
    write_whole(RecordType::snapshot_application, 0, std::exchange(piece, {}), bytes_left);
    TANDEM_STOP_POINT("snapshot.part");
  }
  if (is_in_the_middle()) return false;
  log_.append(RecordType::snapshot_end, 0, {as_bytes(opened_)});
  return true;
}

}  // namespace tandem::ha
