// SPDX-License-Identifier: BSD-3-Clause
//
// Brings a late joiner up to date (design.md section 4): neighbours, each live connection, the application's own state, spread
// over many turns. Queue bytes are immutable, so they are copied ahead in pieces while life goes on; a connection is opened in
// the turn in which nothing of its queues is left to copy, and follows the live log from that turn on.
// From format 3 on it goes into a log of its own (snapshot_log.hpp), else into the live one, whose only reader the joiner is then.
#pragma once

#include <cstdint>
#include <vector>

#include "log/recorder.hpp"
#include "tandem/node.hpp"

namespace tandem::ha {

/// What one turn may spend.
struct SnapshotBudget {
  std::uint64_t deadline_ns = 0;  ///< monotonic_ns scale; at least one piece is written whatever the time
  std::size_t bytes = 256 * 1024;
};

/// Where it goes, and what the live log does meanwhile.
enum class SnapshotWay : std::uint8_t { in_live_log, beside_live_log };

class Snapshot {
 public:
  /// Between two turns when it goes beside the live log.
  Snapshot(Stack& stack, Node& node, Application* application, LogWriter& log, Recorder& recorder,
           SnapshotWay way = SnapshotWay::in_live_log);

  /// Goes on until the budget is spent. True when the end record is in the log: the joiner is a member once that is published.
  bool step(SnapshotBudget budget);
  /// Something that was begun in an earlier turn is not in the log as a whole yet: what the next step writes is of that turn.
  [[nodiscard]] bool is_in_the_middle() const { return rest_at_ < rest_.size(); }
  [[nodiscard]] std::uint64_t connections() const { return opened_; }

 private:
  bool step_connection(ConnectionId id, std::size_t& bytes_left);
  /// Of any length. Beside the live log as much of it as there is budget for; the rest follows with the next steps.
  void write_whole(RecordType type, ConnectionId id, std::vector<std::uint8_t> bytes, std::size_t& bytes_left);
  void write_rest(std::size_t& bytes_left);

  Stack& stack_;
  Node& node_;
  Application* application_;
  LogWriter& log_;
  RecordWriter records_;
  Recorder& recorder_;
  SnapshotWay way_;

  std::vector<IpAddress> neighbours_;
  std::size_t next_neighbour_ = 0;
  std::vector<ConnectionId> ids_;
  std::size_t next_ = 0;
  bool current_started_ = false;
  std::uint64_t send_position_ = 0;  ///< of the connection in work: queue bytes before it are in the log
  std::uint64_t receive_position_ = 0;
  std::uint64_t copied_ = 0;
  std::uint64_t opened_ = 0;
  bool application_done_ = false;
  std::uint64_t application_cursor_ = 0;
  std::vector<std::uint8_t> rest_;  ///< what is being written whole
  std::size_t rest_at_ = 0;
  RecordType rest_type_ = RecordType::snapshot_application;
  ConnectionId rest_id_ = 0;
};

}  // namespace tandem::ha
