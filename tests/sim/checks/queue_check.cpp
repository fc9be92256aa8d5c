// SPDX-License-Identifier: BSD-3-Clause
#include "queue_check.hpp"

#include <string>

namespace tandem::sim {

void QueueCheck::adopted(std::uint32_t queue, std::uint32_t rx_consumer) {
  shown_[queue] = published_[queue];
  if (rx_consumer != published_[queue])
    director_.violation("each frame once (I4)", "queue " + std::to_string(queue) + " is adopted at frame " +
                                                    std::to_string(rx_consumer) + ", but frames before " +
                                                    std::to_string(published_[queue]) + " are dealt with");
}

}  // namespace tandem::sim
