// SPDX-License-Identifier: BSD-3-Clause
//
// Everything that varies in a run comes from one seed. Each concern draws from a stream of its own, so that a change in one does
// not shift all the others.
#pragma once

#include <cstdint>

namespace tandem::sim {

class Prng {
 public:
  Prng() = default;
  Prng(std::uint64_t seed, std::uint64_t stream) : state_(mix(seed * 0x9e3779b97f4a7c15ULL + mix(stream))) {}

  std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15ULL); }
  /// From 0 to `end` - 1.
  std::uint64_t below(std::uint64_t end) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * end) >> 64);
  }
  std::uint64_t between(std::uint64_t first, std::uint64_t last) { return first + below(last - first + 1); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  /// True with `permille` in a thousand.
  bool chance(std::uint32_t permille) { return below(1000) < permille; }
  /// Small values as often as large ones: every power of two up to `last` is as likely as any other.
  std::uint64_t skewed(std::uint64_t last) {
    int bits = 0;
    while (last >> bits != 0) ++bits;
    const std::uint64_t value = next() >> (64 - between(1, static_cast<std::uint64_t>(bits)));
    return value > last ? value % (last + 1) : value;
  }

 private:
  static std::uint64_t mix(std::uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ULL;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }
  std::uint64_t state_ = 0;
};

}  // namespace tandem::sim
