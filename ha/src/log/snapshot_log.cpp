// SPDX-License-Identifier: BSD-3-Clause
#include "log/snapshot_log.hpp"

#include <algorithm>
#include <new>

#include "node/node_error.hpp"
#include "node/system.hpp"
#include "tandem/node.hpp"

namespace tandem::ha {
namespace {

/// Of the ring behind the words, or nothing.
std::uint64_t ring_bytes(const Descriptor& words_file, const Descriptor& ring_file) {
  if (sealed_file_bytes(words_file.get()) < sizeof(SnapshotWords)) return 0;
  const std::uint64_t bytes = sealed_file_bytes(ring_file.get());
  return (bytes & (bytes - 1)) == 0 ? bytes : 0;
}

Mapping map_ring(const Descriptor& words_file, const Descriptor& ring_file) {
  const std::uint64_t bytes = ring_bytes(words_file, ring_file);
  if (bytes == 0)
    throw NodeError(exit_code::kProtocol,
                    "what the primary passed for its snapshot is not of this version's layout. Run the same version on "
                    "both sides.");
  return {ring_file.get(), bytes, true};
}

}  // namespace

SnapshotLog::SnapshotLog(std::uint64_t log_bytes)
    : words_file_(make_shared_file("tandem-snapshot", sizeof(SnapshotWords))),
      ring_file_(make_shared_file("tandem-snapshot-log", log_bytes)),
      words_mapping_(words_file_.get(), sizeof(SnapshotWords), false),
      ring_mapping_(ring_file_.get(), log_bytes, true),
      words_(new (words_mapping_.data()) SnapshotWords{}) {
  words_->magic = kSnapshotMagic;
  words_->version = kSnapshotVersion;
  words_->bytes = sizeof(SnapshotWords);
  words_->log_bytes = log_bytes;
  words_->reader.state.store(ReaderState::joining);
  writer_ =
      std::make_unique<LogWriter>(words_->published, std::span(&words_->reader, 1), ring_mapping_.data(), log_bytes);
}

SnapshotFeed::SnapshotFeed(const Descriptor& words_file, const Descriptor& ring_file)
    : ring_mapping_(map_ring(words_file, ring_file)) {
  words_mapping_ = Mapping(words_file.get(), sizeof(SnapshotWords), false);
  // Its pages are made here, and not by the turns of whoever fills them for the first time.
  system::populate(ring_mapping_);
  words_ = reinterpret_cast<SnapshotWords*>(words_mapping_.data());
  if (words_->magic != kSnapshotMagic || words_->version != kSnapshotVersion || words_->bytes != sizeof(SnapshotWords))
    throw NodeError(exit_code::kProtocol,
                    "the primary's snapshot is of another layout. Run the same version on both sides.");
}

bool SnapshotFeed::let_go() {
  constexpr std::size_t kAtOnce = std::size_t{1} << 20;
  const std::size_t bytes = std::min(kAtOnce, ring_mapping_.size() - freed_);
  if (bytes != 0) system::free_pages(ring_mapping_, freed_, bytes);
  freed_ += bytes;
  return freed_ == ring_mapping_.size();
}

}  // namespace tandem::ha
