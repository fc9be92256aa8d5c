// SPDX-License-Identifier: BSD-3-Clause
//
// The twin's mirror: takes transactions out of the log and keeps a dormant stack and the application at the primary's last
// published turn (invariant I3). Trusts nothing that it reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "log/log_ring.hpp"
#include "tandem/node.hpp"

namespace tandem::ha {

class Replica {
 public:
  Replica(Stack& stack, Node& node, Application* application, LogReader reader, std::uint64_t epoch);

  /// Applies every transaction up to `published`, or those for which there is time until `deadline_ns` (monotonic_ns scale; at
  /// least one): position() says where it is. False: the log is corrupt or of another make; error() says what and where,
  /// and this replica must not be promoted.
  bool apply(std::uint64_t published, std::uint64_t deadline_ns = UINT64_MAX);
  [[nodiscard]] const std::string& error() const { return error_; }

  [[nodiscard]] std::uint64_t position() const { return reader_.position(); }
  /// The snapshot is whole: this replica has everything that the primary had.
  [[nodiscard]] bool complete() const { return complete_; }
  /// Of the last transaction applied.
  [[nodiscard]] std::optional<WireMark> mark() const { return mark_; }
  [[nodiscard]] std::uint64_t time_ns() const { return time_ns_; }
  [[nodiscard]] std::uint64_t transactions() const { return transactions_; }
  [[nodiscard]] std::uint64_t records() const { return records_; }
  [[nodiscard]] std::uint64_t skipped_records() const { return skipped_optional_; }

 private:
  struct Staged {
    std::uint64_t send_from = 0, receive_from = 0;
    std::vector<std::uint8_t> send, receive;
    bool has_send = false, has_receive = false;
  };

  bool apply_record(const Record& record);
  bool apply_connection_record(const Record& record);
  bool apply_open(const Record& record);
  bool stage(const Record& record);
  bool take_part(const Record& record);
  bool fail(const Record& record, const std::string& what);

  Stack& stack_;
  Node& node_;
  Application* application_;
  LogReader reader_;
  std::uint64_t epoch_;
  bool in_transaction_ = false;
  bool in_snapshot_ = false;
  bool complete_ = false;
  std::optional<WireMark> mark_;
  WireMark more_marks_;  ///< of the open transaction
  std::uint64_t time_ns_ = 0;
  std::uint64_t transactions_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t skipped_optional_ = 0;
  std::unordered_map<ConnectionId, Staged> staged_;
  std::vector<std::uint8_t> parts_;  ///< of the record that comes next
  std::uint64_t parts_id_ = 0;
  std::string error_;
};

}  // namespace tandem::ha
