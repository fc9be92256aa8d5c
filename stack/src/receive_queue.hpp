// SPDX-License-Identifier: BSD-3-Clause
//
// What came in order and the application has not consumed, in one piece, so that it can be offered as one span.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "tandem/address.hpp"

namespace tandem {

class ReceiveQueue {
 public:
  [[nodiscard]] Bytes unread() const { return {data_.get() + head_, size_}; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Moves what is unread: spans of unread() are void afterwards.
  void append(Bytes bytes);
  /// Takes the first `count` bytes away. They stay readable until the next append() or trim(), because the application may
  /// still look at the span that it was offered.
  void drop(std::size_t count);
  /// Gives back memory that a burst has left behind.
  void trim();
  [[nodiscard]] std::size_t memory_bytes() const { return capacity_; }

 private:
  std::unique_ptr<std::uint8_t[]> data_;
  std::size_t capacity_ = 0;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

}  // namespace tandem
