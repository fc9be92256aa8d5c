// SPDX-License-Identifier: BSD-3-Clause
#include "packet_too_big.hpp"

#include <algorithm>
#include <cstring>

namespace tandem::sim {
namespace {

constexpr std::size_t kEthernet = 14;
constexpr std::size_t kIpv4 = 20;
constexpr std::size_t kIpv6 = 40;
constexpr std::size_t kIcmp = 8;

void put16(std::uint8_t* at, std::uint32_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}

/// RFC 1071, over an even number of bytes but for the last ones.
std::uint16_t checksum(Bytes bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace

std::vector<std::uint8_t> packet_too_big(Bytes frame, std::uint32_t mtu) {
  if (frame.size() < kEthernet + kIpv6) return {};
  const bool v6 = frame[12] == 0x86;
  if (!v6 && (frame[12] != 0x08 || frame[13] != 0x00)) return {};
  const Bytes packet = frame.subspan(kEthernet);
  const std::size_t ip = v6 ? kIpv6 : kIpv4;
  const std::size_t quoted = std::min<std::size_t>(packet.size(), v6 ? 1232 : 28);
  std::vector<std::uint8_t> answer(kEthernet + ip + kIcmp + quoted);
  std::uint8_t* const ethernet = answer.data();
  std::copy_n(frame.data() + 6, 6, ethernet);
  std::copy_n(frame.data(), 6, ethernet + 6);
  std::copy_n(frame.data() + 12, 2, ethernet + 12);
  std::uint8_t* const header = ethernet + kEthernet;
  std::uint8_t* const icmp = header + ip;
  std::copy_n(packet.data(), quoted, icmp + kIcmp);
  const std::size_t icmp_bytes = kIcmp + quoted;
  if (v6) {
    header[0] = 0x60;
    put16(header + 4, static_cast<std::uint32_t>(icmp_bytes));
    header[6] = 58;
    header[7] = 64;
    // As from the other end: there is no third host here.
    std::copy_n(packet.data() + 24, 16, header + 8);
    std::copy_n(packet.data() + 8, 16, header + 24);
    icmp[0] = 2;
    put16(icmp + 6, mtu);
    std::uint32_t pseudo = 58 + static_cast<std::uint32_t>(icmp_bytes);
    for (std::size_t i = 8; i < kIpv6; i += 2) pseudo += std::uint32_t{header[i]} << 8 | header[i + 1];
    put16(icmp + 2, checksum({icmp, icmp_bytes}, pseudo));
  } else {
    header[0] = 0x45;
    put16(header + 2, static_cast<std::uint32_t>(ip + icmp_bytes));
    header[8] = 64;
    header[9] = 1;
    std::copy_n(packet.data() + 16, 4, header + 12);
    std::copy_n(packet.data() + 12, 4, header + 16);
    put16(header + 10, checksum({header, ip}));
    icmp[0] = 3;
    icmp[1] = 4;
    put16(icmp + 6, mtu);
    put16(icmp + 2, checksum({icmp, icmp_bytes}));
  }
  return answer;
}

}  // namespace tandem::sim
