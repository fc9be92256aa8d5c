// SPDX-License-Identifier: BSD-3-Clause
//
// A connection's two ends as the key of a hash table. Peers choose it, so the hash is keyed.
#pragma once

#include <array>
#include <cstddef>

#include "siphash.hpp"
#include "tandem/address.hpp"

namespace tandem {

struct Tuple {
  Endpoint local;
  Endpoint remote;
  bool operator==(const Tuple&) const = default;
};

class TupleHash {
 public:
  explicit TupleHash(const SipKey& key) : key_(key) {}
  std::size_t operator()(const Tuple& tuple) const { return siphash(key_, bytes_of(tuple)); }

  static std::array<std::uint8_t, 36> bytes_of(const Tuple& tuple) {
    std::array<std::uint8_t, 36> bytes{};
    std::size_t at = 0;
    for (const Endpoint* end : {&tuple.local, &tuple.remote}) {
      for (const auto octet : end->address.octets) {
        bytes[at++] = octet;
      }
      bytes[at++] = static_cast<std::uint8_t>(end->port >> 8);
      bytes[at++] = static_cast<std::uint8_t>(end->port);
    }
    return bytes;
  }

 private:
  SipKey key_;
};

}  // namespace tandem
