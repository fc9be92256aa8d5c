// SPDX-License-Identifier: BSD-3-Clause
#include "packet.hpp"

#include <algorithm>

#include "require.hpp"

namespace tandem::fuzz {
namespace {

constexpr std::size_t kEthernetBytes = 14;

std::uint16_t checksum(std::uint32_t sum) { return static_cast<std::uint16_t>(~sum); }

IpAddress address(std::uint8_t version, Bytes bytes) {
  IpAddress out{version, {}};
  std::copy(bytes.begin(), bytes.end(), out.octets.begin());
  return out;
}

Octets with_icmp_checksum(std::uint32_t sum, std::uint8_t type, std::uint8_t code, std::uint32_t rest, Bytes payload) {
  Octets out{type, code, 0, 0};
  put32(out, rest);
  put(out, payload);
  const std::uint16_t value = checksum(ones_complement(out, sum));
  out[2] = static_cast<std::uint8_t>(value >> 8);
  out[3] = static_cast<std::uint8_t>(value);
  return out;
}

TcpFields dissect_tcp(Bytes segment) {
  FUZZ_REQUIRE(segment.size() >= 20);
  TcpFields tcp;
  tcp.source = get16(segment, 0);
  tcp.destination = get16(segment, 2);
  tcp.seq = get32(segment, 4);
  tcp.ack = get32(segment, 8);
  const std::size_t header = std::size_t{segment[12]} / 16 * 4;
  FUZZ_REQUIRE(header >= 20 && header <= segment.size());
  tcp.flags = segment[13];
  tcp.window = get16(segment, 14);
  tcp.urgent = get16(segment, 18);
  tcp.options.assign(segment.begin() + 20, segment.begin() + static_cast<std::ptrdiff_t>(header));
  tcp.payload.assign(segment.begin() + static_cast<std::ptrdiff_t>(header), segment.end());
  for (std::size_t at = 0; at < tcp.options.size();) {
    if (tcp.options[at] == 0) break;
    if (tcp.options[at] == 1) {
      ++at;
      continue;
    }
    FUZZ_REQUIRE(at + 1 < tcp.options.size() && tcp.options[at + 1] >= 2);
    at += tcp.options[at + 1];
    FUZZ_REQUIRE(at <= tcp.options.size());
  }
  return tcp;
}

void dissect_transport(Sent& sent, Bytes payload) {
  const std::uint32_t pseudo = pseudo_header_sum(sent.source, sent.destination, sent.protocol, payload.size());
  switch (sent.protocol) {
    case protocol::kTcp:
      FUZZ_REQUIRE(ones_complement(payload, pseudo) == 0xffff);
      sent.tcp = dissect_tcp(payload);
      break;
    case protocol::kUdp:
      FUZZ_REQUIRE(payload.size() >= 8 && get16(payload, 4) == payload.size());
      FUZZ_REQUIRE(get16(payload, 6) == 0 ? sent.source.version == 4 : ones_complement(payload, pseudo) == 0xffff);
      break;
    case protocol::kIcmp:
    case protocol::kIcmp6:
      FUZZ_REQUIRE(payload.size() >= 4);
      FUZZ_REQUIRE(ones_complement(payload, sent.protocol == protocol::kIcmp6 ? pseudo : 0) == 0xffff);
      sent.icmp_type = payload[0];
      sent.icmp_body.assign(payload.begin() + 4, payload.end());
      break;
    default:
      failed("a packet of a protocol that the stack speaks", __FILE__, __LINE__, std::to_string(sent.protocol));
  }
}

void dissect_ipv4(Sent& sent, Bytes packet) {
  FUZZ_REQUIRE(packet.size() >= 20 && packet[0] / 16 == 4);
  const std::size_t header = std::size_t{packet[0]} % 16 * 4;
  const std::size_t total = get16(packet, 2);
  FUZZ_REQUIRE(header >= 20 && header <= total && total <= packet.size());
  FUZZ_REQUIRE(ones_complement(packet.first(header)) == 0xffff);
  sent.source = address(4, packet.subspan(12, 4));
  sent.destination = address(4, packet.subspan(16, 4));
  sent.protocol = packet[9];
  sent.is_fragment = (get16(packet, 6) & 0x3fff) != 0;
  if (!sent.is_fragment) dissect_transport(sent, packet.subspan(header, total - header));
}

void dissect_ipv6(Sent& sent, Bytes packet) {
  FUZZ_REQUIRE(packet.size() >= 40 && packet[0] / 16 == 6);
  const std::size_t length = get16(packet, 4);
  FUZZ_REQUIRE(40 + length <= packet.size());
  sent.source = address(6, packet.subspan(8, 16));
  sent.destination = address(6, packet.subspan(24, 16));
  sent.protocol = packet[6];
  Bytes payload = packet.subspan(40, length);
  if (sent.protocol == protocol::kHopByHop) {
    FUZZ_REQUIRE(payload.size() >= 8);
    const std::size_t header = (std::size_t{payload[1]} + 1) * 8;
    FUZZ_REQUIRE(header <= payload.size());
    sent.protocol = payload[0];
    payload = payload.subspan(header);
  }
  if (sent.protocol == protocol::kFragment) {
    FUZZ_REQUIRE(payload.size() >= 8);
    sent.is_fragment = true;
    return;
  }
  dissect_transport(sent, payload);
}

}  // namespace

void put16(Octets& out, std::uint32_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}
void put32(Octets& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}
void put(Octets& out, Bytes bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }
std::uint16_t get16(Bytes in, std::size_t at) { return static_cast<std::uint16_t>(in[at] << 8 | in[at + 1]); }
std::uint32_t get32(Bytes in, std::size_t at) { return std::uint32_t{get16(in, at)} << 16 | get16(in, at + 2); }

std::uint32_t ones_complement(Bytes bytes, std::uint32_t sum) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

std::uint32_t pseudo_header_sum(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                                std::size_t length) {
  std::uint32_t sum = ones_complement(destination.bytes(), ones_complement(source.bytes()));
  Octets rest;
  put32(rest, static_cast<std::uint32_t>(length));
  put32(rest, protocol);
  return ones_complement(rest, sum);
}

Octets ethernet(const Link& link, std::uint16_t type, Bytes payload) {
  Octets out;
  put(out, link.destination.octets);
  put(out, link.source.octets);
  put16(out, type);
  put(out, payload);
  return out;
}

Octets arp(const ArpFields& fields) {
  Octets out{0, 1, 8, 0, 6, 4};
  put16(out, fields.operation);
  put(out, fields.sender_mac.octets);
  put(out, Bytes(fields.sender.octets).first(4));
  put(out, fields.target_mac.octets);
  put(out, Bytes(fields.target.octets).first(4));
  return out;
}

Octets tcp(const IpAddress& source, const IpAddress& destination, const TcpFields& fields) {
  Octets options = fields.options;
  options.resize(std::min<std::size_t>((options.size() + 3) / 4 * 4, 40));
  Octets out;
  put16(out, fields.source);
  put16(out, fields.destination);
  put32(out, fields.seq);
  put32(out, fields.ack);
  out.push_back(static_cast<std::uint8_t>((20 + options.size()) / 4 << 4));
  out.push_back(fields.flags);
  put16(out, fields.window);
  put16(out, 0);
  put16(out, fields.urgent);
  put(out, options);
  put(out, fields.payload);
  const std::uint16_t value =
      checksum(ones_complement(out, pseudo_header_sum(source, destination, protocol::kTcp, out.size())));
  out[16] = static_cast<std::uint8_t>(value >> 8);
  out[17] = static_cast<std::uint8_t>(value);
  return out;
}

Octets udp(const IpAddress& source, const IpAddress& destination, std::uint16_t source_port,
           std::uint16_t destination_port, Bytes payload, bool with_checksum) {
  Octets out;
  put16(out, source_port);
  put16(out, destination_port);
  put16(out, static_cast<std::uint32_t>(8 + payload.size()));
  put16(out, 0);
  put(out, payload);
  if (!with_checksum) return out;
  std::uint16_t value =
      checksum(ones_complement(out, pseudo_header_sum(source, destination, protocol::kUdp, out.size())));
  if (value == 0) value = 0xffff;
  out[6] = static_cast<std::uint8_t>(value >> 8);
  out[7] = static_cast<std::uint8_t>(value);
  return out;
}

Octets icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest, Bytes payload) {
  return with_icmp_checksum(0, type, code, rest, payload);
}

