// SPDX-License-Identifier: BSD-3-Clause
//
// Writes what the stack tells of its replicated connections into the log. While a late joiner is brought up to date only those
// connections are recorded that it has been given already; the others follow with their own snapshot (design.md section 4).
#pragma once

#include <cstdint>
#include <unordered_set>

#include "log/log_ring.hpp"
#include "tandem/observer.hpp"
#include "tandem/stack.hpp"

namespace tandem::ha {

class Recorder final : public ConnectionObserver {
 public:
  explicit Recorder(LogWriter& log) : log_(log) {}

  /// Nothing is recorded: no twin is attached.
  void stop();
  /// A twin joins: new connections are recorded, the existing ones as they are given to it.
  void start_partial();
  /// Every replicated connection is known to the twin.
  void set_complete() {
    complete_ = true;
    given_.clear();
  }
  [[nodiscard]] bool active() const { return active_; }
  [[nodiscard]] bool is_recorded(ConnectionId id) const { return active_ && (complete_ || given_.contains(id)); }

  /// Writes a connection's open; its queues were written before as snapshot_send / snapshot_receive when `from_snapshot`.
  void record_open(Connection& connection, bool from_snapshot);
  void record_neighbour(const Neighbour& neighbour);

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
  /// Into scratch_, in the log's format.
  void encode(const TcpState& state);
  LogWriter& log_;
  bool active_ = false;
  bool complete_ = false;
  std::unordered_set<ConnectionId> given_;
  std::vector<std::uint8_t> scratch_;
  void tell_late(ConnectionId id);
  std::vector<ConnectionId> told_late_;  ///< with a fault planted (tandem/planted.hpp), else empty
};

}  // namespace tandem::ha
