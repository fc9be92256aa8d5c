// SPDX-License-Identifier: BSD-3-Clause
//
// The log's bytes in shared memory: one writer, several readers, positions that only grow. A position is a 64-bit count of
// bytes since the group began; its place in the ring is the remainder by the ring's size (a power of two). The ring is mapped
// twice in a row, so every record is contiguous.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "log/log_format.hpp"
#include "members/shared_group.hpp"
#include "tandem/device.hpp"

namespace tandem::ha {

/// How far a ring's writer may go on without overtaking its slowest reader in force.
class RingRoom {
 public:
  RingRoom(std::span<const ReaderSlot> readers, std::uint64_t ring_bytes)
      : readers_(readers), ring_bytes_(ring_bytes) {}
  /// Bytes behind `position`, of which those from `published` on are seen by nobody yet.
  [[nodiscard]] std::uint64_t bytes(std::uint64_t position, std::uint64_t published) const;
  [[nodiscard]] std::uint64_t ring_bytes() const { return ring_bytes_; }

 private:
  std::span<const ReaderSlot> readers_;
  std::uint64_t ring_bytes_;
  mutable std::uint64_t oldest_ = 0;  ///< bytes before it are wanted by nobody any more
};

/// Appends records to a transaction that no reader sees before publish().
class LogWriter {
 public:
  /// `ring` is 2 * bytes long, the second half showing the first again. It goes on at `published`, and waits for `readers`.
  LogWriter(std::atomic<std::uint64_t>& published, std::span<const ReaderSlot> readers, std::uint8_t* ring,
            std::uint64_t bytes);
  /// The live log.
  LogWriter(SharedGroup& group, std::uint8_t* ring, std::uint64_t bytes)
      : LogWriter(group.published, group.readers, ring, bytes) {}

  /// Bytes that can be appended now without overtaking the slowest reader in force. Within a transaction it shrinks by what is
  /// appended and by nothing else, whatever readers write into their slots.
  [[nodiscard]] std::uint64_t room() const { return room_.bytes(position_, published_); }
  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] bool in_transaction() const { return in_transaction_; }
  /// Bytes of the open transaction.
  [[nodiscard]] std::uint64_t pending_bytes() const { return position_ - published_; }

  void set_time(std::uint64_t time_ns) { time_ns_ = time_ns; }
  void set_epoch(std::uint64_t epoch) { epoch_ = epoch; }
  /// The format that the attached twin reads (log_format.hpp). Records that it does not have are not written.
  void set_format(std::uint32_t format) { format_ = format; }
  [[nodiscard]] std::uint32_t format() const { return format_; }

  /// Appends one record whose payload is the parts one behind the other; begins a transaction when none is open.
  /// Room was reserved for the whole turn (design.md section 3, step 0). An application can write more all the same (notes, its saved
  /// state, connections that it tags late): then the transaction can no longer be published, and overflowed() says why.
  void append(RecordType type, std::uint64_t id, std::initializer_list<Bytes> parts);
  /// The same bytes as records of at most kMaxPayloadBytes.
  void append_bytes(RecordType type, std::uint64_t id, Bytes bytes);

  /// Bytes that a reader gets as one, behind as many parts as that takes. False when they do not fit: overflowed() says why.
  bool append_whole(RecordType type, std::uint64_t id, Bytes bytes);
  /// How long these may be, so that the rest of a turn finds room too.
  [[nodiscard]] std::uint64_t longest_whole_bytes() const { return bytes_ / 4; }

  /// Not empty: something has not found room in the open transaction, or was longer than it may be. Whoever follows the log must be
  /// made ineligible, and abandon() called, before anything of this turn leaves.
  [[nodiscard]] const std::string& overflowed() const { return overflowed_; }
  /// Drops the open transaction, of which nobody has seen anything.
  void abandon();

  /// Ends the transaction: one store makes it visible, wholly or not at all.
  void publish(const WireMark& mark);
  void publish(std::uint32_t rx_index, std::uint32_t tx_index) { publish(WireMark{rx_index, tx_index}); }

  [[nodiscard]] std::uint64_t transactions() const { return transactions_; }
  [[nodiscard]] std::uint64_t largest_transaction_bytes() const { return largest_; }

 private:
  void put_ring_marks(const WireMark& mark);
  void put(RecordType type, std::uint64_t id, std::initializer_list<Bytes> parts);

  std::atomic<std::uint64_t>& shown_;
  RingRoom room_;
  std::uint8_t* ring_;
  std::uint64_t bytes_;
  std::uint64_t position_;
  std::uint64_t published_;  ///< what is in shared memory is for the readers, who could change it
  std::uint64_t time_ns_ = 0;
  std::uint64_t epoch_ = 0;
  std::uint32_t format_ = kLogFormatVersion;
  std::uint64_t transactions_ = 0;
  std::uint64_t largest_ = 0;
  bool in_transaction_ = false;
  std::string overflowed_;
};

/// One record, as found. `payload` lies in the ring.
struct Record {
  std::uint16_t type = 0;
  std::uint16_t version = 0;
  std::uint64_t id = 0;
  Bytes payload;
};

/// Takes records out. Trusts nothing but the mapping's size: lengths, alignment and the published position are checked.
class LogReader {
 public:
  LogReader(const std::uint8_t* ring, std::uint64_t bytes, std::uint64_t position)
      : ring_(ring), bytes_(bytes), position_(position) {}

  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  /// The next record before `published`. False at the end, or with error() set when the log is corrupt.
  bool next(std::uint64_t published, Record& record);
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  bool fail(std::string what);

  const std::uint8_t* ring_;
  std::uint64_t bytes_;
  std::uint64_t position_;
  std::string error_;
};

}  // namespace tandem::ha
