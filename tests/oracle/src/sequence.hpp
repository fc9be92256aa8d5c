// SPDX-License-Identifier: BSD-3-Clause
//
// Sequence numbers and timestamps count modulo 2^32. Everything here works on 64-bit positions instead, which do not wrap.
#pragma once

#include <cstdint>

namespace tandem::oracle {

/// Where a stream's positions begin, so that nothing before them is negative.
constexpr std::uint64_t kFirstPosition = std::uint64_t{1} << 32;

/// The position nearest to `reference` whose last 32 bits are `value`.
constexpr std::uint64_t unwrap(std::uint64_t reference, std::uint32_t value) {
  const auto difference = static_cast<std::int32_t>(value - static_cast<std::uint32_t>(reference));
  return reference + static_cast<std::uint64_t>(static_cast<std::int64_t>(difference));
}

}  // namespace tandem::oracle
