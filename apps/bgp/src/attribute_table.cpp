// SPDX-License-Identifier: BSD-3-Clause
#include "attribute_table.hpp"

#include <cassert>

namespace tandem::bgp {

AttributeId AttributeTable::intern(const PathAttributes& attributes) {
  const std::uint64_t hash = attributes.hash(seed_);
  const auto same = [&](std::uint32_t id) {
    const Entry& e = entries_.peek(id);
    return e.hash == hash && e.attributes == attributes;
  };
  if (const auto known = index_.find(hash, same)) {
    ++entries_.at(*known).users;
    return *known;
  }
  AttributeId id = next_;
  if (free_.empty()) {
    ++next_;
  } else {
    id = free_.back();
    free_.pop_back();
  }
  Entry& e = entries_.at(id);
  e.attributes = attributes;
  e.hash = hash;
  e.users = 1;
  e.path_length = attributes.as_path.decision_length();
  e.neighbor_as = attributes.as_path.first_as();
  index_.insert(hash, id, [&](std::uint32_t other) { return entries_.peek(other).hash; });
  ++size_;
  return id;
}

void AttributeTable::unref(AttributeId id) {
  Entry& e = entries_.at(id);
  assert(e.users > 0);
  if (--e.users > 0) return;
  if (on_release_) on_release_(id);
  index_.erase(e.hash, id);
  e.attributes = PathAttributes{};
  --size_;
  free_.push_back(id);
}

}  // namespace tandem::bgp
