// SPDX-License-Identifier: BSD-3-Clause
#include "pending_packets.hpp"

namespace tandem {

bool PendingPackets::keep(NeighbourCache::Entry& entry, pbuf& packet) {
  if (entry.pending_count >= kPerNeighbour) {
    pbuf_free(take(entry));
    ++given_up_;
  }
  if (is_full()) {
    ++given_up_;
    return false;
  }
  bool is_lent = false;  // its bytes are somebody else's, who may change them once this call has returned
  for (const pbuf* part = &packet; part != nullptr; part = part->next) {
    is_lent = is_lent || PBUF_NEEDS_COPY(part);
  }
  pbuf* kept = &packet;
  if (is_lent) {
    kept = pbuf_clone(PBUF_LINK, PBUF_RAM, &packet);
    if (kept == nullptr) {
      ++given_up_;
      return false;
    }
  } else {
    pbuf_ref(kept);
  }
  const auto index = free_ != NeighbourCache::kNone ? free_ : static_cast<NeighbourCache::Index>(slots_.size());
  if (free_ != NeighbourCache::kNone) {
    free_ = slots_[index].next;
  } else {
    slots_.emplace_back();
  }
  slots_[index] = {kept, NeighbourCache::kNone};
  NeighbourCache::Index* at = &entry.pending;
  while (*at != NeighbourCache::kNone) {
    at = &slots_[*at].next;
  }
  *at = index;
  ++entry.pending_count;
  ++used_;
  return true;
}

pbuf* PendingPackets::take(NeighbourCache::Entry& entry) {
  if (entry.pending == NeighbourCache::kNone) {
    return nullptr;
  }
  const auto index = entry.pending;
  entry.pending = slots_[index].next;
  slots_[index].next = free_;
  free_ = index;
  --entry.pending_count;
  --used_;
  return slots_[index].packet;
}

const pbuf* PendingPackets::first(const NeighbourCache::Entry& entry) const {
  return entry.pending == NeighbourCache::kNone ? nullptr : slots_[entry.pending].packet;
}

void PendingPackets::drop_all(NeighbourCache::Entry& entry) {
  while (pbuf* const packet = take(entry)) {
    pbuf_free(packet);
    ++given_up_;
  }
}

}  // namespace tandem
