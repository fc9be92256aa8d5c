// SPDX-License-Identifier: BSD-3-Clause
//
// Streams whose byte at every position is known: both ends can make and check any part of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tandem::perf {

/// Fills `out` with the bytes from `position` of the random stream that `seed` names.
void fill_random(std::uint64_t seed, std::uint64_t position, std::span<std::uint8_t> out);

/// The same for the character generator of RFC 864, as tandem-inetd sends it.
void fill_chargen(std::uint64_t position, std::span<std::uint8_t> out);

}  // namespace tandem::perf
