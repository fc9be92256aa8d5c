// SPDX-License-Identifier: BSD-3-Clause
//
// Encodes pcapng blocks (draft-ietf-opsawg-pcapng), little-endian: section header, interface description, enhanced packet.
// Timestamps have nanoseconds (if_tsresol 9); epb_flags says which way a packet went.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tandem::pcapng {

enum class Direction : std::uint32_t { inbound = 1, outbound = 2 };

/// Append one block each.
void section_header(std::vector<std::uint8_t>& out, std::string_view application, std::string_view comment);
void interface_description(std::vector<std::uint8_t>& out, std::string_view name, std::string_view description);
void enhanced_packet(std::vector<std::uint8_t>& out, std::uint64_t time_ns, std::span<const std::uint8_t> frame,
                     Direction direction, std::string_view comment);

}  // namespace tandem::pcapng
