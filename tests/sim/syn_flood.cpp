// SPDX-License-Identifier: BSD-3-Clause
//
// SYNs by the dozen from a host that opens nothing: it is on the link, as ARP and neighbour discovery say, and answers no SYN-ACK.
// What others say meanwhile has to go on as if it were not there, and no more half-open connections are kept than may be, before a
// takeover and behind it.
#include <algorithm>

#include "checks/wire_judge.hpp"
#include "tandem/node.hpp"
#include "tandem/stack.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

constexpr std::size_t kEthernet = 14, kTcp = 20, kProtocolTcp = 6;
constexpr std::uint8_t kFloodHost = 50;
/// Each from a port of its own.
constexpr std::uint64_t kFirstPort = 1024, kMostSyns = 3000;

void put(std::uint8_t* at, std::uint64_t value, std::size_t octets) {
  while (octets-- > 0) {
    at[octets] = static_cast<std::uint8_t>(value);
    value >>= 8;
  }
}

/// RFC 1071, over an even number of octets.
std::uint16_t checksum(Bytes bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

std::size_t octets_of(const IpAddress& address) { return address.is_v6() ? 16 : 4; }
std::size_t header_of(const IpAddress& address) { return address.is_v6() ? 40 : 20; }

std::vector<std::uint8_t> syn(const IpAddress& from, const IpAddress& to, std::uint16_t port, std::uint16_t to_port,
                              std::uint32_t seq) {
  const std::size_t ip = header_of(from), address = octets_of(from);
  std::vector<std::uint8_t> frame(kEthernet + ip + kTcp);
  std::uint8_t* const header = frame.data() + kEthernet;
  std::uint8_t* const tcp = header + ip;
  put(frame.data() + 12, from.is_v6() ? 0x86dd : 0x0800, 2);
  std::uint8_t* const ends = header + ip - 2 * address;
  std::copy_n(from.octets.begin(), address, ends);
  std::copy_n(to.octets.begin(), address, ends + address);
  if (from.is_v6()) {
    put(header, 0x60000000, 4);
    put(header + 4, kTcp, 2);
    header[6] = kProtocolTcp;
    header[7] = 64;
  } else {
    header[0] = 0x45;
    put(header + 2, ip + kTcp, 2);
    header[8] = 64;
    header[9] = kProtocolTcp;
    put(header + 10, checksum({header, ip}), 2);
  }
  put(tcp, port, 2);
  put(tcp + 2, to_port, 2);
  put(tcp + 4, seq, 4);
  tcp[12] = kTcp / 4 << 4;
  tcp[13] = Packet::kSyn;
  put(tcp + 14, 8192, 2);
  const auto pseudo = static_cast<std::uint32_t>(static_cast<std::uint16_t>(~checksum({ends, 2 * address})));
  put(tcp + 16, checksum({tcp, kTcp}, pseudo + kProtocolTcp + kTcp), 2);
  return frame;
}

}  // namespace

IpPrefix World::stranger() const { return address_of(setup_.v6, kFloodHost); }

void World::flood() {
  const IpAddress from = stranger().address, to = address_of(setup_.v6, 1).address;
  const std::size_t count = script_.between(1, setup_.nic_frames / 8);
  for (std::size_t i = 0; i < count && flooded_ < kMostSyns; ++i) {
    const auto port = static_cast<std::uint16_t>(kFirstPort + flooded_++);
    auto frame =
        syn(from, to, port, script_.one_in(2) ? kStreamPort : kNotePort, static_cast<std::uint32_t>(script_.next()));
    const MacAddress ours = our_mac(), theirs = peer_->mac();
    std::copy(ours.octets.begin(), ours.octets.end(), frame.begin());
    std::copy(theirs.octets.begin(), theirs.octets.end(), frame.begin() + ours.octets.size());
    wire_judge_->sent(frame);
    link_->send(Direction::from_peer, frame);
  }
}

bool World::is_for_stranger(Bytes frame) const {
  if (!setup_.syn_flood || parse_packet(frame).kind != Packet::Kind::tcp) return false;
  const IpAddress address = stranger().address;
  const std::size_t octets = octets_of(address);
  return std::equal(address.octets.begin(), address.octets.begin() + octets,
                    frame.begin() + kEthernet + header_of(address) - octets);
}

void World::check_half_open(Node& node) {
  const StackStatistics& now = node.stack().statistics();
  // What ends a TIME-WAIT gets no cookie, whose number could not lie beyond the old ones, and each of these ports had a connection.
  const std::size_t most = StackLimits{}.half_open + (setup_.ports_again ? kPortsAgain : 0);
  if (now.half_open > most)
    violation("half-open connections", std::to_string(now.half_open) + " are kept, more than " + std::to_string(most));
}

}  // namespace tandem::sim
