// SPDX-License-Identifier: BSD-3-Clause
//
// As much of a frame as the checks and the trace ask for. Shares no code with the stack.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tandem/address.hpp"

namespace tandem::sim {

struct Packet {
  enum class Kind : std::uint8_t { other, arp, icmp6, tcp } kind = Kind::other;
  std::uint8_t version = 0;
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint32_t seq = 0, ack = 0, window = 0;
  std::uint8_t flags = 0;
  std::uint32_t payload = 0;  ///< bytes
  static constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;
  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  /// One past the last sequence number that it takes.
  [[nodiscard]] std::uint32_t end() const { return seq + payload + (has(kSyn) ? 1 : 0) + (has(kFin) ? 1 : 0); }
};

Packet parse_packet(Bytes frame);
/// Takes the window scale out of a SYN, as if its sender knew of none.
void strip_window_scale(std::span<std::uint8_t> frame);
std::string to_string(const Packet& packet, std::size_t frame_bytes);

}  // namespace tandem::sim
