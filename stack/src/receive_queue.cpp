// SPDX-License-Identifier: BSD-3-Clause
#include "receive_queue.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace tandem {

namespace {

constexpr std::size_t kFirstBytes = 4 * 1024;
constexpr std::size_t kKeptBytes = 64 * 1024;

}  // namespace

void ReceiveQueue::append(Bytes bytes) {
  if (bytes.empty()) {
    return;
  }
  if (size_ == 0) {
    head_ = 0;
  }
  if (head_ + size_ + bytes.size() > capacity_) {
    // Moving pays only when at least as much was dropped as is moved; so each byte is moved a bounded number of times.
    if (head_ >= size_ && size_ + bytes.size() <= capacity_) {
      std::memmove(data_.get(), data_.get() + head_, size_);
    } else {
      const auto wanted = std::bit_ceil(std::max(kFirstBytes, 2 * size_ + bytes.size()));
      auto grown = std::make_unique_for_overwrite<std::uint8_t[]>(wanted);
      if (size_ != 0) {
        std::memcpy(grown.get(), data_.get() + head_, size_);
      }
      data_ = std::move(grown);
      capacity_ = wanted;
    }
    head_ = 0;
  }
  std::memcpy(data_.get() + head_ + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
}

void ReceiveQueue::drop(std::size_t count) {
  assert(count <= size_);
  head_ += count;
  size_ -= count;
}

void ReceiveQueue::trim() {
  if (size_ == 0 && capacity_ > kKeptBytes) {
    data_.reset();
    capacity_ = 0;
    head_ = 0;
  }
}

}  // namespace tandem
