// SPDX-License-Identifier: BSD-3-Clause
//
// The twin's mirror: takes transactions out of the log and keeps a dormant stack and the application at the primary's last
// published turn (invariant I3). Trusts nothing that it reads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "log/log_ring.hpp"
#include "log/snapshot_log.hpp"
#include "tandem/node.hpp"

namespace tandem::ha {

class Replica {
 public:
  /// `snapshot`: of a primary that gives it in a log of its own; else it is found in the live one.
  Replica(Stack& stack, Node& node, Application* application, LogReader reader, std::uint64_t epoch,
          std::unique_ptr<SnapshotFeed> snapshot = nullptr);

  /// Applies every transaction up to `published` (read before the call, since a snapshot's log is read behind it), or those for which there is time until `deadline_ns` (monotonic_ns scale; at
  /// least one): position() says where it is. False: the log is corrupt or of another make; error() says what and where,
  /// and this replica must not be promoted.
  bool apply(std::uint64_t published, std::uint64_t deadline_ns = UINT64_MAX);
  [[nodiscard]] const std::string& error() const { return error_; }

  [[nodiscard]] std::uint64_t position() const { return live_.reader.position(); }
  /// The snapshot is whole: this replica has everything that the primary had.
  [[nodiscard]] bool complete() const { return complete_; }
  /// What is left of the snapshot's log: somebody waits, and unmapping it takes long.
  [[nodiscard]] std::unique_ptr<SnapshotFeed> take_feed() { return std::move(feed_); }
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

  /// A log, and what has been taken of what comes next in it.
  struct Source {
    explicit Source(LogReader from) : reader(std::move(from)) {}

    LogReader reader;
    bool in_transaction = false;
    std::vector<std::uint8_t> parts;  ///< of the record that comes next
    std::uint64_t parts_id = 0;
  };

  /// The live log.
  bool apply_live(std::uint64_t published, std::uint64_t deadline_ns);
  /// The snapshot's log as far as there is time, and the live one as far as that asks for.
  bool apply_snapshot(std::uint64_t published, std::uint64_t deadline_ns);
  /// The next transaction of the snapshot's log holds behind `position` of the live one.
  bool read_snapshot_at(std::uint64_t snapshot_published, std::uint64_t& position);
  bool apply_record(Source& source, const Record& record);
  bool begin_transaction(Source& source, const Record& record);
  bool end_transaction(Source& source, const Record& record);
  bool apply_connection_record(const Record& record);
  bool apply_open(const Record& record);
  bool stage(const Record& record);
  bool take_part(Source& source, const Record& record);
  bool fail(const Record& record, const std::string& what);

  Stack& stack_;
  Node& node_;
  Application* application_;
  Source live_;
  std::unique_ptr<SnapshotFeed> feed_;        ///< until the snapshot is whole
  Source snapshot_;                           ///< its log, while there is feed_
  std::optional<std::uint64_t> snapshot_at_;  ///< its next transaction holds behind this position of the live log
  std::uint64_t epoch_;
  bool in_snapshot_ = false;
  bool complete_ = false;
  std::optional<WireMark> mark_;
  WireMark more_marks_;  ///< of the open transaction
  std::uint64_t time_ns_ = 0;
  std::uint64_t snapshot_time_ns_ = 0;  ///< of the snapshot's transaction that waits for the live log
  std::uint64_t transactions_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t skipped_optional_ = 0;
  std::unordered_map<ConnectionId, Staged> staged_;
  std::string error_;
};

}  // namespace tandem::ha