Octets icmp6(const IpAddress& source, const IpAddress& destination, std::uint8_t type, std::uint8_t code,
             std::uint32_t rest, Bytes payload) {
  return with_icmp_checksum(pseudo_header_sum(source, destination, protocol::kIcmp6, 8 + payload.size()), type, code,
                            rest, payload);
}

Octets ip(const IpFields& fields, Bytes payload) {
  Octets out;
  if (fields.source.version == 6) {
    put32(out, 0x60000000);
    put16(out, static_cast<std::uint32_t>(fields.options.size() + payload.size()));
    out.push_back(fields.protocol);
    out.push_back(fields.hop_limit);
    put(out, fields.source.octets);
    put(out, fields.destination.octets);
    put(out, fields.options);
    put(out, payload);
    return out;
  }
  Octets options = fields.options;
  options.resize(std::min<std::size_t>((options.size() + 3) / 4 * 4, 40));
  out.push_back(static_cast<std::uint8_t>(0x40 + (20 + options.size()) / 4));
  out.push_back(0);
  put16(out, static_cast<std::uint32_t>(20 + options.size() + payload.size()));
  put16(out, fields.identification);
  put16(out, fields.fragment);
  out.push_back(fields.hop_limit);
  out.push_back(fields.protocol);
  put16(out, 0);
  put(out, Bytes(fields.source.octets).first(4));
  put(out, Bytes(fields.destination.octets).first(4));
  put(out, options);
  const std::uint16_t value = checksum(ones_complement(out));
  out[10] = static_cast<std::uint8_t>(value >> 8);
  out[11] = static_cast<std::uint8_t>(value);
  put(out, payload);
  return out;
}

Sent dissect(Bytes frame, std::uint32_t mtu) {
  Sent sent;
  FUZZ_REQUIRE(frame.size() >= kEthernetBytes && frame.size() <= kEthernetBytes + mtu);
  sent.type = get16(frame, 12);
  const Bytes packet = frame.subspan(kEthernetBytes);
  switch (sent.type) {
    case ether_type::kArp: {
      FUZZ_REQUIRE(packet.size() >= 28);
      ArpFields fields;
      fields.operation = get16(packet, 6);
      fields.sender = address(4, packet.subspan(14, 4));
      fields.target = address(4, packet.subspan(24, 4));
      std::copy_n(packet.begin() + 8, 6, fields.sender_mac.octets.begin());
      sent.arp = fields;
      break;
    }
    case ether_type::kIpv4:
      dissect_ipv4(sent, packet);
      break;
    case ether_type::kIpv6:
      dissect_ipv6(sent, packet);
      break;
    default:
      failed("a frame of a type that the stack speaks", __FILE__, __LINE__, std::to_string(sent.type));
  }
  return sent;
}

}  // namespace tandem::fuzz
