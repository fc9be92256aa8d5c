// SPDX-License-Identifier: BSD-3-Clause
#include "byte_history.hpp"

#include <algorithm>
#include <cstring>

namespace tandem::oracle {

namespace {

constexpr std::size_t kFirstSize = 4096;
constexpr std::size_t kLargestSize = std::size_t{16} << 20;

}  // namespace

std::optional<std::uint64_t> ByteHistory::see(std::uint64_t at, std::span<const std::uint8_t> bytes,
                                              std::uint64_t needed_from) {
  if (bytes.empty()) return std::nullopt;
  if (bytes.size() > kLargestSize) bytes = bytes.first(kLargestSize);
  const std::uint64_t end = at + bytes.size();
  make_room(at, end, needed_from);
  // What is older than the ring reaches back can no longer be judged.
  const std::uint64_t begin = std::max(at, oldest_);
  if (begin >= end) return std::nullopt;
  bytes = bytes.subspan(begin - at);
  auto differs = difference(begin, bytes);
  // After a difference the newer bytes count, so that the same fault is not reported for each repetition.
  store(begin, bytes);
  known_.insert({begin, end});
  return differs;
}

void ByteHistory::clear() {
  oldest_ = 0;
  known_.clear();
}

void ByteHistory::make_room(std::uint64_t begin, std::uint64_t end, std::uint64_t needed_from) {
  if (known_.empty()) oldest_ = std::min(begin, needed_from);
  if (end <= oldest_ + ring_.size()) return;
  const std::uint64_t needed = end - std::min({needed_from, begin, end});
  std::size_t size = std::max(ring_.size(), kFirstSize);
  while (size < needed && size < kLargestSize) size *= 2;
  if (size > ring_.size()) {
    std::vector<std::uint8_t> larger(size);
    for (const Range& range : known_) {
      for (std::uint64_t at = range.begin; at < range.end; ++at) {
        larger[at & (size - 1)] = ring_[at & (ring_.size() - 1)];
      }
    }
    ring_ = std::move(larger);
  }
  if (end > oldest_ + size) {
    oldest_ = end - size;
    known_.erase_before(oldest_);
  }
}

void ByteHistory::store(std::uint64_t at, std::span<const std::uint8_t> bytes) {
  const std::size_t offset = at & (ring_.size() - 1);
  const std::size_t first = std::min(bytes.size(), ring_.size() - offset);
  std::memcpy(ring_.data() + offset, bytes.data(), first);
  std::memcpy(ring_.data(), bytes.data() + first, bytes.size() - first);
}

std::optional<std::uint64_t> ByteHistory::difference(std::uint64_t at, std::span<const std::uint8_t> bytes) const {
  const std::uint64_t end = at + bytes.size();
  for (const Range& range : known_) {
    const std::uint64_t from = std::max(at, range.begin);
    const std::uint64_t to = std::min(end, range.end);
    for (std::uint64_t position = from; position < to;) {
      const std::size_t offset = position & (ring_.size() - 1);
      const std::size_t length = std::min<std::uint64_t>(to - position, ring_.size() - offset);
      const std::uint8_t* seen = ring_.data() + offset;
      const std::uint8_t* now = bytes.data() + (position - at);
      if (std::memcmp(seen, now, length) != 0) {
        return position + static_cast<std::uint64_t>(std::mismatch(seen, seen + length, now).first - seen);
      }
      position += length;
    }
  }
  return std::nullopt;
}

}  // namespace tandem::oracle
