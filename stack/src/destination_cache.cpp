// SPDX-License-Identifier: BSD-3-Clause
#include "destination_cache.hpp"

namespace tandem {

const DestinationCache::Destination* DestinationCache::find(const IpAddress& address, std::uint64_t now_ns) {
  if (places_.empty()) {
    return nullptr;
  }
  const auto place = places_.find(address);
  if (place == places_.end()) {
    return nullptr;
  }
  if (place->second->until_ns <= now_ns) {
    in_order_.erase(place->second);
    places_.erase(place);
    return nullptr;
  }
  return &*place->second;
}

DestinationCache::Destination& DestinationCache::renew(const IpAddress& address, std::uint64_t now_ns) {
  const auto place = places_.find(address);
  if (place != places_.end()) {
    in_order_.splice(in_order_.end(), in_order_, place->second);
  } else {
    if (places_.size() >= kMax) {
      places_.erase(in_order_.front().address);
      in_order_.pop_front();
    }
    in_order_.push_back({address, std::nullopt, 0, 0});
    places_.emplace(address, std::prev(in_order_.end()));
  }
  Destination& destination = in_order_.back();
  destination.until_ns = now_ns + kLifetimeNs;
  return destination;
}

}  // namespace tandem
