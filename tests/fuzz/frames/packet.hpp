// SPDX-License-Identifier: BSD-3-Clause
//
// Frames put together from parts, of which each may be wrong, and taken apart again with every field checked.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tandem/address.hpp"

namespace tandem::fuzz {

using Octets = std::vector<std::uint8_t>;

namespace ether_type {
inline constexpr std::uint16_t kIpv4 = 0x0800, kArp = 0x0806, kIpv6 = 0x86dd;
}
namespace protocol {
inline constexpr std::uint8_t kHopByHop = 0, kIcmp = 1, kTcp = 6, kUdp = 17, kRouting = 43, kFragment = 44, kIcmp6 = 58,
                              kNone = 59, kDestination = 60;
}
namespace tcp_bit {
inline constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32;
}

void put16(Octets& out, std::uint32_t value);
void put32(Octets& out, std::uint32_t value);
void put(Octets& out, Bytes bytes);
std::uint16_t get16(Bytes in, std::size_t at);
std::uint32_t get32(Bytes in, std::size_t at);

/// RFC 1071 over `bytes`, not inverted, folded; `sum` is what came before.
std::uint32_t ones_complement(Bytes bytes, std::uint32_t sum = 0);
std::uint32_t pseudo_header_sum(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                                std::size_t length);

struct Link {
  MacAddress source, destination;
};

Octets ethernet(const Link& link, std::uint16_t type, Bytes payload);

struct ArpFields {
  std::uint16_t operation = 1;
  MacAddress sender_mac, target_mac;
  IpAddress sender, target;
};
Octets arp(const ArpFields& fields);

struct TcpFields {
  std::uint16_t source = 0, destination = 0;
  std::uint32_t seq = 0, ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0, urgent = 0;
  Octets options;  ///< padded to four bytes with zeros, cut at 40
  Octets payload;
};
/// With a sound checksum.
Octets tcp(const IpAddress& source, const IpAddress& destination, const TcpFields& fields);
Octets udp(const IpAddress& source, const IpAddress& destination, std::uint16_t source_port,
           std::uint16_t destination_port, Bytes payload, bool checksum = true);
Octets icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest, Bytes payload);
Octets icmp6(const IpAddress& source, const IpAddress& destination, std::uint8_t type, std::uint8_t code,
             std::uint32_t rest, Bytes payload);

struct IpFields {
  IpAddress source, destination;
  std::uint8_t protocol = protocol::kTcp;
  std::uint8_t hop_limit = 64;
  std::uint16_t identification = 1;
  std::uint16_t fragment = 0;  ///< IPv4's flags and offset field
  Octets options;              ///< IPv4: options; IPv6: extension headers, the first of which is `protocol`
};
/// Of the version of the source, with a sound header checksum.
Octets ip(const IpFields& fields, Bytes payload);

/// What a frame is that a stack has sent. Every frame that it sends is sound: what is not fails the fuzzer.
struct Sent {
  std::uint16_t type = 0;
  std::optional<ArpFields> arp;
  IpAddress source, destination;
  std::uint8_t protocol = protocol::kNone;
  bool is_fragment = false;
  std::optional<TcpFields> tcp;
  std::optional<std::uint8_t> icmp_type;
  Octets icmp_body;
};
Sent dissect(Bytes frame, std::uint32_t mtu);

}  // namespace tandem::fuzz
