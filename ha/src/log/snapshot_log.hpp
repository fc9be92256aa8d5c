// SPDX-License-Identifier: BSD-3-Clause
//
// The log that a joiner's snapshot travels in, beside the live one and to that joiner alone (design.md section 4): so what is there for
// one is not in the way of the others. Each of its transactions begins with the position of the live log behind which it holds
// (RecordType::snapshot_at): its reader applies the live log up to there first, and no further. From format 3 on; a joiner that speaks
// an older one finds its snapshot in the live log.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "channel/shared_memory.hpp"
#include "log/log_ring.hpp"
#include "members/shared_group.hpp"

namespace tandem::ha {

/// In a shared file of its own, beside the one of the ring.
struct SnapshotWords {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t bytes;  ///< sizeof(SnapshotWords)
  std::uint64_t log_bytes;
  alignas(64) std::atomic<std::uint64_t> published;
  ReaderSlot reader;  ///< `joining` throughout; its position is the joiner's
};
inline constexpr std::uint64_t kSnapshotMagic = 0x31706e536d647400;  // "tdmSnp1"
inline constexpr std::uint32_t kSnapshotVersion = 1;

/// The primary's end.
class SnapshotLog {
 public:
  /// For a ring of `log_bytes`, a power of two. Throws std::system_error.
  explicit SnapshotLog(std::uint64_t log_bytes);

  [[nodiscard]] int words_fd() const { return words_file_.get(); }
  [[nodiscard]] int ring_fd() const { return ring_file_.get(); }
  [[nodiscard]] LogWriter& writer() { return *writer_; }
  /// The joiner has applied it up to here.
  [[nodiscard]] std::uint64_t applied() const { return words_->reader.position.load(std::memory_order_acquire); }

 private:
  Descriptor words_file_, ring_file_;
  Mapping words_mapping_, ring_mapping_;
  SnapshotWords* words_ = nullptr;
  std::unique_ptr<LogWriter> writer_;
};

/// The joiner's end.
class SnapshotFeed {
 public:
  /// Throws NodeError when what was passed is no snapshot's log, std::system_error when it cannot be mapped.
  SnapshotFeed(const Descriptor& words_file, const Descriptor& ring_file);

  /// From its beginning on; only as long as this object.
  [[nodiscard]] LogReader reader() const { return {ring_mapping_.data(), ring_mapping_.size(), 0}; }
  [[nodiscard]] std::uint64_t published() const { return words_->published.load(std::memory_order_acquire); }
  /// It has been applied up to here.
  void report(std::uint64_t position) { words_->reader.position.store(position, std::memory_order_release); }
  /// All of it has been read: frees a part of its memory, for both sides, since that takes milliseconds in all. True: nothing is left.
  bool let_go();

 private:
  Mapping words_mapping_, ring_mapping_;
  SnapshotWords* words_ = nullptr;
  std::size_t freed_ = 0;
};

}  // namespace tandem::ha
