// SPDX-License-Identifier: BSD-3-Clause
#include "unfinished_checksum.hpp"

#include <cstddef>
#include <cstdint>

#include "lwip.hpp"
#include "stack_impl.hpp"

namespace tandem {
namespace {

constexpr std::size_t kEthernetHeader = 14;
constexpr std::size_t kIpv4Header = 20;
constexpr std::size_t kIpv6Header = 40;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::size_t kTcpFieldAt = 16;
constexpr std::size_t kUdpFieldAt = 6;

std::uint32_t load_be16(const std::uint8_t* at) { return std::uint32_t{at[0]} << 8 | at[1]; }

/// `octets` is even.
std::uint32_t sum_of(const std::uint8_t* at, std::size_t octets) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < octets; i += 2) sum += load_be16(at + i);
  return sum;
}

std::uint32_t folded(std::uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

}  // namespace

bool checksum_is_unfinished(Bytes frame) {
  if (frame.size() < kEthernetHeader + kIpv4Header) return false;
  const std::uint8_t* const ip = frame.data() + kEthernetHeader;
  const std::uint32_t type = load_be16(frame.data() + 12);
  std::size_t header = 0;
  std::uint32_t length = 0;
  std::uint32_t sum = 0;
  std::uint8_t protocol = 0;
  if (type == 0x0800) {
    constexpr std::uint32_t kFragment = 0x3fff;  // more fragments, or an offset
    header = std::size_t{ip[0] & 15U} * 4;
    if (header < kIpv4Header || load_be16(ip + 2) < header || (load_be16(ip + 6) & kFragment) != 0) return false;
    length = load_be16(ip + 2) - static_cast<std::uint32_t>(header);
    protocol = ip[9];
    sum = sum_of(ip + 12, 8);
  } else if (type == 0x86dd && frame.size() >= kEthernetHeader + kIpv6Header) {
    header = kIpv6Header;
    length = load_be16(ip + 4);
    protocol = ip[6];
    sum = sum_of(ip + 8, 32);
  } else {
    return false;
  }
  if (protocol != kTcp && protocol != kUdp) return false;
  const std::size_t field = kEthernetHeader + header + (protocol == kTcp ? kTcpFieldAt : kUdpFieldAt);
  if (frame.size() < field + 2) return false;
  return load_be16(frame.data() + field) == folded(sum + protocol + length);
}

void Stack::Impl::choose_checksums(netif& interface, Bytes frame) {
  frame_is_unfinished = (link.unfinished_checksums || checksums_suspected != 0) && checksum_is_unfinished(frame);
  if (!link.unfinished_checksums) {
    return;
  }
  u16_t verified = NETIF_CHECKSUM_ENABLE_ALL;
  if (frame_is_unfinished) {
    ++counters.unfinished_checksums;
    verified = NETIF_CHECKSUM_ENABLE_ALL & ~(NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP);
  }
  NETIF_SET_CHECKSUM_CTRL(&interface, verified);
}

void Stack::Impl::note_checksum_errors() {
  // Behind an error the next packets are looked at more closely, and only then: where all is well nobody pays for it.
  constexpr int kLookedAt = 64;
  const std::uint64_t errors = std::uint64_t{lwip_stats.tcp.chkerr} + lwip_stats.udp.chkerr;
  if (errors == checksum_errors_seen) {
    checksums_suspected -= checksums_suspected != 0 ? 1 : 0;
    return;
  }
  checksum_errors_seen = errors;
  checksums_suspected = kLookedAt;
  counters.unfinished_refused += frame_is_unfinished ? 1 : 0;
}

}  // namespace tandem
