// SPDX-License-Identifier: BSD-3-Clause
#include "send_queue.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace tandem {

namespace {

constexpr std::size_t kSmallChunkBytes = 2 * 1024;
constexpr std::size_t kMiddleChunkBytes = 16 * 1024;
constexpr std::size_t kLargeChunkBytes = SendChunkPool::kChunkBytes;
constexpr std::size_t kCompactionChunks = 32;

}  // namespace

std::unique_ptr<std::uint8_t[]> SendChunkPool::take() {
  if (chunks_.empty()) {
    return std::make_unique_for_overwrite<std::uint8_t[]>(kChunkBytes);
  }
  auto chunk = std::move(chunks_.back());
  chunks_.pop_back();
  return chunk;
}

void SendChunkPool::put_back(std::unique_ptr<std::uint8_t[]> chunk) {
  if (chunks_.size() < kMostChunks) {
    chunks_.push_back(std::move(chunk));
  }
}

void SendQueue::let_go(Chunk& chunk) {
  if (chunk.data != nullptr && chunk.capacity == kLargeChunkBytes) {
    pool_->put_back(std::move(chunk.data));
  }
  chunk.data.reset();
}

void SendQueue::reset(std::uint64_t position) {
  for (Chunk& chunk : chunks_) {
    let_go(chunk);
  }
  chunks_.clear();
  first_ = 0;
  begin_ = end_ = position;
}

void SendQueue::add_chunk(std::size_t wanted) {
  const auto queued = static_cast<std::size_t>(end_ - begin_);
  std::size_t capacity = kLargeChunkBytes;
  if (queued + wanted <= kSmallChunkBytes) {
    capacity = kSmallChunkBytes;
  } else if (queued + wanted <= kMiddleChunkBytes) {
    capacity = kMiddleChunkBytes;
  }
  Chunk chunk;
  chunk.data = capacity == kLargeChunkBytes ? pool_->take() : std::make_unique_for_overwrite<std::uint8_t[]>(capacity);
  chunk.capacity = static_cast<std::uint32_t>(capacity);
  chunk.position = end_;
  chunks_.push_back(std::move(chunk));
}

void SendQueue::append(Bytes bytes) {
  while (!bytes.empty()) {
    if (first_ == chunks_.size() || chunks_.back().size == chunks_.back().capacity) {
      add_chunk(bytes.size());
    }
    Chunk& last = chunks_.back();
    const auto count = std::min<std::size_t>(bytes.size(), last.capacity - last.size);
    std::memcpy(last.data.get() + last.size, bytes.data(), count);
    last.size += static_cast<std::uint32_t>(count);
    end_ += count;
    bytes = bytes.subspan(count);
  }
}

Bytes SendQueue::contiguous(std::uint64_t from) const {
  assert(from >= begin_ && from <= end_);
  if (from == end_) {
    return {};
  }
  const auto after =
      std::upper_bound(chunks_.begin() + static_cast<std::ptrdiff_t>(first_), chunks_.end(), from,
                       [](std::uint64_t position, const Chunk& chunk) { return position < chunk.position; });
  const Chunk& chunk = *(after - 1);
  const auto offset = static_cast<std::size_t>(from - chunk.position);
  return {chunk.data.get() + offset, chunk.size - offset};
}

void SendQueue::release(std::uint64_t upto) {
  assert(upto <= end_);
  if (upto <= begin_) {
    return;
  }
  begin_ = upto;
  while (first_ < chunks_.size() && chunks_[first_].position + chunks_[first_].size <= upto) {
    Chunk& chunk = chunks_[first_];
    if (first_ + 1 == chunks_.size()) {
      // The last one: only when the queue is empty does it come here.
      if (chunk.capacity == kSmallChunkBytes) {
        chunk.size = 0;
        chunk.position = end_;
        break;
      }
    }
    let_go(chunk);
    ++first_;
  }
  if (first_ == chunks_.size()) {
    chunks_.clear();
    first_ = 0;
  } else if (first_ >= kCompactionChunks) {
    chunks_.erase(chunks_.begin(), chunks_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

void SendQueue::visit(std::uint64_t from, std::uint64_t to, const std::function<void(Bytes)>& show) const {
  assert(from >= begin_ && to <= end_);
  while (from < to) {
    const Bytes run = contiguous(from);
    const auto piece = run.first(std::min<std::size_t>(run.size(), to - from));
    show(piece);
    from += piece.size();
  }
}

std::size_t SendQueue::memory_bytes() const {
  std::size_t bytes = chunks_.capacity() * sizeof(Chunk);
  for (std::size_t i = first_; i < chunks_.size(); ++i) {
    bytes += chunks_[i].capacity;
  }
  return bytes;
}

}  // namespace tandem
