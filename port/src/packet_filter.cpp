// SPDX-License-Identifier: BSD-3-Clause
#include "packet_filter.hpp"

#include <linux/if_ether.h>

#include <algorithm>

namespace tandem {
namespace {

constexpr std::uint32_t kAll = 0xffff;  ///< bytes: the whole frame
constexpr std::uint32_t kNothing = 0;
constexpr std::uint32_t kGroupBit = 1;
constexpr std::uint32_t kVlanId = 0x0fff;
constexpr std::uint32_t kFragment = 0x3fff;  ///< more fragments, or an offset
constexpr std::uint32_t kUdp = 17, kIcmpV6 = 58, kHopByHop = 0;

// Offsets in a frame.
constexpr std::uint32_t kType = 12, kIpv4 = ETH_HLEN, kIpv6 = ETH_HLEN;
constexpr std::uint32_t kIpv4Fragment = kIpv4 + 6, kIpv4Protocol = kIpv4 + 9;
constexpr std::uint32_t kIpv6Next = kIpv6 + 6, kIpv6Payload = kIpv6 + 40;
constexpr std::uint32_t kUdpDestination = 2;

/// Two instructions go for each port, and a jump passes over at most 255. With more, the stack looks at all itself.
constexpr std::size_t kMostPorts = 100;

class Program {
 public:
  void load_byte(std::uint32_t at) { add(BPF_LD | BPF_B | BPF_ABS, at); }
  void load_half(std::uint32_t at) { add(BPF_LD | BPF_H | BPF_ABS, at); }
  void load_ancillary(std::uint32_t what) {
    add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(SKF_AD_OFF) + what);
  }
  void load_ipv4_header_bytes() { add(BPF_LDX | BPF_B | BPF_MSH, kIpv4); }
  void load_half_behind_header(std::uint32_t at) { add(BPF_LD | BPF_H | BPF_IND, at); }
  void keep(std::uint32_t bits) { add(BPF_ALU | BPF_AND | BPF_K, bits); }
  void take_if_equal(std::uint32_t value) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    end(kAll);
  }
  void drop_unless_equal(std::uint32_t value) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
    end(kNothing);
  }
  void drop_unless_any(std::uint32_t bits) {
    add(BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0);
    end(kNothing);
  }
  void drop_if_any(std::uint32_t bits) {
    add(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1);
    end(kNothing);
  }
  void end(std::uint32_t bytes) { add(BPF_RET | BPF_K, bytes); }

  /// What is added from here to the end of the block is passed over unless the value is this one.
  [[nodiscard]] std::size_t begin_if_equal(std::uint32_t value) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 0);
    return code_.size();
  }
  void end_block(std::size_t begin) { code_[begin - 1].jf = static_cast<std::uint8_t>(code_.size() - begin); }

  [[nodiscard]] std::vector<sock_filter> take() { return std::move(code_); }

 private:
  void add(unsigned operation, std::uint32_t value, std::uint8_t if_true = 0, std::uint8_t if_false = 0) {
    code_.push_back({static_cast<std::uint16_t>(operation), if_true, if_false, value});
  }
  std::vector<sock_filter> code_;
};

/// The port is in the accumulator.
void judge_port(Program& program, std::span<const std::uint16_t> ports) {
  if (ports.empty() || ports.size() > kMostPorts) return program.end(kAll);
  for (const std::uint16_t port : ports) program.take_if_equal(port);
  program.end(kNothing);
}

}  // namespace

std::vector<sock_filter> packet_filter(std::span<const std::uint16_t> udp_ports, std::uint16_t vlan) {
  Program program;
  program.load_byte(0);
  program.drop_unless_any(kGroupBit);
  // A tag stands beside the frame; of one that is not there the field is zero, as it is where only a priority is given.
  program.load_ancillary(SKF_AD_VLAN_TAG);
  program.keep(kVlanId);
  program.drop_unless_equal(vlan);
  program.load_half(kType);
  program.take_if_equal(ETH_P_ARP);

  const std::size_t ipv4 = program.begin_if_equal(ETH_P_IP);
  program.load_byte(kIpv4Protocol);
  program.drop_unless_equal(kUdp);
  program.load_half(kIpv4Fragment);
  program.drop_if_any(kFragment);
  program.load_ipv4_header_bytes();
  program.load_half_behind_header(kIpv4 + kUdpDestination);
  judge_port(program, udp_ports);
  program.end_block(ipv4);

  program.drop_unless_equal(ETH_P_IPV6);
  program.load_byte(kIpv6Next);
  program.take_if_equal(kIcmpV6);
  // MLD has a router alert in front.
  const std::size_t hop_by_hop = program.begin_if_equal(kHopByHop);
  program.load_byte(kIpv6Payload);
  program.take_if_equal(kIcmpV6);
  program.end(kNothing);
  program.end_block(hop_by_hop);
  program.drop_unless_equal(kUdp);
  program.load_half(kIpv6Payload + kUdpDestination);
  judge_port(program, udp_ports);
  return program.take();
}

std::vector<MacAddress> link_groups(std::span<const IpAddress> addresses) {
  std::vector<MacAddress> groups;
  const auto add = [&groups](const MacAddress& group) {
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
  };
  for (const IpAddress& address : addresses) {
    if (!address.is_v6()) continue;
    add({{0x33, 0x33, 0, 0, 0, 1}});
    add({{0x33, 0x33, 0xff, address.octets[13], address.octets[14], address.octets[15]}});
  }
  return groups;
}

}  // namespace tandem
