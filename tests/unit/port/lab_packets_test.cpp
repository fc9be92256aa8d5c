// SPDX-License-Identifier: BSD-3-Clause
//
// The packet socket beside an AF_XDP device, with a real kernel: copies come once, through the device, and over an owner's death.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <optional>
#include <vector>

#include "interface.hpp"
#include "lab.hpp"
#include "packet_socket.hpp"
#include "tandem/loop.hpp"

namespace tandem::test {
namespace {

constexpr std::uint64_t kBound = 10'000'000'000;
constexpr std::size_t kNumberAt = 41;  ///< the last octet of an ARP packet's target

DeviceOptions xdp_options() {
  DeviceOptions options;
  options.spec = DeviceSpec::parse(std::string("xdp:") + Lab::kOurs);
  options.steering.addresses = {IpAddress{4, {10, 77, 0, 1}},
                                IpAddress{6, {0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56}}};
  options.steering.udp_ports = {7};
  return options;
}

/// ARP announcements of the peer's, told apart by their last octet; the first octet says to whom they go. `tag`: of a VLAN.
void announce(const Lab& lab, std::uint8_t first, unsigned count, std::uint8_t to = 0xff,
              std::optional<std::uint8_t> tag = {}) {
  const pid_t child = lab.fork_at_peer([&] {
    const int fd = ::socket(AF_PACKET, SOCK_RAW, 0);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(::if_nametoindex(Lab::kPeers));
    for (unsigned i = 0; i < count; ++i) {
      std::vector<std::uint8_t> frame{to, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 11};
      if (tag) frame.insert(frame.end(), {0x81, 0, 0, *tag});
      frame.insert(frame.end(), {8,  6,  0,  1, 8,  0, 6, 4, 0, 1, 2, 0,  0,  0, 0,
                                 11, 10, 77, 0, 99, 0, 0, 0, 0, 0, 0, 10, 77, 0, static_cast<std::uint8_t>(first + i)});
      frame.resize(60);
      if (::sendto(fd, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
        return 1;
    }
    return 0;
  });
  REQUIRE(wait_exit(child, kBound) == 0);
}

/// The other end's kernel has things of its own to say, at times of its own.
bool is_announcement(const RxFrame& frame) {
  return frame.bytes.size() > kNumberAt && frame.bytes[12] == 8 && frame.bytes[13] == 6;
}

/// The numbers of the announcements that are shown, until `last` is among them; `each` is called behind each batch. `first_place`:
/// where the first of them came in.
std::vector<unsigned> numbers(Device& device, std::uint8_t last, const std::function<void()>& each,
                              FramePlace* first_place = nullptr) {
  std::vector<unsigned> seen;
  const std::uint64_t bound = monotonic_ns() + kBound;
  while (monotonic_ns() < bound && (seen.empty() || seen.back() != last)) {
    std::array<RxFrame, 64> frames;
    const std::size_t count = device.rx_peek(frames);
    for (const RxFrame& frame : std::span(frames).first(count)) {
      if (is_announcement(frame)) {
        if (seen.empty() && first_place != nullptr) *first_place = frame.place;
        seen.push_back(frame.bytes[kNumberAt]);
      }
      // The stack may write into what it is given.
      std::fill(frame.bytes.begin(), frame.bytes.end(), 0);
      device.rx_done(frame.cookie);
    }
    each();
  }
  return seen;
}

void turn(Device& device) {
  device.rx_release();
  device.refill();
}

std::vector<unsigned> counted(unsigned first, unsigned count) {
  std::vector<unsigned> list;
  for (unsigned i = 0; i < count; ++i) list.push_back(first + i);
  return list;
}

std::unique_ptr<Device> twin_of(const Device& device) {
  return attach_device(xdp_options(), device.adoption_info(), device.descriptors());
}

}  // namespace

TEST_CASE("AF_XDP shows what is sent to groups once, in order, so many a turn") {
  if (!lab_possible()) return;
  const Lab lab(true);
  const auto device = open_device(xdp_options());
  CHECK_FALSE(device->rx_ready());
  announce(lab, 1, 100);
  std::size_t most = 0;
  std::array<RxFrame, 64> frames;
  const std::uint64_t bound = monotonic_ns() + kBound;
  while (!device->rx_ready() && monotonic_ns() < bound) {
  }
  REQUIRE(device->rx_ready());
  most = device->rx_peek(frames);
  CHECK(most <= PacketSocket::kPerTurn);
  // Within the turn there is no more, however often it is asked for.
  std::size_t more = most;
  for (int i = 0; i < 10; ++i) more += device->rx_peek(std::span(frames).subspan(more));
  CHECK(more <= PacketSocket::kPerTurn);
  std::vector<unsigned> seen;
  for (const RxFrame& frame : std::span(frames).first(more)) {
    if (is_announcement(frame)) seen.push_back(frame.bytes[kNumberAt]);
    device->rx_done(frame.cookie);
  }
  turn(*device);
  for (const unsigned number : numbers(*device, 100, [&] { turn(*device); })) seen.push_back(number);
  CHECK(seen == counted(1, 100));
  CHECK_FALSE(device->rx_ready());
  // More than the ring has slots: their places are counted on.
  FramePlace place;
  for (unsigned times = 2; times < 5; ++times) {
    announce(lab, 1, 100);
    CHECK(numbers(
              *device, 100, [&] { turn(*device); }, &place) == counted(1, 100));
    CHECK(place.source == kPacketSource);
    CHECK(place.index >= (times - 1) * 100);
  }
  CHECK(device->census().sum() == device->census().total);
}

TEST_CASE("AF_XDP takes what is sent to one host from the ring alone") {
  if (!lab_possible()) return;
  const Lab lab(true);
  const auto device = open_device(xdp_options());
  // To everybody, to one host, to everybody, all for an address of ours.
  announce(lab, 1, 1, 0xff);
  announce(lab, 1, 1, 0xfe);
  announce(lab, 1, 1, 0xff);
  announce(lab, 2, 1, 0xff);
  CHECK(numbers(*device, 2, [&] { turn(*device); }) == std::vector<unsigned>{1, 1, 1, 2});
  CHECK(device->statistics().rx_frames == 1);
}

TEST_CASE("what an owner had not given back is shown to who takes over, and nothing else twice") {
  if (!lab_possible()) return;
  const Lab lab(true);
  auto device = open_device(xdp_options());
  auto twin = twin_of(*device);
  for (unsigned round = 0; round < 40; ++round) {
    const auto first = static_cast<std::uint8_t>(1 + round * 6);
    announce(lab, first, 3);
    CHECK(numbers(*device, static_cast<std::uint8_t>(first + 2), [&] { turn(*device); }) == counted(first, 3));
    announce(lab, static_cast<std::uint8_t>(first + 3), 3);
    // Shown, dealt with, and never published: the owner dies.
    const std::uint64_t bound = monotonic_ns() + kBound;
    std::optional<FramePlace> shown;
    while (!shown && monotonic_ns() < bound) {
      std::array<RxFrame, 2> frames;
      for (const RxFrame& frame : std::span(frames).first(device->rx_peek(frames))) {
        if (!is_announcement(frame)) continue;
        if (!shown) shown = frame.place;
        frame.bytes[kNumberAt] = 0;
      }
    }
    REQUIRE(shown);
    const FramePlace place = *shown;
    CHECK(place.source == kPacketSource);
    CHECK(place.index >= round * 6 + 3);
    device.reset();
    twin->adopt(nullptr);
    device = std::move(twin);
    twin = twin_of(*device);
    FramePlace again;
    CHECK(numbers(
              *device, static_cast<std::uint8_t>(first + 5), [&] { turn(*device); }, &again) == counted(first + 3, 3));
    CHECK(again == place);
    CHECK_FALSE(device->rx_ready());
  }
}

TEST_CASE("memberships of the interface are held by whoever has the device's descriptors") {
  if (!lab_possible()) return;
  const Lab lab(true);
  const std::string joined = std::string("bridge fdb show dev ") + Lab::kOurs + " | grep -q 33:33:ff:12:34:56";
  CHECK(Lab::run(joined) != 0);
  auto device = open_device(xdp_options());
  CHECK(Lab::run(joined) == 0);
  auto twin = twin_of(*device);
  device.reset();
  CHECK(Lab::run(joined) == 0);
  twin->adopt(nullptr);
  twin.reset();
  CHECK(Lab::run(joined) != 0);
}

TEST_CASE("an interface that goes down leaves nothing behind that would keep the loop awake") {
  if (!lab_possible()) return;
  const Lab lab(true);
  const auto device = open_device(xdp_options());
  REQUIRE(Lab::run(std::string("ip link set ") + Lab::kOurs + " down") == 0);
  device->look_at_link();
  REQUIRE(Lab::run(std::string("ip link set ") + Lab::kOurs + " up") == 0);
  device->look_at_link();
  announce(lab, 1, 1);
  CHECK(numbers(*device, 1, [&] { turn(*device); }) == std::vector<unsigned>{1});
  turn(*device);
  // Nothing wakes it before its time.
  std::array<pollfd, 2> polled{};
  const std::vector<int> fds = device->poll_fds();
  REQUIRE(fds.size() == polled.size());
  for (std::size_t i = 0; i < fds.size(); ++i) polled[i] = {fds[i], POLLIN, 0};
  CHECK(::poll(polled.data(), polled.size(), 0) == 0);
}

TEST_CASE("of what is sent to groups AF_XDP shows that of its VLAN, or of none, without the tag") {
  if (!lab_possible()) return;
  const Lab lab(true);
  REQUIRE(Lab::run(std::string("ethtool -K ") + Lab::kOurs + " rxvlan off") == 0);
  for (const bool in_a_vlan : {false, true}) {
    DeviceOptions options = xdp_options();
    if (in_a_vlan) options.spec.vlan = 5;
    const auto device = open_device(options);
    announce(lab, 1, 1);
    announce(lab, 2, 1, 0xff, std::uint8_t{0});
    announce(lab, 3, 1, 0xff, std::uint8_t{5});
    announce(lab, 4, 1, 0xff, std::uint8_t{6});
    announce(lab, 5, 1, 0xff, in_a_vlan ? std::optional<std::uint8_t>(5) : std::nullopt);
    const std::vector<unsigned> ours = in_a_vlan ? std::vector<unsigned>{3, 5} : std::vector<unsigned>{1, 2, 5};
    CHECK(numbers(*device, 5, [&] { turn(*device); }) == ours);
  }
}

}  // namespace tandem::test
