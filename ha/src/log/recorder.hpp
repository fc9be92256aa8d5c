// SPDX-License-Identifier: BSD-3-Clause
//
// Writes what the stack tells of its replicated connections into the log. While a late joiner is brought up to date only those
// connections are recorded that it has been given already; the others follow with their own snapshot (design.md section 4).
#pragma once

#include <cstdint>
#include <unordered_set>

#include "log/record_writer.hpp"
#include "tandem/observer.hpp"
#include "tandem/stack.hpp"

namespace tandem::ha {

class Recorder final : public ConnectionObserver {
 public:
  explicit Recorder(LogWriter& log) : log_(log), records_(log) {}

  /// Nothing is recorded: no twin is attached.
  void stop();
  /// A twin joins whose snapshot is in this log: new connections are recorded, the existing ones as they are given to it.
  void start_partial();
  /// A twin joins whose snapshot is in a log of its own: all of them are recorded, and it passes over those that it has not got yet.
  void start_whole();
  /// Every replicated connection is known to the twin.
  void set_complete() {
    complete_ = true;
    joining_ = false;
    given_.clear();
  }
  [[nodiscard]] bool active() const { return active_; }
  [[nodiscard]] bool is_recorded(ConnectionId id) const { return active_ && (complete_ || given_.contains(id)); }
  /// While a twin joins: it knows the connection, which was opened since, or was given to it.
  [[nodiscard]] bool is_given(ConnectionId id) const { return given_.contains(id); }
  void give(ConnectionId id) { given_.insert(id); }
  [[nodiscard]] RecordWriter& records() { return records_; }

  void on_open(Connection& connection) override;
  void on_received(Connection& connection, Bytes bytes) override;
  void on_skipped(Connection& connection, std::uint64_t count) override;
  void on_out_of_order(Connection& connection, std::uint32_t seq, Bytes bytes, bool fin) override;
  void on_written(Connection& connection, Bytes bytes) override;
  void on_consumed(Connection& connection, std::uint64_t count) override;
  bool on_note(Connection& connection, Bytes bytes) override;
  void on_told(Connection& connection, Told what) override;
  void on_state(Connection& connection, const TcpState& state) override;
  void on_close(Connection& connection, bool reset) override;
  void on_neighbour(const Neighbour& neighbour) override;

 private:
  LogWriter& log_;
  RecordWriter records_;
  bool active_ = false;
  bool complete_ = false;
  bool joining_ = false;  ///< somebody is being brought up to date
  std::unordered_set<ConnectionId> given_;
  void tell_late(ConnectionId id);
  std::vector<ConnectionId> told_late_;  ///< with a fault planted (tandem/planted.hpp), else empty
};

}  // namespace tandem::ha
