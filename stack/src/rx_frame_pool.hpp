// SPDX-License-Identifier: BSD-3-Clause
//
// Received frames as lwIP's pbufs, without a copy. When lwIP frees the pbuf the frame goes back to its device.
#pragma once

#include <deque>

#include "lwip.hpp"
#include "tandem/link_device.hpp"

namespace tandem {

class RxFramePool {
 public:
  explicit RxFramePool(LinkDevice& device) : device_(device) {}
  RxFramePool(const RxFramePool&) = delete;
  RxFramePool& operator=(const RxFramePool&) = delete;

  /// Null when the frame cannot be a packet; then it has gone back already.
  [[nodiscard]] pbuf* wrap(RxFrame frame);

 private:
  struct Entry {
    pbuf_custom custom;  // first: lwIP hands back a pointer to it
    RxFramePool* pool;
    std::uint32_t cookie;
    Entry* next_free;
  };
  static void on_free(pbuf* freed);

  LinkDevice& device_;
  std::deque<Entry> entries_;
  Entry* free_ = nullptr;
};

}  // namespace tandem
