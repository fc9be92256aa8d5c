// SPDX-License-Identifier: BSD-3-Clause
//
// Records of a stack's objects, in the format of the log that they go into: of the live one, or of one that a joiner is given
// beside it.
#pragma once

#include <cstdint>
#include <vector>

#include "log/log_ring.hpp"
#include "tandem/stack.hpp"

namespace tandem::ha {

class RecordWriter {
 public:
  explicit RecordWriter(LogWriter& log) : log_(log) {}

  [[nodiscard]] LogWriter& log() { return log_; }
  /// Of a connection; its queues were written before as snapshot_send / snapshot_receive when `from_snapshot`.
  void open(Connection& connection, bool from_snapshot);
  void out_of_order(ConnectionId id, std::uint32_t seq, Bytes bytes, bool fin);
  void state(ConnectionId id, const TcpState& state);
  void neighbour(const Neighbour& neighbour);

 private:
  /// Into scratch_, in the log's format.
  void encode(const TcpState& state);
  LogWriter& log_;
  std::vector<std::uint8_t> scratch_;
};

}  // namespace tandem::ha
