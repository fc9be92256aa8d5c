// SPDX-License-Identifier: BSD-3-Clause
//
// SipHash-2-4 (Aumasson, Bernstein, 2012), a keyed hash for short input that an attacker may choose.
#pragma once

#include <array>
#include <cstdint>

#include "tandem/address.hpp"

namespace tandem {

using SipKey = std::array<std::uint64_t, 2>;

[[nodiscard]] std::uint64_t siphash(const SipKey& key, Bytes input);

}  // namespace tandem
