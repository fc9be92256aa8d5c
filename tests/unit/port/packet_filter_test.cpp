// SPDX-License-Identifier: BSD-3-Clause
//
// The filter's verdict on single frames, by the kernel itself: a pair of datagram sockets takes such filters too, and needs no
// privilege. It sees a frame as a packet socket does, from its Ethernet header on.
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "packet_filter.hpp"
#include "unique_fd.hpp"

namespace tandem::test {
namespace {

using Frame = std::vector<std::uint8_t>;

Frame operator+(Frame a, const Frame& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Frame be16(unsigned value) { return {static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)}; }

constexpr unsigned kArp = 0x0806, kIpv4 = 0x0800, kIpv6 = 0x86dd;

Frame to(const Frame& mac, unsigned type) { return mac + Frame{2, 0, 0, 0, 0, 11} + be16(type); }

const Frame kEverybody{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, kGroup6{0x33, 0x33, 0, 0, 0, 1},
    kGroup4{1, 0, 0x5e, 0, 0, 0xfb}, kOne{2, 0, 0, 0, 0, 10};

Frame ipv6(std::uint8_t next) { return Frame{0x60, 0, 0, 0, 0, 24, next, 255} + Frame(32, 0); }
Frame ipv4(std::uint8_t protocol, unsigned fragment = 0, std::uint8_t words = 5) {
  return Frame{static_cast<std::uint8_t>(0x40 | words), 0, 0, 60, 0, 1} + be16(fragment) + Frame{64, protocol} +
         Frame(words * 4u - 10, 0);
}
Frame udp(unsigned port) { return be16(5353) + be16(port) + Frame(4, 0); }
Frame icmpv6(std::uint8_t type) { return Frame{type} + Frame(23, 0); }

class Filter {
 public:
  explicit Filter(const std::vector<std::uint16_t>& ports, std::uint16_t vlan = 0) {
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    in_ = UniqueFd(pair[0]);
    out_ = UniqueFd(pair[1]);
    std::vector<sock_filter> code = packet_filter(ports, vlan);
    const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
    REQUIRE(::setsockopt(out_.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
  }

  /// Bytes that pass; 0: the frame does not.
  [[nodiscard]] std::size_t passes(const Frame& frame) const {
    (void)::send(in_.get(), frame.data(), frame.size(), 0);
    Frame seen(4096);
    const ssize_t bytes = ::recv(out_.get(), seen.data(), seen.size(), 0);
    return bytes < 0 ? 0 : static_cast<std::size_t>(bytes);
  }

 private:
  UniqueFd in_, out_;
};

struct Row {
  const char* name;
  Frame frame;
  bool taken;
};

std::vector<Row> rows() {
  constexpr std::uint8_t kHop = 0, kTcp = 6, kUdp = 17, kFragment = 44, kIcmp6 = 58;
  const Frame router_alert{kIcmp6, 0, 5, 2, 0, 0, 1, 0};
  return {
      {"an ARP broadcast", to(kEverybody, kArp) + Frame(28, 1), true},
      {"ARP to one host, which the steering program has judged", to(kOne, kArp) + Frame(28, 1), false},
      {"neighbour advertisement to all", to(kGroup6, kIpv6) + ipv6(kIcmp6) + icmpv6(136), true},
      {"neighbour solicitation to a group", to({0x33, 0x33, 0xff, 0, 0, 1}, kIpv6) + ipv6(kIcmp6) + icmpv6(135), true},
      {"neighbour advertisement to one host", to(kOne, kIpv6) + ipv6(kIcmp6) + icmpv6(136), false},
      {"MLD query, behind a router alert", to(kGroup6, kIpv6) + ipv6(kHop) + router_alert + icmpv6(130), true},
      {"hop-by-hop options before something else",
       to(kGroup6, kIpv6) + ipv6(kHop) + Frame{kUdp, 0, 5, 2, 0, 0, 1, 0} + udp(68), false},
      {"a fragment", to(kGroup6, kIpv6) + ipv6(kFragment) + Frame(8, 0), false},
      {"UDP to a group, a port of interest", to(kGroup6, kIpv6) + ipv6(kUdp) + udp(68), true},
      {"UDP to a group, another port", to(kGroup6, kIpv6) + ipv6(kUdp) + udp(5353), false},
      {"IPv4 UDP broadcast, a port of interest", to(kEverybody, kIpv4) + ipv4(kUdp) + udp(68), true},
      {"the same behind options", to(kEverybody, kIpv4) + ipv4(kUdp, 0, 15) + udp(68), true},
      {"IPv4 UDP to a group, another port", to(kGroup4, kIpv4) + ipv4(kUdp) + udp(5353), false},
      {"an IPv4 fragment", to(kEverybody, kIpv4) + ipv4(kUdp, 0x2000) + udp(68), false},
      {"a packet that must not be fragmented", to(kEverybody, kIpv4) + ipv4(kUdp, 0x4000) + udp(68), true},
      {"UDP to one host", to(kOne, kIpv4) + ipv4(kUdp) + udp(68), false},
      {"TCP to a group", to(kGroup6, kIpv6) + ipv6(kTcp) + udp(68), false},
      {"TCP broadcast", to(kEverybody, kIpv4) + ipv4(kTcp) + udp(68), false},
      {"spanning tree and the like", to({1, 0x80, 0xc2, 0, 0, 0}, 0x0026) + Frame(38, 0), false},
      {"LLDP", to({1, 0x80, 0xc2, 0, 0, 14}, 0x88cc) + Frame(40, 0), false},
      {"a header that is cut short", to(kGroup6, kIpv6), false},
      {"less than a header", Frame{0xff}, false},
  };
}

}  // namespace

TEST_CASE("the packet socket's filter takes what is sent to groups and can teach our stack, whole") {
  const Filter filter({7, 68});
  for (const Row& row : rows()) {
    INFO(row.name);
    CHECK(filter.passes(row.frame) == (row.taken ? row.frame.size() : 0));
  }
}

TEST_CASE("without ports of interest, and with more of them than a filter can name, all ports are taken") {
  const Frame frame = to(kEverybody, kIpv4) + ipv4(17) + udp(40000);
  CHECK(Filter({}).passes(frame) == frame.size());
  std::vector<std::uint16_t> many;
  for (std::uint16_t port = 1; port <= 100; ++port) many.push_back(port);
  CHECK(Filter(many).passes(frame) == 0);
  CHECK(Filter(many).passes(to(kEverybody, kIpv4) + ipv4(17) + udp(100)) != 0);
  CHECK(Filter(many).passes(to(kGroup6, kIpv6) + ipv6(17) + udp(1)) != 0);
  CHECK(Filter(many).passes(to(kGroup6, kIpv6) + ipv6(58) + icmpv6(136)) != 0);
  many.push_back(101);
  CHECK(Filter(many).passes(frame) == frame.size());
}

TEST_CASE("in a VLAN, frames of none are not taken") {
  const Frame frame = to(kEverybody, kArp) + Frame(28, 1);
  CHECK(Filter({}, 5).passes(frame) == 0);
  CHECK(Filter({}, 0).passes(frame) == frame.size());
}

TEST_CASE("a host is in the groups of all nodes and of each of its IPv6 addresses, once") {
  const IpAddress v4{4, {10, 0, 0, 1}};
  const IpAddress global{6, {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x23, 0x45}};
  const IpAddress beside{6, {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0x23, 0x45}};
  const IpAddress other{6, {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x45, 0x67, 0x89}};
  CHECK(link_groups(std::vector{v4}).empty());
  const std::vector<MacAddress> groups = link_groups(std::vector{v4, global, beside, other});
  CHECK(groups == std::vector<MacAddress>{{{0x33, 0x33, 0, 0, 0, 1}},
                                          {{0x33, 0x33, 0xff, 1, 0x23, 0x45}},
                                          {{0x33, 0x33, 0xff, 0x45, 0x67, 0x89}}});
}

}  // namespace tandem::test
