// SPDX-License-Identifier: BSD-3-Clause
#include "packet.hpp"

#include <algorithm>
#include <cstring>

namespace tandem::oracle {

namespace {

constexpr std::size_t kEthernetBytes = 14;
constexpr std::uint16_t kTypeIpv4 = 0x0800, kTypeArp = 0x0806, kTypeIpv6 = 0x86dd;
constexpr std::uint8_t kTcp = 6, kUdp = 17, kIcmp = 1, kIcmp6 = 58;

/// The ones' complement sum of RFC 1071, in the machine's byte order, unfolded; `begin` is at an even offset of the whole.
std::uint64_t sum_bytes(const std::uint8_t* at, std::size_t length, std::uint64_t sum) {
  while (length >= 4) {
    std::uint32_t word;
    std::memcpy(&word, at, 4);
    sum += word;
    at += 4;
    length -= 4;
  }
  std::uint32_t rest = 0;
  std::memcpy(&rest, at, length);
  return sum + rest;
}

bool folds_to_ones(std::uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff;
}

void complain(Packet& packet, std::string_view rule, std::string_view words) {
  if (!packet.complaint.empty()) return;
  packet.complaint = rule;
  packet.complaint_words = words;
}

void parse_options(std::span<const std::uint8_t> bytes, TcpOptions& options) {
  std::size_t at = 0;
  std::size_t beside = 0;
  while (at < bytes.size()) {
    const std::uint8_t kind = bytes[at];
    if (kind == 0) break;
    if (kind == 1) {
      ++at;
      continue;
    }
    if (at + 1 >= bytes.size() || bytes[at + 1] < 2 || at + bytes[at + 1] > bytes.size()) {
      options.malformed = true;
      return;
    }
    const std::uint8_t length = bytes[at + 1];
    const std::uint8_t* value = bytes.data() + at + 2;
    const auto expect = [&](bool good) { options.malformed |= !good; };
    switch (kind) {
      case 2:
        expect(length == 4);
        if (length == 4) options.has_mss = true, options.mss = big16(value);
        break;
      case 3:
        expect(length == 3);
        if (length == 3) options.has_scale = true, options.scale = value[0];
        break;
      case 4:
        expect(length == 2);
        options.sack_permitted = true;
        break;
      case 5:
        expect(length >= 10 && (length - 2) % 8 == 0 && length <= 34);
        if (options.malformed) return;
        options.has_sack = true;
        options.blocks = static_cast<std::uint8_t>((length - 2) / 8);
        for (std::size_t i = 0; i < options.blocks; ++i) {
          options.block[i] = {big32(value + 8 * i), big32(value + 8 * i + 4)};
        }
        break;
      case 8:
        expect(length == 10);
        if (length == 10) options.has_timestamps = true, options.tsval = big32(value), options.tsecr = big32(value + 4);
        break;
      default:
        break;
    }
    // Options are usually padded to whole words.
    if (kind != 5) beside += (length + 3u) / 4 * 4;
    at += length;
  }
  options.room_for_blocks = static_cast<std::uint8_t>(beside + 4 < 40 ? (40 - beside - 4) / 8 : 0);
}

void parse_tcp(Packet& packet, std::span<const std::uint8_t> segment, std::size_t length, std::uint64_t pseudo_sum,
               bool check_checksums) {
  packet.kind = Packet::Kind::tcp;
  TcpHeader& tcp = packet.tcp;
  if (length < 20) return complain(packet, "length", "the TCP header does not fit into the IP packet");
  if (segment.size() < 20) return complain(packet, "cut", "the capture ends within the TCP header");
  const std::uint8_t* at = segment.data();
  tcp.source_port = big16(at);
  tcp.destination_port = big16(at + 2);
  tcp.seq = big32(at + 4);
  tcp.ack = big32(at + 8);
  tcp.flags = at[13];
  tcp.window = big16(at + 14);
  const std::size_t header = (at[12] >> 4) * 4u;
  if (header < 20 || header > length) return complain(packet, "length", "the TCP data offset is impossible");
  if (segment.size() < header) return complain(packet, "cut", "the capture ends within the TCP options");
  tcp.option_bytes = static_cast<std::uint32_t>(header - 20);
  tcp.payload_length = static_cast<std::uint32_t>(length - header);
  tcp.payload = segment.subspan(header);
  parse_options(segment.subspan(20, header - 20), tcp.options);
  if (check_checksums && segment.size() == length &&
      !folds_to_ones(sum_bytes(segment.data(), segment.size(), pseudo_sum))) {
    complain(packet, "checksum", "the TCP checksum is wrong");
  }
}

/// The part of the sum that stands for the pseudo header.
std::uint64_t pseudo_header(const Packet& packet, std::uint8_t protocol, std::size_t length) {
  const std::size_t address_bytes = packet.source.is_v4() ? 4 : 16;
  std::uint8_t tail[8] = {0, 0,       static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length), 0, 0,
                          0, protocol};
  std::uint64_t sum = sum_bytes(packet.source.bytes.data() + 16 - address_bytes, address_bytes, 0);
  sum = sum_bytes(packet.destination.bytes.data() + 16 - address_bytes, address_bytes, sum);
  return sum_bytes(tail, sizeof(tail), sum);
}

void parse_transport(Packet& packet, std::uint8_t protocol, std::span<const std::uint8_t> body, std::size_t length,
                     bool check_checksums) {
  packet.kind = Packet::Kind::ip;
  packet.body = body;
  const bool whole = body.size() == length;
  switch (protocol) {
    case kTcp:
      return parse_tcp(packet, body, length, pseudo_header(packet, protocol, length), check_checksums);
    case kUdp:
      if (length < 8) return complain(packet, "length", "the UDP header does not fit into the IP packet");
      // Over IPv4 a sender may leave it out.
      if (check_checksums && whole && (big16(&body[6]) != 0 || !packet.source.is_v4()) &&
          !folds_to_ones(sum_bytes(body.data(), body.size(), pseudo_header(packet, protocol, length)))) {
        complain(packet, "checksum", "the UDP checksum is wrong");
      }
      return;
    case kIcmp:
      if (check_checksums && whole && packet.source.is_v4() && !folds_to_ones(sum_bytes(body.data(), body.size(), 0))) {
        complain(packet, "checksum", "the ICMP checksum is wrong");
      }
      return;
    case kIcmp6:
      packet.kind = Packet::Kind::icmp6;
      if (check_checksums && whole &&
          !folds_to_ones(sum_bytes(body.data(), body.size(), pseudo_header(packet, protocol, length)))) {
        complain(packet, "checksum", "the ICMPv6 checksum is wrong");
      }
      return;
    default:
      return;
  }
}

void parse_ipv4(Packet& packet, std::span<const std::uint8_t> bytes, std::size_t wire_length, bool check_checksums) {
  packet.kind = Packet::Kind::ip;
  if (bytes.size() < 20) return complain(packet, "length", "the IPv4 header does not fit into the frame");
  const std::size_t header = (bytes[0] & 15) * 4u;
  const std::size_t total = big16(&bytes[2]);
  packet.source = Host::v4(bytes[12], bytes[13], bytes[14], bytes[15]);
  packet.destination = Host::v4(bytes[16], bytes[17], bytes[18], bytes[19]);
  packet.ttl = bytes[8];
  if (bytes[0] >> 4 != 4) return complain(packet, "length", "the version in the IPv4 header is not 4");
  if (header < 20 || header > total) return complain(packet, "length", "the IPv4 header length is impossible");
  if (total > wire_length) return complain(packet, "length", "the IPv4 total length is beyond the frame's end");
  if (bytes.size() < header) return complain(packet, "cut", "the capture ends within the IPv4 header");
  if (check_checksums && !folds_to_ones(sum_bytes(bytes.data(), header, 0))) {
    complain(packet, "checksum", "the IPv4 header's checksum is wrong");
  }
  if (packet.ttl == 0) complain(packet, "length", "the time to live is 0");
  if ((big16(&bytes[6]) & 0x3fff) != 0) {
    packet.fragment = true;
    return;
  }
  parse_transport(packet, bytes[9], bytes.subspan(header, std::min(bytes.size(), total) - header), total - header,
                  check_checksums);
}

void parse_ipv6(Packet& packet, std::span<const std::uint8_t> bytes, std::size_t wire_length, bool check_checksums) {
  packet.kind = Packet::Kind::ip;
  if (bytes.size() < 40) return complain(packet, "length", "the IPv6 header does not fit into the frame");
  std::size_t length = big16(&bytes[4]);
  packet.ttl = bytes[7];
  std::copy_n(&bytes[8], 16, packet.source.bytes.begin());
  std::copy_n(&bytes[24], 16, packet.destination.bytes.begin());
  if (bytes[0] >> 4 != 6) return complain(packet, "length", "the version in the IPv6 header is not 6");
  if (40 + length > wire_length) return complain(packet, "length", "the IPv6 payload length is beyond the frame's end");
  std::uint8_t next = bytes[6];
  auto body = bytes.subspan(40, std::min(bytes.size() - 40, length));
  // Hop-by-hop options, routing, fragment, destination options.
  while (next == 0 || next == 43 || next == 44 || next == 60) {
    if (next == 44) {
      packet.fragment = true;
      return;
    }
    if (length < 8) return complain(packet, "length", "an IPv6 extension header does not fit into the packet");
    if (body.size() < 8) return complain(packet, "cut", "the capture ends within an IPv6 extension header");
    const std::size_t bytes_of_it = (body[1] + 1u) * 8;
    if (bytes_of_it > length) return complain(packet, "length", "an IPv6 extension header is longer than the packet");
    if (bytes_of_it > body.size()) return complain(packet, "cut", "the capture ends within an IPv6 extension header");
    next = body[0];
    body = body.subspan(bytes_of_it);
    length -= bytes_of_it;
  }
  parse_transport(packet, next, body, length, check_checksums);
}

}  // namespace

Packet Packet::parse(Frame frame, std::size_t wire_length, bool check_checksums) {
  Packet packet;
  if (frame.size() < kEthernetBytes) {
    complain(packet, "length", "the frame is shorter than an Ethernet header");
    return packet;
  }
  std::copy_n(frame.data(), 6, packet.destination_mac.begin());
  std::copy_n(frame.data() + 6, 6, packet.source_mac.begin());
  const auto body = frame.subspan(kEthernetBytes);
  wire_length = std::max(wire_length, frame.size()) - kEthernetBytes;
  switch (big16(frame.data() + 12)) {
    case kTypeIpv4:
      parse_ipv4(packet, body, wire_length, check_checksums);
      break;
    case kTypeIpv6:
      parse_ipv6(packet, body, wire_length, check_checksums);
      // Last: with anything else that is wrong nobody takes it.
      if (packet.kind != Kind::other && packet.ttl == 0) complain(packet, "length", kNoHopsLeft);
      break;
    case kTypeArp:
      packet.kind = Kind::arp;
      packet.body = body;
      if (body.size() < 28) complain(packet, "length", "the ARP packet is too short");
      break;
    default:
      break;
  }
  return packet;
}

}  // namespace tandem::oracle
