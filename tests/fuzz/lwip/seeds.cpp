// SPDX-License-Identifier: BSD-3-Clause
//
// First inputs for lwIP's own fuzz programs, which speak with 172.30.115.84 and know nothing of live connections:
//
//   lwip_seeds one|several|timed DIRECTORY
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "frames/packet.hpp"

namespace {

using namespace tandem;
using namespace tandem::fuzz;

const MacAddress kTheirs{{0x00, 0x23, 0xc1, 0xde, 0xd0, 0x0d}};
const MacAddress kOurs{{0x28, 0x00, 0x00, 0x22, 0x2b, 0x38}};
const IpAddress kStack = *IpAddress::parse("172.30.115.84");
const IpAddress kPeer = *IpAddress::parse("172.30.115.37");
const IpAddress kStack6 = *IpAddress::parse("fe80::223:c1ff:fede:d00d");
const IpAddress kPeer6 = *IpAddress::parse("fe80::1");

Octets packet(const IpAddress& source, const IpAddress& destination, std::uint8_t number, const Octets& payload,
              std::uint8_t hop_limit = 64) {
  IpFields fields;
  fields.source = source;
  fields.destination = destination;
  fields.protocol = number;
  fields.hop_limit = hop_limit;
  return ethernet({kOurs, kTheirs}, source.version == 4 ? ether_type::kIpv4 : ether_type::kIpv6, ip(fields, payload));
}

Octets segment(std::uint16_t from, std::uint16_t to, std::uint32_t seq, std::uint32_t ack, std::uint8_t flags,
               const std::string& text = {}) {
  TcpFields fields;
  fields.source = from;
  fields.destination = to;
  fields.seq = seq;
  fields.ack = ack;
  fields.flags = flags;
  fields.window = 8000;
  if ((flags & tcp_bit::kSyn) != 0) fields.options = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 3, 3, 7, 1};
  fields.payload.assign(text.begin(), text.end());
  return packet(kPeer, kStack, protocol::kTcp, tcp(kPeer, kStack, fields));
}

Octets octets(const std::string& text) { return {text.begin(), text.end()}; }

std::vector<std::vector<Octets>> conversations() {
  const Octets target(kStack6.octets.begin(), kStack6.octets.end());
  Octets prefix_option{3, 4, 64, 0xc0};
  prefix_option.resize(32, 1);
  const Octets dns{0,   0,   1,   0,   0,   1, 0,   0,   0,   0,   0,   0, 8, 'h', 'o', 's',
                   't', 'n', 'a', 'm', 'e', 5, 'l', 'o', 'c', 'a', 'l', 0, 0, 1,   0,   1};
  const Octets snmp{0x30, 0x26, 2, 1, 1,    4,    6,    'p',  'u', 'b', 'l',  'i', 'c', 0xa0, 0x19, 2, 1, 1, 2, 1,
                    0,    2,    1, 0, 0x30, 0x0e, 0x30, 0x0c, 6,   8,   0x2b, 6,   1,   2,    1,    1, 1, 0, 5, 0};
  const Octets syn = segment(4000, 80, 1, 0, tcp_bit::kSyn);
  return {
      {ethernet({kOurs, kTheirs}, ether_type::kArp, arp({1, kOurs, {}, kPeer, kStack}))},
      {ethernet({kOurs, kTheirs}, ether_type::kArp, arp({2, kOurs, kTheirs, kPeer, kStack}))},
      {packet(kPeer, kStack, protocol::kIcmp, icmp(8, 0, 7, Octets(40, 1)))},
      {packet(kPeer6, kStack6, protocol::kIcmp6, icmp6(kPeer6, kStack6, 128, 0, 7, Octets(40, 1)))},
      {packet(kPeer6, kStack6, protocol::kIcmp6, icmp6(kPeer6, kStack6, 135, 0, 0, target), 255)},
      {packet(kPeer6, kStack6, protocol::kIcmp6, icmp6(kPeer6, kStack6, 134, 0, 0x40000708, Octets(8, 0)), 255)},
      {packet(kPeer6, kStack6, protocol::kIcmp6, icmp6(kPeer6, kStack6, 134, 0, 0x40000708, prefix_option), 255)},
      {packet(kPeer, kStack, protocol::kUdp, udp(kPeer, kStack, 4000, 161, snmp))},
      {packet(kPeer, kStack, protocol::kUdp, udp(kPeer, kStack, 5353, 5353, dns))},
      {packet(kPeer, kStack, protocol::kUdp, udp(kPeer, kStack, 53, 53, dns))},
      {packet(kPeer, kStack, protocol::kUdp, udp(kPeer, kStack, 67, 68, Octets(240, 2)))},
      {syn},
      {segment(4000, 5001, 1, 0, tcp_bit::kSyn)},
      {syn, segment(4000, 80, 2, 1, tcp_bit::kAck), segment(4000, 80, 2, 1, tcp_bit::kAck, "GET / HTTP/1.0\r\n\r\n"),
       segment(4000, 80, 20, 1, tcp_bit::kAck | tcp_bit::kFin)},
      {segment(80, 49153, 1, 1, tcp_bit::kSyn | tcp_bit::kAck), segment(80, 49153, 2, 1, tcp_bit::kAck, "answer")},
  };
}

}  // namespace

int main(int argc, char** argv) {
  const std::string kind = argc == 3 ? argv[1] : "";
  if (kind != "one" && kind != "several" && kind != "timed") {
    std::fprintf(stderr, "usage: lwip_seeds one|several|timed DIRECTORY\n");
    return 2;
  }
  int number = 0;
  for (const auto& conversation : conversations()) {
    Octets input;
    for (const Octets& frame : conversation) {
      if (kind == "timed") put32(input, 100);
      if (kind != "one") put16(input, static_cast<std::uint32_t>(frame.size()));
      put(input, frame);
      if (kind == "one") break;
      // Something for the application that is called in between.
      if (kind == "timed") {
        put16(input, 8);
        put(input, octets("answered"));
      }
    }
    std::ofstream file(std::string(argv[2]) + "/seed-" + std::to_string(number++), std::ios::binary);
    file.write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
    if (!file) {
      std::fprintf(stderr, "writing into %s failed; is it a directory that can be written to?\n", argv[2]);
      return 1;
    }
  }
  return 0;
}
