// SPDX-License-Identifier: BSD-3-Clause
//
// What the application has written and the peer has not acknowledged. TCP's segments refer to these bytes, so a byte never
// moves while it is in the queue:
//
//   chunks   [ 2 KiB ][ 16 KiB ][ 64 KiB ][ 64 KiB ] ...
//               ^ begin()                      ^ end()       64-bit stream positions
//
// A chunk goes when all of it has been released, except a small empty one, which the next write uses again: a connection of
// requests and responses allocates nothing. Large ones go to a pool of the stack's, for whoever needs the next one: given back to
// the operating system and asked for again, each would cost 16 page faults.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "tandem/address.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define TANDEM_ADDRESS_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TANDEM_ADDRESS_SANITIZED
#endif
#endif

namespace tandem {

/// Large chunks that wait for their next use: the newest is used first, while it is still in a cache.
class SendChunkPool {
 public:
  static constexpr std::size_t kChunkBytes = std::size_t{64} * 1024;
#ifdef TANDEM_ADDRESS_SANITIZED
  // It sees who still looks at a chunk only when that is freed.
  static constexpr std::size_t kMostChunks = 0;
#else
  static constexpr std::size_t kMostChunks = 8;
#endif

  /// A chunk of kChunkBytes, with whatever stands in it.
  [[nodiscard]] std::unique_ptr<std::uint8_t[]> take();
  void put_back(std::unique_ptr<std::uint8_t[]> chunk);
  [[nodiscard]] std::size_t size() const { return chunks_.size(); }

 private:
  std::vector<std::unique_ptr<std::uint8_t[]>> chunks_;
};

class SendQueue {
 public:
  /// The pool outlives the queue.
  explicit SendQueue(SendChunkPool& pool) : pool_(&pool) {}
  SendQueue(const SendQueue&) = delete;
  SendQueue& operator=(const SendQueue&) = delete;
  ~SendQueue() { reset(0); }

  /// Empty, with its first byte to come at stream position `position`.
  void reset(std::uint64_t position);
  void append(Bytes bytes);
  /// Stream position of the oldest byte that is kept, and of the next one to be written.
  [[nodiscard]] std::uint64_t begin() const { return begin_; }
  [[nodiscard]] std::uint64_t end() const { return end_; }
  /// The longest run of bytes from stream position `from` (in [begin, end]) that lies together. Stays where it is until
  /// released.
  [[nodiscard]] Bytes contiguous(std::uint64_t from) const;
  /// Forgets what lies before stream position `upto`; nothing refers to it any more.
  void release(std::uint64_t upto);
  /// Shows [from, to) in pieces, in order.
  void visit(std::uint64_t from, std::uint64_t to, const std::function<void(Bytes)>& show) const;
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  struct Chunk {
    std::unique_ptr<std::uint8_t[]> data;
    std::uint32_t capacity = 0;
    std::uint32_t size = 0;
    std::uint64_t position = 0;  ///< of data[0]
  };
  void add_chunk(std::size_t wanted);
  void let_go(Chunk& chunk);

  SendChunkPool* pool_;
  std::vector<Chunk> chunks_;
  std::size_t first_ = 0;  ///< chunks before it are gone and await compaction
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace tandem
