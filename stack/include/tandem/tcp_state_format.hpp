// SPDX-License-Identifier: BSD-3-Clause
//
// How an encoded TcpState (tcp_state.hpp) grows, and how it is written for a reader that knows only its beginning: fields are
// appended, the length in front says how many there are, and what is missing has its default (design.md section 4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tandem/tcp_state.hpp"

namespace tandem {

/// The layout that log format 1 has, whose readers accept no other length.
inline constexpr std::size_t kFirstTcpStateBytes = 203;

/// Bits of TcpState::flags that a reader of log format 1 knows; it refuses others.
inline constexpr std::uint32_t kFirstTcpStateFlags = (1U << 14) - 1;

/// Appends `state` to `out` as log format 1 has it: the first kFirstTcpStateBytes, and of the flags kFirstTcpStateFlags.
void encode_first_tcp_state(TcpState state, std::vector<std::uint8_t>& out);

}  // namespace tandem
