// SPDX-License-Identifier: BSD-3-Clause
#include "packet.hpp"

#include <algorithm>
#include <cstdio>

namespace tandem::sim {
namespace {

std::uint32_t be16(const std::uint8_t* at) { return std::uint32_t{at[0]} << 8 | at[1]; }
std::uint32_t be32(const std::uint8_t* at) { return be16(at) << 16 | be16(at + 2); }

}  // namespace

Packet parse_packet(Bytes frame) {
  Packet packet;
  if (frame.size() < 34) return packet;
  const std::uint32_t type = be16(frame.data() + 12);
  std::size_t at = 14;
  std::size_t end = frame.size();
  if (type == 0x0806) {
    packet.kind = Packet::Kind::arp;
    return packet;
  }
  std::uint8_t protocol = 0;
  if (type == 0x0800) {
    packet.version = 4;
    protocol = frame[at + 9];
    end = at + be16(frame.data() + at + 2);
    at += (frame[at] & 15U) * 4U;
  } else if (type == 0x86dd && frame.size() >= at + 40) {
    packet.version = 6;
    protocol = frame[at + 6];
    end = at + 40 + be16(frame.data() + at + 4);
    at += 40;
    if (protocol == 58) packet.kind = Packet::Kind::icmp6;
  }
  if (protocol != 6 || frame.size() < at + 20 || end > frame.size()) return packet;
  packet.kind = Packet::Kind::tcp;
  const std::uint8_t* const tcp = frame.data() + at;
  packet.source_port = static_cast<std::uint16_t>(be16(tcp));
  packet.destination_port = static_cast<std::uint16_t>(be16(tcp + 2));
  packet.seq = be32(tcp + 4);
  packet.ack = be32(tcp + 8);
  packet.flags = tcp[13];
  packet.window = be16(tcp + 14);
  const std::size_t header = (tcp[12] >> 4) * 4U;
  packet.payload = end > at + header ? static_cast<std::uint32_t>(end - at - header) : 0;
  return packet;
}

void strip_window_scale(std::span<std::uint8_t> frame) {
  const Packet packet = parse_packet(frame);
  if (packet.kind != Packet::Kind::tcp || !packet.has(Packet::kSyn)) return;
  constexpr std::size_t kEthernet = 14, kIpv6 = 40, kTcp = 20, kChecksumAt = 16;
  constexpr std::uint8_t kEnd = 0, kNothing = 1, kWindowScale = 3;
  const std::size_t ip = packet.version == 6 ? kIpv6 : std::size_t{frame[kEthernet]} % 16 * 4;
  const std::span<std::uint8_t> tcp = frame.subspan(kEthernet + ip);
  const std::size_t end = std::min<std::size_t>(tcp.size(), std::size_t{tcp[12]} / 16 * 4);
  std::uint32_t sum = 0xffffU & ~((std::uint32_t{tcp[kChecksumAt]} << 8) | tcp[kChecksumAt + 1]);
  for (std::size_t at = kTcp; at + 1 < end && tcp[at] != kEnd;) {
    const std::size_t length = tcp[at] == kNothing ? 1 : std::max<std::size_t>(tcp[at + 1], 2);
    const bool goes = tcp[at] == kWindowScale;
    for (std::size_t i = at; goes && i < std::min(at + length, end); ++i) {
      // RFC 1624: what was there goes out of the checksum, and what is there comes into it.
      const unsigned shift = i % 2 == 0 ? 8 : 0;
      sum += (0xffffU & ~(std::uint32_t{tcp[i]} << shift)) + (std::uint32_t{kNothing} << shift);
      tcp[i] = kNothing;
    }
    at += length;
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  tcp[kChecksumAt] = static_cast<std::uint8_t>(~sum >> 8);
  tcp[kChecksumAt + 1] = static_cast<std::uint8_t>(~sum);
}

std::string to_string(const Packet& packet, std::size_t frame_bytes) {
  char text[160];
  if (packet.kind == Packet::Kind::tcp) {
    char flags[8];
    int count = 0;
    if (packet.has(Packet::kSyn)) flags[count++] = 'S';
    if (packet.has(Packet::kFin)) flags[count++] = 'F';
    if (packet.has(Packet::kRst)) flags[count++] = 'R';
    if (packet.has(8)) flags[count++] = 'P';
    if (packet.has(Packet::kAck)) flags[count++] = 'A';
    flags[count] = '\0';
    std::snprintf(text, sizeof text, "TCP%u %u > %u [%s] seq %u ack %u win %u len %u", packet.version,
                  packet.source_port, packet.destination_port, flags, packet.seq, packet.ack, packet.window,
                  packet.payload);
  } else {
    std::snprintf(text, sizeof text, "%s, %zu bytes",
                  packet.kind == Packet::Kind::arp     ? "ARP"
                  : packet.kind == Packet::Kind::icmp6 ? "ICMPv6"
                                                       : "frame",
                  frame_bytes);
  }
  return text;
}

}  // namespace tandem::sim
