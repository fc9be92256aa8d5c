// SPDX-License-Identifier: BSD-3-Clause
#include "rx_frame_pool.hpp"

#include <limits>

namespace tandem {

pbuf* RxFramePool::wrap(RxFrame frame) {
  if (frame.bytes.empty() || frame.bytes.size() > std::numeric_limits<std::uint16_t>::max()) {
    device_.rx_done(frame.cookie);
    return nullptr;
  }
  if (free_ == nullptr) {
    free_ = &entries_.emplace_back();
    free_->pool = this;
    free_->next_free = nullptr;
  }
  Entry* const entry = free_;
  free_ = entry->next_free;
  entry->cookie = frame.cookie;
  entry->custom.custom_free_function = on_free;
  const auto length = static_cast<std::uint16_t>(frame.bytes.size());
  return pbuf_alloced_custom(PBUF_RAW, length, PBUF_REF, &entry->custom, frame.bytes.data(), length);
}

void RxFramePool::on_free(pbuf* freed) {
  auto* const entry = reinterpret_cast<Entry*>(freed);
  RxFramePool& pool = *entry->pool;
  entry->next_free = pool.free_;
  pool.free_ = entry;
  pool.device_.rx_done(entry->cookie);
}

}  // namespace tandem
