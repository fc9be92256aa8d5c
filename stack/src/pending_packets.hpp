// SPDX-License-Identifier: BSD-3-Clause
//
// Packets that wait for a neighbour's answer, a bounded number of them in all and for each neighbour.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lwip.hpp"
#include "neighbour_cache.hpp"

namespace tandem {

class PendingPackets {
 public:
  static constexpr std::uint16_t kPerNeighbour = 32;
  static constexpr std::size_t kMax = 512;

  [[nodiscard]] bool is_full() const { return used_ == kMax; }
  /// Keeps the packet for the entry behind those that wait already; where there are too many the oldest of them goes (RFC 4861
  /// section 7.2.2). False, and it is not kept, when all places are taken or memory is short.
  bool keep(NeighbourCache::Entry& entry, pbuf& packet);
  /// The entry's oldest packet, the caller's from now on; null when none waits.
  pbuf* take(NeighbourCache::Entry& entry);
  [[nodiscard]] const pbuf* first(const NeighbourCache::Entry& entry) const;
  void drop_all(NeighbourCache::Entry& entry);
  [[nodiscard]] std::uint64_t given_up() const { return given_up_; }

 private:
  struct Slot {
    pbuf* packet;
    NeighbourCache::Index next;
  };
  std::vector<Slot> slots_;  ///< grows to kMax
  NeighbourCache::Index free_ = NeighbourCache::kNone;
  std::size_t used_ = 0;
  std::uint64_t given_up_ = 0;
};

}  // namespace tandem
