// SPDX-License-Identifier: BSD-3-Clause
// Every prefix of one family that anybody knows of has a small number; the RIBs are flat arrays over these numbers.
#pragma once

#include <cassert>
#include <cstdint>
#include <optional>
#include <vector>

#include "bgp/address.hpp"
#include "hash.hpp"
#include "linear_index.hpp"
#include "paged.hpp"

namespace tandem::bgp {

using PrefixId = std::uint32_t;

class PrefixTable {
 public:
  explicit PrefixTable(std::uint64_t seed) : seed_(seed) {}

  std::optional<PrefixId> find(const Prefix& prefix) const {
    return index_.find(hash(prefix), [&](std::uint32_t id) { return prefixes_.peek(id) == prefix; });
  }
  /// Its number, a new one if need be; use ref() or it is never freed.
  PrefixId obtain(const Prefix& prefix) {
    if (const auto known = find(prefix)) return *known;
    PrefixId id = limit_;
    if (free_.empty()) {
      ++limit_;
    } else {
      id = free_.back();
      free_.pop_back();
    }
    prefixes_.at(id) = prefix;
    users_.at(id) = 0;
    index_.insert(hash(prefix), id, [&](std::uint32_t other) { return hash(prefixes_.peek(other)); });
    return id;
  }
  void ref(PrefixId id) { ++users_.at(id); }
  void unref(PrefixId id) {
    std::uint32_t& users = users_.at(id);
    assert(users > 0);
    if (--users > 0) return;
    index_.erase(hash(prefixes_.peek(id)), id);
    free_.push_back(id);
  }
  bool in_use(PrefixId id) const { return users_.get(id) > 0; }
  const Prefix& get(PrefixId id) const { return prefixes_.peek(id); }
  /// All numbers in use are below.
  PrefixId limit() const { return limit_; }

 private:
  std::uint64_t hash(const Prefix& prefix) const {
    KeyedHash h(seed_);
    h.add_bytes(prefix.bytes.data(), address_bytes(prefix.family));
    h.add(prefix.length);
    return h.value();
  }

  std::uint64_t seed_;
  Paged<Prefix, 4096> prefixes_;
  Paged<std::uint32_t, 4096> users_;
  LinearIndex index_;
  std::vector<PrefixId> free_;
  PrefixId limit_ = 0;
};

}  // namespace tandem::bgp
