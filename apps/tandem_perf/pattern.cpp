// SPDX-License-Identifier: BSD-3-Clause
#include "pattern.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace tandem::perf {

namespace {

/// Finalizer of splitmix64: every bit of the counter reaches every bit of the result.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

constexpr std::size_t kLineBytes = 74;
constexpr std::size_t kLineCharacters = 72;
constexpr std::size_t kCharacters = 95;
constexpr std::size_t kPeriodBytes = kLineBytes * kCharacters;

constexpr std::array<std::uint8_t, kPeriodBytes> kChargen = [] {
  std::array<std::uint8_t, kPeriodBytes> bytes{};
  for (std::size_t i = 0; i < kPeriodBytes; ++i) {
    const std::size_t line = i / kLineBytes;
    const std::size_t column = i % kLineBytes;
    if (column < kLineCharacters) {
      bytes[i] = static_cast<std::uint8_t>(' ' + (line + column) % kCharacters);
    } else {
      bytes[i] = column == kLineCharacters ? '\r' : '\n';
    }
  }
  return bytes;
}();

}  // namespace

void fill_random(std::uint64_t seed, std::uint64_t position, std::span<std::uint8_t> out) {
  const std::uint64_t key = mixed(seed);
  while (!out.empty()) {
    const std::uint64_t word = mixed(key + position / 8);
    const std::size_t skip = position % 8;
    const std::size_t take = std::min<std::size_t>(8 - skip, out.size());
    std::memcpy(out.data(), reinterpret_cast<const std::uint8_t*>(&word) + skip, take);
    out = out.subspan(take);
    position += take;
  }
}

void fill_chargen(std::uint64_t position, std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const std::size_t at = position % kPeriodBytes;
    const std::size_t take = std::min(kPeriodBytes - at, out.size());
    std::memcpy(out.data(), kChargen.data() + at, take);
    out = out.subspan(take);
    position += take;
  }
}

}  // namespace tandem::perf
