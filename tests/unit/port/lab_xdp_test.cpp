// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>

#include "interface.hpp"
#include "lab_takeover.hpp"
#include "tandem/loop.hpp"
#include "unique_fd.hpp"

namespace tandem::test {
namespace {

constexpr std::uint64_t kBound = 10'000'000'000;

DeviceOptions xdp_options(const std::string& suffix) {
  DeviceOptions options;
  options.spec = DeviceSpec::parse(std::string("xdp:") + Lab::kOurs + suffix);
  options.steering.addresses = {IpAddress{4, {10, 77, 0, 1}}};
  options.steering.udp_ports = {7};
  options.steering.tcp_ports = {7};
  return options;
}

UniqueFd udp_socket_at_peer(const Lab& lab, std::uint16_t port) {
  int sockets[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) == 0);
  // A socket stays in the namespace that it was made in; a child makes it there and passes it back.
  const pid_t child = lab.fork_at_peer([&] {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(0x0a4d0001);
    if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return 1;
    char byte = 0;
    iovec piece{&byte, 1};
    std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return ::sendmsg(sockets[1], &message, 0) == 1 ? 0 : 2;
  });
  REQUIRE(wait_exit(child, kBound) == 0);
  char byte = 0;
  iovec piece{&byte, 1};
  std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  REQUIRE(::recvmsg(sockets[0], &message, MSG_CMSG_CLOEXEC) == 1);
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  ::close(sockets[0]);
  ::close(sockets[1]);
  return UniqueFd(fd);
}

/// Waits for a frame and gives its UDP destination port; 0 when none came.
std::uint16_t next_udp_port(Device& device) {
  const std::uint64_t bound = monotonic_ns() + kBound;
  while (monotonic_ns() < bound) {
    std::array<RxFrame, 1> frame;
    if (device.rx_peek(frame) == 0) continue;
    const auto bytes = frame[0].bytes;
    const std::uint16_t port = bytes.size() >= 42 && bytes[12] == 8 && bytes[13] == 0
                                   ? static_cast<std::uint16_t>(bytes[36] << 8 | bytes[37])
                                   : 0;
    device.rx_done(frame[0].cookie);
    device.rx_release();
    device.refill();
    if (port != 0) return port;
  }
  return 0;
}

void add_neighbour(const Lab& lab) {
  REQUIRE(lab.run_at_peer(std::string("ip neigh replace 10.77.0.1 lladdr 02:00:00:00:00:0a nud permanent dev ") +
                          Lab::kPeers) == 0);
}

TEST_CASE("AF_XDP opens in each mode that veth has and says which it got") {
  if (!lab_possible()) return;
  const Lab lab(true);
  add_neighbour(lab);
  const UniqueFd socket = udp_socket_at_peer(lab, 7);
  for (const auto& [suffix, mode] :
       {std::pair{"", "native copy"}, {",mode=native", "native copy"}, {",mode=generic", "generic copy"}}) {
    INFO(suffix);
    const auto device = open_device(xdp_options(suffix));
    CHECK_THAT(device->description(), Catch::Contains(mode) && Catch::Contains("need_wakeup"));
    CHECK(device->warning().empty());
    CHECK(device->mac() == MacAddress{{2, 0, 0, 0, 0, 0x0a}});
    CHECK(device->mtu() == 1500);
    CHECK(device->adoption_is_exact());
    REQUIRE(::send(socket.get(), "hello, stack", 12, 0) == 12);
    CHECK(next_udp_port(*device) == 7);
    const FrameCensus census = device->census();
    CHECK(census.sum() == census.total);
    CHECK(census.duplicated == 0);
    CHECK(device->statistics().rx_frames >= 1);
  }
}

TEST_CASE("what is not ours still reaches the kernel while AF_XDP has what is") {
  if (!lab_possible()) return;
  const Lab lab(true);
  REQUIRE(Lab::run(std::string("ip addr add 10.77.0.3/24 dev ") + Lab::kOurs) == 0);
  add_neighbour(lab);
  for (const char* suffix : {",mode=native", ",mode=generic"}) {
    INFO(suffix);
    const auto device = open_device(xdp_options(suffix));
    CHECK(lab.run_at_peer("ping -n -c 2 -i 0.01 -W 5 10.77.0.3 >/dev/null") == 0);
    const UniqueFd other = udp_socket_at_peer(lab, 9), ours = udp_socket_at_peer(lab, 7);
    REQUIRE(::send(other.get(), "not for us", 10, 0) == 10);
    REQUIRE(::send(ours.get(), "for us", 6, 0) == 6);
    CHECK(next_udp_port(*device) == 7);  // and the other, sent before, was not shown
  }
}

TEST_CASE("while no socket is there, what is ours is dropped and the kernel does not answer it") {
  if (!lab_possible()) return;
  const Lab lab(true);
  add_neighbour(lab);
  // The kernel has the address as well: it would answer if it saw anything.
  REQUIRE(Lab::run(std::string("ip addr add 10.77.0.1/24 dev ") + Lab::kOurs) == 0);
  // ARP answers to an owned address are ours, so the kernel gets its neighbour by hand.
  REQUIRE(Lab::run(std::string("ip neigh replace 10.77.0.2 lladdr 02:00:00:00:00:0b nud permanent dev ") +
                   Lab::kOurs) == 0);
  auto device = open_device(xdp_options(",mode=native"));
  // Another holder of program and counters, as a twin is; the socket goes with the device.
  UniqueFd link, counters;
  for (const auto& descriptor : device->descriptors()) {
    if (descriptor.name == "link") link = UniqueFd::duplicate(descriptor.fd);
    if (descriptor.name == "counters") counters = UniqueFd::duplicate(descriptor.fd);
  }
  const UniqueFd ours = udp_socket_at_peer(lab, 7), other = udp_socket_at_peer(lab, 9);
  device.reset();
  REQUIRE(::send(ours.get(), "x", 1, 0) == 1);
  // A closed port of the kernel's answers with an ICMP error; it comes for the port that is not ours, sent later, and
  // never for ours.
  REQUIRE(::send(other.get(), "x", 1, 0) == 1);
  const std::uint64_t bound = monotonic_ns() + kBound;
  char byte = 0;
  while (::recv(other.get(), &byte, 1, 0) >= 0 || errno != ECONNREFUSED) REQUIRE(monotonic_ns() < bound);
  CHECK(::recv(ours.get(), &byte, 1, 0) < 0);
  CHECK(errno == EAGAIN);
  link.reset();
  // With the program gone too, everything is the kernel's.
  const std::uint64_t second = monotonic_ns() + kBound;
  bool refused = false;
  while (!refused && monotonic_ns() < second) {
    refused = ::send(ours.get(), "x", 1, 0) < 0 && errno == ECONNREFUSED;
    if (!refused) refused = ::recv(ours.get(), &byte, 1, 0) < 0 && errno == ECONNREFUSED;
  }
  CHECK(refused);
}

TEST_CASE("what keeps AF_XDP from opening is told with what to do") {
  if (!lab_possible()) return;
  const Lab lab(true);
  const auto kind_of = [](const DeviceOptions& options, const char* text) {
    try {
      open_device(options);
    } catch (const DeviceError& error) {
      CHECK_THAT(error.what(), Catch::Contains(text));
      return static_cast<int>(error.kind());
    }
    return -1;
  };
  using Kind = DeviceError::Kind;
  CHECK(kind_of(xdp_options(",queue=1"), "no queue 1") == static_cast<int>(Kind::bad_option));
  CHECK(kind_of(xdp_options(",mode=zerocopy"), "zero copy") == static_cast<int>(Kind::unsupported));
  DeviceOptions options = xdp_options("");
  options.frames = 1000;
  CHECK(kind_of(options, "power of two") == static_cast<int>(Kind::bad_option));
  options = xdp_options("");
  options.spec.interface = "nosuch0";
  CHECK(kind_of(options, "ip link") == static_cast<int>(Kind::no_interface));
  {
    const auto device = open_device(xdp_options(""));
    CHECK(kind_of(xdp_options(""), "another Tandem process") == static_cast<int>(Kind::busy));
  }
  REQUIRE(Lab::run(std::string("ip link set ") + Lab::kOurs + " mtu 9300") == 0);
  CHECK(kind_of(xdp_options(""), "MTU") == static_cast<int>(Kind::unsupported));
  REQUIRE(Lab::run(std::string("ip link set ") + Lab::kOurs + " mtu 1500 down") == 0);
  CHECK(kind_of(xdp_options(""), "is down") == static_cast<int>(Kind::no_interface));
}

TEST_CASE("a program of somebody else's on the interface is named and left alone") {
  if (!lab_possible()) return;
  const Lab lab(true);
  // r0 = XDP_PASS; exit
  const std::array<bpf_insn, 2> pass{
      {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
  const UniqueFd foreign(bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign", "BSD", pass.data(), pass.size(), nullptr));
  REQUIRE(foreign.valid());
  const int interface = interface_info(Lab::kOurs).index;
  for (const std::uint32_t mode : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
    REQUIRE(bpf_xdp_attach(interface, foreign.get(), mode, nullptr) == 0);
    try {
      open_device(xdp_options(""));
      FAIL("it opened");
    } catch (const DeviceError& error) {
      CHECK(error.kind() == DeviceError::Kind::busy);
      CHECK_THAT(error.what(), Catch::Contains("foreign") && Catch::Contains("xdp off"));
    }
    std::uint32_t attached = 0;
    REQUIRE(bpf_xdp_query_id(interface, static_cast<int>(mode), &attached) == 0);
    CHECK(attached != 0);
    REQUIRE(bpf_xdp_detach(interface, mode, nullptr) == 0);
  }
}

TEST_CASE("a card that takes VLAN tags off is refused for a VLAN, with what to do") {
  if (!lab_possible()) return;
  const Lab lab(true);
  const DeviceOptions options = xdp_options(",vlan=100");
  CHECK_THROWS_WITH(open_device(options),
                    Catch::Contains("`ethtool -K lab0 rxvlan off`") && Catch::Contains("`ethtool -K PEER txvlan off`"));
  REQUIRE(Lab::run("ethtool -K lab0 rxvlan off") == 0);
  CHECK_NOTHROW(open_device(options));
}

TEST_CASE("an interface with several queues opens with a warning that says what to do") {
  if (!lab_possible()) return;
  const Lab lab(false);
  REQUIRE(
      Lab::run("ip link add many0 numrxqueues 2 numtxqueues 2 type veth peer name many1 numrxqueues 2 numtxqueues 2") ==
      0);
  REQUIRE(Lab::run("ethtool -L many0 rx 2 tx 2") == 0);
  REQUIRE(Lab::run("ip link set many0 up && ip link set many1 up") == 0);
  DeviceOptions options = xdp_options("");
  options.spec.interface = "many0";
  const auto device = open_device(options);
  CHECK_THAT(device->warning(), Catch::Contains("2 queues") && Catch::Contains("ethtool -L many0"));
}

void require_exact(const ChainResult& result, unsigned kills) {
  CAPTURE(result.kills, result.sent, result.answered, result.doubled, result.log_missing, result.log_doubled,
          result.adopted_packets);
  const FrameCensus& census = result.census;
  CAPTURE(census.total, census.free, census.fill, census.receiving, census.held, census.staged, census.transmitting,
          census.missing, census.duplicated);
  CHECK(result.finished);
  CHECK(result.kills == kills);
  CHECK(result.answered == result.sent);
  CHECK(result.doubled == 0);
  CHECK(result.log_missing == 0);
  CHECK(result.log_doubled == 0);
  CHECK(census.total == 8192);
  CHECK(census.sum() == census.total);
  CHECK(census.duplicated == 0);
  CHECK(census.held + census.staged + census.transmitting + census.missing == 0);
}

TEST_CASE("AF_XDP owners are killed again and again: no packet is lost or doubled, no frame leaks") {
  if (!lab_possible()) return;
  constexpr unsigned kKills = 50;
  for (const char* suffix : {",mode=native", ",mode=generic"}) {
    INFO(suffix);
    const Lab lab(true);
    add_neighbour(lab);
    ChainOptions options;
    options.device = xdp_options(suffix);
    options.kills = kKills;
    options.packets = 20'000;
    require_exact(run_chain(lab, true, options), kKills);
  }
}

}  // namespace
}  // namespace tandem::test
