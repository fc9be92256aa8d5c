// SPDX-License-Identifier: BSD-3-Clause
// A keyed hash over words. Prefixes and attributes come from outside, so that an unkeyed one could be attacked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tandem::bgp {

class KeyedHash {
 public:
  explicit KeyedHash(std::uint64_t key) : state_(key ^ 0x9e3779b97f4a7c15ull), key_(key | 1) {}

  void add(std::uint64_t word) {
    const auto product = static_cast<unsigned __int128>(state_ ^ word) * (key_ ^ 0xd6e8feb86659fd93ull);
    state_ = static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    state_ += 0xa0761d6478bd642full;
  }
  void add_bytes(const void* data, std::size_t size) {
    const auto* p = static_cast<const unsigned char*>(data);
    add(size);
    while (size >= 8) {
      std::uint64_t word;
      std::memcpy(&word, p, 8);
      add(word);
      p += 8;
      size -= 8;
    }
    if (size > 0) {
      std::uint64_t word = 0;
      std::memcpy(&word, p, size);
      add(word);
    }
  }
  std::uint64_t value() const {
    std::uint64_t v = state_ ^ key_;
    v ^= v >> 31;
    v *= 0xbf58476d1ce4e5b9ull;
    v ^= v >> 29;
    return v;
  }

 private:
  std::uint64_t state_;
  std::uint64_t key_;
};

}  // namespace tandem::bgp
