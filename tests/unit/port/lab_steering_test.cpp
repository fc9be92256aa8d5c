// SPDX-License-Identifier: BSD-3-Clause
//
// The steering program's verdict on single frames, run in the kernel without any traffic (BPF_PROG_TEST_RUN). No socket is
// there, so what is ours is dropped.
#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <catch2/catch.hpp>
#include <vector>

#include "interface.hpp"
#include "lab.hpp"
#include "xdp_program.hpp"

namespace tandem::test {
namespace {

using Frame = std::vector<std::uint8_t>;

Frame joined(std::initializer_list<Frame> pieces) {
  Frame frame;
  for (const Frame& piece : pieces) frame.insert(frame.end(), piece.begin(), piece.end());
  return frame;
}

/// To a group on the link, or to all.
Frame to_group(const Frame& mac, std::uint16_t type) {
  return joined({mac, {2, 0, 0, 0, 0, 11, static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type)}});
}

Frame ethernet(std::uint16_t type) {
  return {2, 0, 0, 0, 0, 10, 2, 0, 0, 0, 0, 11, static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type)};
}

constexpr std::uint32_t kOwned = 0x0a4d0001, kOther = 0x0a4d0003;

Frame u32(std::uint32_t value) {
  return {static_cast<std::uint8_t>(value >> 24), static_cast<std::uint8_t>(value >> 16),
          static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
}

Frame ipv4(std::uint32_t to, std::uint8_t protocol, std::uint16_t fragment = 0, std::uint8_t words = 5) {
  Frame header =
      joined({{static_cast<std::uint8_t>(0x40 | words), 0, 0, 60, 0, 1, static_cast<std::uint8_t>(fragment >> 8),
               static_cast<std::uint8_t>(fragment), 64, protocol, 0, 0},
              u32(0x0a4d0002),
              u32(to)});
  header.resize(words < 5 ? 20u : words * 4u, 1);
  return header;
}

Frame ports(std::uint16_t to) {
  return joined({{0x80, 0}, {static_cast<std::uint8_t>(to >> 8), static_cast<std::uint8_t>(to)}, Frame(16, 0)});
}

Frame arp(std::uint8_t operation, std::uint32_t sender, std::uint32_t target) {
  return joined({{0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 11}, u32(sender), Frame(6, 0), u32(target)});
}

const Frame kOwnedV6{0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
const Frame kOtherV6{0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3};
const Frame kSolicitedNode{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1};
const Frame kAllNodes{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

Frame ipv6(const Frame& to, std::uint8_t next) { return joined({{0x60, 0, 0, 0, 0, 24, next, 64}, kOtherV6, to}); }
Frame icmpv6(std::uint8_t type, const Frame& target) { return joined({{type, 0, 0, 0, 0, 0, 0, 0}, target}); }
Frame extension(std::uint8_t next, std::uint8_t words) { return joined({{next, words}, Frame(6 + words * 8u, 0)}); }

struct Row {
  const char* name;
  Frame frame;
  bool ours;
};

std::vector<Row> rows() {
  const auto v4 = [](const Frame& header, const Frame& rest) { return joined({ethernet(0x0800), header, rest}); };
  const auto v6 = [](const Frame& header, const Frame& rest) { return joined({ethernet(0x86dd), header, rest}); };
  constexpr std::uint8_t kTcp = 6, kUdp = 17, kIcmp = 1, kIcmpV6 = 58, kGre = 47, kHop = 0, kDestination = 60,
                         kFragment = 44;
  return {
      {"TCP to an owned port", v4(ipv4(kOwned, kTcp), ports(179)), true},
      {"TCP to another port", v4(ipv4(kOwned, kTcp), ports(22)), false},
      {"TCP to an owned port of another address", v4(ipv4(kOther, kTcp), ports(179)), false},
      {"TCP behind IP options", v4(ipv4(kOwned, kTcp, 0, 15), ports(179)), true},
      {"TCP behind IP options, another port", v4(ipv4(kOwned, kTcp, 0, 15), ports(22)), false},
      {"UDP to an owned port", v4(ipv4(kOwned, kUdp), ports(65535)), true},
      {"UDP to a port that only TCP owns", v4(ipv4(kOwned, kUdp), ports(179)), false},
      {"ICMP", v4(ipv4(kOwned, kIcmp), Frame(8, 0)), true},
      {"ICMP to another address", v4(ipv4(kOther, kIcmp), Frame(8, 0)), false},
      {"another protocol", v4(ipv4(kOwned, kGre), Frame(8, 0)), false},
      {"first fragment", v4(ipv4(kOwned, kTcp, 0x2000), ports(22)), true},
      {"later fragment", v4(ipv4(kOwned, kTcp, 0x0010), ports(22)), true},
      {"a packet that must not be fragmented is no fragment", v4(ipv4(kOwned, kTcp, 0x4000), ports(22)), false},
      {"fragment to another address", v4(ipv4(kOther, kTcp, 0x2000), ports(179)), false},
      {"a header length that is too small", v4(ipv4(kOwned, kTcp, 0, 4), ports(179)), false},
      {"ARP request for an owned address", joined({ethernet(0x0806), arp(1, 0x0a4d0002, kOwned)}), true},
      {"ARP reply to an owned address", joined({ethernet(0x0806), arp(2, 0x0a4d0002, kOwned)}), true},
      {"ARP request for another address", joined({ethernet(0x0806), arp(1, 0x0a4d0002, kOther)}), false},
      {"broadcast ARP request for an owned address: the kernel's too",
       joined({to_group(Frame(6, 0xff), 0x0806), arp(1, 0x0a4d0002, kOwned)}), false},
      {"neighbour solicitation for an owned address, to its group: the kernel's too",
       joined({to_group({0x33, 0x33, 0xff, 0, 0, 1}, 0x86dd), ipv6(kSolicitedNode, kIcmpV6), icmpv6(135, kOwnedV6)}),
       false},
      {"TCP to an owned port in a broadcast",
       joined({to_group(Frame(6, 0xff), 0x0800), ipv4(kOwned, kTcp), ports(179)}), false},
      {"TCP over IPv6 to an owned port", v6(ipv6(kOwnedV6, kTcp), ports(179)), true},
      {"TCP over IPv6 to another port", v6(ipv6(kOwnedV6, kTcp), ports(22)), false},
      {"TCP over IPv6 to another address", v6(ipv6(kOtherV6, kTcp), ports(179)), false},
      {"TCP behind extension headers",
       v6(ipv6(kOwnedV6, kHop), joined({extension(kDestination, 2), extension(kTcp, 0), ports(179)})), true},
      {"TCP behind extension headers, another port", v6(ipv6(kOwnedV6, kHop), joined({extension(kTcp, 3), ports(22)})),
       false},
      {"fragment over IPv6", v6(ipv6(kOwnedV6, kFragment), Frame(8, 0)), true},
      {"fragment over IPv6 to another address", v6(ipv6(kOtherV6, kFragment), Frame(8, 0)), false},
      {"ICMPv6 echo", v6(ipv6(kOwnedV6, kIcmpV6), icmpv6(128, kOwnedV6)), true},
      {"neighbour solicitation for an owned address", v6(ipv6(kSolicitedNode, kIcmpV6), icmpv6(135, kOwnedV6)), true},
      {"neighbour solicitation for another address", v6(ipv6(kSolicitedNode, kIcmpV6), icmpv6(135, kOtherV6)), false},
      {"unicast solicitation for another address", v6(ipv6(kOwnedV6, kIcmpV6), icmpv6(135, kOtherV6)), false},
      {"neighbour advertisement to an owned address", v6(ipv6(kOwnedV6, kIcmpV6), icmpv6(136, kOtherV6)), true},
      {"neighbour advertisement to all", v6(ipv6(kAllNodes, kIcmpV6), icmpv6(136, kOtherV6)), false},
      {"router advertisement", v6(ipv6(kAllNodes, kIcmpV6), icmpv6(134, kOtherV6)), false},
      {"TCP to a multicast address", v6(ipv6(kSolicitedNode, kTcp), ports(179)), false},
      {"VLAN-tagged TCP to an owned port", joined({ethernet(0x8100), {0, 5, 8, 0}, ipv4(kOwned, kTcp), ports(179)}),
       false},
      {"another ethertype", joined({ethernet(0x88cc), Frame(40, 0)}), false},
  };
}

/// XDP_DROP or XDP_PASS.
std::uint32_t verdict(int program, const Frame& frame) {
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
              .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = 1);
  REQUIRE(bpf_prog_test_run_opts(program, &options) == 0);
  return options.retval;
}

UniqueFd program_of(const XdpProgram& steering) {
  bpf_link_info info{};
  std::uint32_t length = sizeof info;
  REQUIRE(bpf_obj_get_info_by_fd(steering.link_fd(), &info, &length) == 0);
  return UniqueFd(bpf_prog_get_fd_by_id(info.prog_id));
}

TEST_CASE("the steering program takes exactly what is ours") {
  if (!lab_possible()) return;
  const Lab lab(true);
  Steering steering;
  steering.addresses = {IpAddress{4, {10, 77, 0, 1}},
                        IpAddress{6, {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};
  steering.tcp_ports = {7, 179};
  steering.udp_ports = {65535};
  const XdpProgram xdp(Lab::kOurs, interface_info(Lab::kOurs), 0, steering, false);
  const UniqueFd program = program_of(xdp);
  const XdpCounters before = xdp.counters();
  std::uint64_t ours = 0;
  for (const Row& row : rows()) {
    INFO(row.name);
    CHECK(verdict(program.get(), row.frame) == static_cast<std::uint32_t>(row.ours ? XDP_DROP : XDP_PASS));
    ours += row.ours ? 1 : 0;
  }
  CHECK(xdp.counters().no_socket - before.no_socket >= ours);
  CHECK(xdp.counters().passed > before.passed);
}

TEST_CASE("the steering program leaves frames that are too short to tell to the kernel") {
  if (!lab_possible()) return;
  const Lab lab(true);
  Steering steering;
  steering.addresses = {IpAddress{4, {10, 77, 0, 1}},
                        IpAddress{6, {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};
  steering.tcp_ports = {179};
  steering.udp_ports = {65535};
  const XdpProgram xdp(Lab::kOurs, interface_info(Lab::kOurs), 0, steering, false);
  const UniqueFd program = program_of(xdp);
  for (const Row& row : rows()) {
    // The test runner takes no frame without an Ethernet header.
    for (std::size_t size = 14; size < row.frame.size(); ++size) {
      const Frame cut(row.frame.begin(), row.frame.begin() + static_cast<std::ptrdiff_t>(size));
      INFO(row.name << " cut to " << size);
      const std::uint32_t got = verdict(program.get(), cut);
      if (!row.ours) CHECK(got == XDP_PASS);
      if (size < 14 + 20) CHECK(got == XDP_PASS);
    }
  }
  CHECK(xdp.counters().truncated > 0);
}

TEST_CASE("in a VLAN its frames are ours; in none, those that have no tag or a priority alone") {
  if (!lab_possible()) return;
  const Lab lab(true);
  for (const std::uint16_t vlan : {std::uint16_t{0}, std::uint16_t{0x105}}) {
    Steering steering;
    steering.addresses = {IpAddress{4, {10, 77, 0, 1}},
                          IpAddress{6, {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};
    steering.tcp_ports = {179};
    steering.udp_ports = {65535};
    const XdpProgram xdp(Lab::kOurs, interface_info(Lab::kOurs), 0, steering, false, 2'000'000'000, {0xffff, vlan});
    const UniqueFd program = program_of(xdp);
    std::uint64_t others = 0;
    const std::uint64_t before = xdp.counters().other_vlan;
    for (const Row& row : rows()) {
      if (row.frame[12] == 0x81) continue;
      INFO(row.name << " in VLAN " << vlan);
      CHECK(verdict(program.get(), row.frame) ==
            static_cast<std::uint32_t>(row.ours && vlan == 0 ? XDP_DROP : XDP_PASS));
      others += row.ours && vlan != 0 ? 1 : 0;
      for (const std::uint16_t id : {0, 1, 0x105}) {
        INFO("tagged with " << id);
        Frame frame = row.frame;
        frame.insert(frame.begin() + 12,
                     {0x81, 0, static_cast<std::uint8_t>(0xe0 | id >> 8), static_cast<std::uint8_t>(id)});
        const bool ours = row.ours && id == vlan;
        CHECK(verdict(program.get(), frame) == static_cast<std::uint32_t>(ours ? XDP_DROP : XDP_PASS));
        others += row.ours && !ours ? 1 : 0;
      }
    }
    CHECK(xdp.counters().other_vlan - before == others);
  }
}

TEST_CASE("a frame that is larger than the socket's is dropped and counted, and what is not ours is left alone") {
  if (!lab_possible()) return;
  const Lab lab(true);
  Steering steering;
  steering.addresses = {IpAddress{4, {10, 77, 0, 1}}};
  const XdpProgram xdp(Lab::kOurs, interface_info(Lab::kOurs), 0, steering, false, 2'000'000'000, {1000, 0});
  const UniqueFd program = program_of(xdp);
  const auto frame = [](std::uint32_t to, std::size_t bytes) {
    Frame made = joined({ethernet(0x0800), ipv4(to, 6), ports(179)});
    made.resize(bytes, 0);
    return made;
  };
  CHECK(verdict(program.get(), frame(kOwned, 1000)) == XDP_DROP);  // no socket is there
  CHECK(xdp.counters().too_large == 0);
  CHECK(verdict(program.get(), frame(kOwned, 1001)) == XDP_DROP);
  CHECK(xdp.counters().too_large == 1);
  CHECK(verdict(program.get(), frame(kOther, 1001)) == XDP_PASS);
  CHECK(xdp.counters().too_large == 1);
}

TEST_CASE("without a list of ports every port of the owned addresses is ours") {
  if (!lab_possible()) return;
  const Lab lab(true);
  Steering steering;
  steering.addresses = {IpAddress{4, {10, 77, 0, 1}}};
  const XdpProgram xdp(Lab::kOurs, interface_info(Lab::kOurs), 0, steering, false);
  const UniqueFd program = program_of(xdp);
  for (const std::uint8_t protocol : {6, 17}) {
    CHECK(verdict(program.get(), joined({ethernet(0x0800), ipv4(kOwned, protocol), ports(12345)})) == XDP_DROP);
    CHECK(verdict(program.get(), joined({ethernet(0x0800), ipv4(kOther, protocol), ports(12345)})) == XDP_PASS);
  }
}

}  // namespace
}  // namespace tandem::test
