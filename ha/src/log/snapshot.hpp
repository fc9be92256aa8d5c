// SPDX-License-Identifier: BSD-3-Clause
//
// Brings a late joiner up to date (design.md section 4): neighbours, each live connection, the application's own state, spread
// over many turns. Queue bytes are immutable, so they are copied ahead in pieces while life goes on; a connection is opened in
// the log in the turn in which nothing of its queues is left to copy, and recorded live from that turn on.
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

class Snapshot {
 public:
  Snapshot(Stack& stack, Node& node, Application* application, LogWriter& log, Recorder& recorder);

  /// Goes on until the budget is spent. True when the end record is in the log: the joiner is a member once that is published.
  bool step(SnapshotBudget budget);
  [[nodiscard]] std::uint64_t connections() const { return opened_; }

 private:
  bool step_connection(ConnectionId id, std::size_t& bytes_left);

  Stack& stack_;
  Node& node_;
  Application* application_;
  LogWriter& log_;
  Recorder& recorder_;

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
};

}  // namespace tandem::ha
