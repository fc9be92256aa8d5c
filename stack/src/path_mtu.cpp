// SPDX-License-Identifier: BSD-3-Clause
//
// Path MTU for connections that live (RFC 1191, RFC 8201): a router says that a packet of ours was too large for the link behind
// it. Believed only with the tuple of a connection and a sequence number that is on its way (RFC 5927 section 7.2).
#include <algorithm>
#include <cstring>

#include "lwip.hpp"
#include "stack_impl.hpp"

namespace tandem {

namespace {

constexpr std::size_t kEthernetHeader = 14;
constexpr std::size_t kIpv4Header = 20;
constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kIcmpHeader = 8;
constexpr std::size_t kPortsAndSeq = 8;
constexpr std::uint8_t kTcp = 6;
/// Nobody's link is narrower; a smaller number is a mistake or an attack (RFC 8201 section 4; Linux' min_pmtu).
constexpr std::uint32_t kLeastV4 = 552;
constexpr std::uint32_t kLeastV6 = 1280;

std::uint32_t be16(const std::uint8_t* at) { return std::uint32_t{at[0]} << 8 | at[1]; }
std::uint32_t be32(const std::uint8_t* at) { return be16(at) << 16 | be16(at + 2); }

IpAddress address_at(const std::uint8_t* at, std::uint8_t version) {
  IpAddress address = IpAddress::any(version);
  std::memcpy(address.octets.data(), at, address.bytes().size());
  return address;
}

}  // namespace

void Stack::Impl::packet_too_big(Bytes frame, bool v6) {
  const std::size_t outer = v6                                    ? kIpv6Header
                            : kEthernetHeader + 20 > frame.size() ? 0
                                                                  : (frame[kEthernetHeader] & 15U) * 4U;
  const std::size_t inner = v6 ? kIpv6Header : kIpv4Header;
  const std::size_t icmp_at = kEthernetHeader + outer;
  const std::size_t inner_at = icmp_at + kIcmpHeader;
  if (outer < kIpv4Header || frame.size() < inner_at + inner + kPortsAndSeq) {
    return;
  }
  const std::uint8_t* const icmp = frame.data() + icmp_at;
  const std::uint8_t* const ip = frame.data() + inner_at;
  const bool is_it = v6 ? icmp[0] == ICMP6_TYPE_PTB && ip[0] >> 4 == 6 && ip[6] == kTcp
                        : icmp[0] == ICMP_DUR && icmp[1] == ICMP_DUR_FRAG && ip[0] == 0x45 && ip[9] == kTcp;
  if (!is_it) {
    return;
  }
  const std::uint8_t version = v6 ? 6 : 4;
  const std::uint8_t* const tcp = ip + inner;
  const std::size_t address_bytes = v6 ? 16 : 4;
  const std::uint8_t* const source = ip + (v6 ? 8 : 12);
  const auto found =
      by_tuple.find({{address_at(source, version), static_cast<std::uint16_t>(be16(tcp))},
                     {address_at(source + address_bytes, version), static_cast<std::uint16_t>(be16(tcp + 2))}});
  if (found == by_tuple.end() || found->second->pcb == nullptr) {
    return;
  }
  const tcp_pcb& pcb = *found->second->pcb;
  const std::uint32_t seq = be32(tcp + 4);
  if (seq_before(seq, pcb.lastack) || !seq_before(seq, pcb.snd_nxt)) {
    return;
  }
  const std::uint32_t said = v6 ? be32(icmp + 4) : be16(icmp + 6);
  narrow(*found->second, std::max(said, v6 ? kLeastV6 : kLeastV4));
}

}  // namespace tandem
