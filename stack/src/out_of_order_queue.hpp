// SPDX-License-Identifier: BSD-3-Clause
//
// A twin's copy of what the primary has received out of order and acknowledged selectively.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tandem/tcp_state.hpp"

namespace tandem {

inline constexpr std::uint32_t kMaxWindowBytes = 0xffffU << 14;  ///< RFC 7323 section 2.3

class OutOfOrderQueue {
 public:
  /// False when that would be more than `limit_bytes`, or more pieces than any window can be cut into.
  bool add(std::uint32_t seq, Bytes bytes, bool fin, std::size_t limit_bytes);
  /// Whether nothing begins more than `window_bytes` behind `rcv_nxt`.
  [[nodiscard]] bool is_within(std::uint32_t rcv_nxt, std::uint32_t window_bytes) const;
  /// Forgets what `rcv_nxt` has passed.
  void trim(std::uint32_t rcv_nxt);
  void clear();
  [[nodiscard]] bool empty() const { return pieces_.empty(); }
  /// Ordered by sequence number from `rcv_nxt` on, without overlaps.
  [[nodiscard]] std::vector<OutOfOrderPiece> pieces(std::uint32_t rcv_nxt) const;

 private:
  std::vector<OutOfOrderPiece> pieces_;  ///< in the order of arrival
  std::size_t bytes_ = 0;
};

}  // namespace tandem
