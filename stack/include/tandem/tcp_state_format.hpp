// SPDX-License-Identifier: BSD-3-Clause
//
// How an encoded TcpState (tcp_state.hpp) grows, and how it is written for a reader that knows only its beginning: fields are
// appended, the length in front says how many there are, and what is missing has its default (design.md section 4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tandem {

/// The layout that log format 1 has, whose readers accept no other length.
inline constexpr std::size_t kFirstTcpStateBytes = 203;

/// Shortens a state that encode_tcp_state wrote into the empty `encoded` to its first `bytes` (kFirstTcpStateBytes or more, at a
/// field's end). One that is not longer stays as it is.
void shorten_tcp_state(std::vector<std::uint8_t>& encoded, std::size_t bytes);

}  // namespace tandem
