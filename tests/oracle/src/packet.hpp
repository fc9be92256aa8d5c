// SPDX-License-Identifier: BSD-3-Clause
//
// What stands in a frame: Ethernet, ARP, IPv4, IPv6 with extension headers, TCP with options, neighbour discovery. Nothing is
// copied; a Packet is valid as long as its frame.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "oracle/oracle.hpp"

namespace tandem::oracle {

inline std::uint16_t big16(const std::uint8_t* at) { return static_cast<std::uint16_t>(at[0] << 8 | at[1]); }
inline std::uint32_t big32(const std::uint8_t* at) {
  return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
}

namespace flag {
constexpr std::uint8_t fin = 1, syn = 2, rst = 4, psh = 8, ack = 16;
}

/// No host sends it, but one that it reaches takes it (RFC 8200, section 3), and no checksum covers the field.
inline constexpr std::string_view kNoHopsLeft = "the hop limit is 0";

struct TcpOptions {
  struct Block {
    std::uint32_t left = 0, right = 0;
    friend bool operator==(const Block&, const Block&) = default;
  };
  bool malformed = false;
  bool has_mss = false, has_scale = false, sack_permitted = false, has_timestamps = false, has_sack = false;
  std::uint16_t mss = 0;
  std::uint8_t scale = 0;
  std::uint32_t tsval = 0, tsecr = 0;
  std::uint8_t blocks = 0;
  /// How many SACK blocks would have fitted beside the other options.
  std::uint8_t room_for_blocks = 0;
  std::array<Block, 4> block{};
};

struct TcpHeader {
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint32_t seq = 0, ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  std::uint32_t option_bytes = 0;
  std::uint32_t payload_length = 0;         ///< on the wire
  std::span<const std::uint8_t> payload{};  ///< as far as it was captured
  TcpOptions options{};

  bool has(std::uint8_t which) const { return (flags & which) != 0; }
  /// Sequence numbers that the segment takes.
  std::uint32_t length() const { return payload_length + (has(flag::syn) ? 1 : 0) + (has(flag::fin) ? 1 : 0); }
};

struct Packet {
  enum class Kind { other, arp, ip, tcp, icmp6 };

  Kind kind = Kind::other;
  Mac source_mac{}, destination_mac{};
  Host source{}, destination{};
  /// Why a host throws it away, as a rule's name; empty when it does not. `complaint_words` explains it.
  std::string_view complaint, complaint_words;
  bool fragment = false;
  std::uint8_t ttl = 0;
  /// The captured bytes of what IP or Ethernet carries.
  std::span<const std::uint8_t> body{};
  TcpHeader tcp{};

  /// `wire_length` is not less than the frame's.
  static Packet parse(Frame frame, std::size_t wire_length, bool check_checksums);
};

}  // namespace tandem::oracle
