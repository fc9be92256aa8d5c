// SPDX-License-Identifier: BSD-3-Clause
// Sets of path attributes, each kept once, immutable, counted by its users.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "bgp/attributes.hpp"
#include "linear_index.hpp"
#include "paged.hpp"

namespace tandem::bgp {

/// 0 is no set: "no route". The highest bit is free for the user's purposes.
using AttributeId = std::uint32_t;
inline constexpr AttributeId kNoRoute = 0;
/// In a cache of exported sets: there is nothing to be said.
inline constexpr AttributeId kWithheldRoute = 0xffffffffu;
inline constexpr AttributeId kAttributeTag = 0x80000000u;
inline constexpr AttributeId untagged(AttributeId id) { return id & ~kAttributeTag; }

class AttributeTable {
 public:
  explicit AttributeTable(std::uint64_t seed) : seed_(seed) {}

  struct Entry {
    PathAttributes attributes;
    std::uint64_t hash = 0;
    std::uint32_t users = 0;
    std::uint32_t path_length = 0;  // as the decision process counts
    std::uint32_t neighbor_as = 0;
  };

  /// The set's number, with one more user.
  AttributeId intern(const PathAttributes& attributes);
  void ref(AttributeId id) { ++entries_.at(id).users; }
  /// Takes one user away; the last one frees it.
  void unref(AttributeId id);
  const Entry& entry(AttributeId id) const { return entries_.peek(id); }
  const PathAttributes& get(AttributeId id) const { return entry(id).attributes; }
  std::size_t size() const { return size_; }

  /// Called before a number becomes free.
  void on_release(std::function<void(AttributeId)> callback) { on_release_ = std::move(callback); }

 private:
  std::uint64_t seed_;
  Paged<Entry, 128> entries_;
  LinearIndex index_;
  std::vector<AttributeId> free_;
  AttributeId next_ = 1;
  std::size_t size_ = 0;
  std::function<void(AttributeId)> on_release_;
};

}  // namespace tandem::bgp
