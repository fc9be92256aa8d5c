// SPDX-License-Identifier: BSD-3-Clause
// Linear hashing with chains: finds numbers by the hash of what they stand for, and grows by splitting one bucket at a time, so
// that no insertion ever rehashes the whole table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "paged.hpp"

namespace tandem::bgp {

class LinearIndex {
 public:
  template <class Equal>
  std::optional<std::uint32_t> find(std::uint64_t hash, Equal&& equal) const {
    for (std::uint32_t link = heads_.get(bucket_of(hash)); link != 0; link = next_.get(link - 1))
      if (equal(link - 1)) return link - 1;
    return std::nullopt;
  }

  /// `hash_of(id)` gives the hash of an entry that is in the table.
  template <class HashOf>
  void insert(std::uint64_t hash, std::uint32_t id, HashOf&& hash_of) {
    push(bucket_of(hash), id);
    if (++count_ > buckets_) split(hash_of);
  }

  void erase(std::uint64_t hash, std::uint32_t id) {
    const std::uint32_t link = id + 1;
    std::uint32_t* at = &heads_.at(bucket_of(hash));
    while (*at != 0 && *at != link) at = &next_.at(*at - 1);
    if (*at == 0) return;
    *at = next_.get(id);
    --count_;
  }

 private:
  std::size_t bucket_of(std::uint64_t hash) const {
    const std::size_t wide = hash & (2 * level_ - 1);
    return wide < buckets_ ? wide : wide & (level_ - 1);
  }
  void push(std::size_t bucket, std::uint32_t id) {
    std::uint32_t& head = heads_.at(bucket);
    next_.at(id) = head;
    head = id + 1;
  }
  template <class HashOf>
  void split(HashOf&& hash_of) {
    const std::size_t from = buckets_ - level_;
    std::uint32_t link = heads_.get(from);
    heads_.at(from) = 0;
    ++buckets_;
    while (link != 0) {
      const std::uint32_t id = link - 1;
      link = next_.get(id);
      push(bucket_of(hash_of(id)), id);
    }
    if (buckets_ == 2 * level_) level_ *= 2;
  }

  Paged<std::uint32_t, 4096> heads_;  // id + 1; 0: empty
  Paged<std::uint32_t, 4096> next_;   // by id
  std::size_t level_ = 64;            // buckets at the start of this round of splits, a power of two
  std::size_t buckets_ = 64;
  std::size_t count_ = 0;
};

}  // namespace tandem::bgp
