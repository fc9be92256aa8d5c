// SPDX-License-Identifier: BSD-3-Clause
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>

#include "lab_takeover.hpp"
#include "tandem/loop.hpp"

namespace tandem::test {
namespace {

DeviceOptions tap_options(const std::string& interface) {
  DeviceOptions options;
  options.spec = DeviceSpec::parse("tap:" + interface);
  options.group = "lab";
  return options;
}

std::string text(const MacAddress& mac) {
  std::array<char, 18> out{};
  const auto& o = mac.octets;
  std::snprintf(out.data(), out.size(), "%02x:%02x:%02x:%02x:%02x:%02x", o[0], o[1], o[2], o[3], o[4], o[5]);
  return out.data();
}

TEST_CASE("a TAP interface that does not exist is made, set up, and has a stable address of ours") {
  if (!lab_possible()) return;
  const Lab lab(false);
  MacAddress mac;
  {
    const auto device = open_device(tap_options("tap7"));
    mac = device->mac();
    CHECK((mac.octets[0] & 3) == 2);
    CHECK(device->description() == "tap tap7");
    CHECK(device->warning().empty());
    CHECK(Lab::run("ip link show tap7 up | grep -q tap7") == 0);
    CHECK(Lab::run("ip link show tap7 | grep -q 'qlen " + std::to_string(DeviceOptions().ring_entries) + "'") == 0);
    CHECK(Lab::run("ip link show tap7 | grep -q " + text(mac)) != 0);
  }
  CHECK(open_device(tap_options("tap7"))->mac() == mac);
}

TEST_CASE("what keeps a TAP device from opening is told with what to do") {
  if (!lab_possible()) return;
  const Lab lab(true);
  const auto kind_of = [](const DeviceOptions& options, const char* what) {
    try {
      open_device(options);
    } catch (const DeviceError& error) {
      CHECK_THAT(error.what(), Catch::Contains(what));
      return static_cast<int>(error.kind());
    }
    return -1;
  };
  using Kind = DeviceError::Kind;
  CHECK(kind_of(tap_options(Lab::kOurs), "choose another name") == static_cast<int>(Kind::bad_option));
  const auto device = open_device(tap_options("tap7"));
  CHECK(kind_of(tap_options("tap7"), "another process has this interface") == static_cast<int>(Kind::busy));
  DeviceOptions options = tap_options("tap8");
  options.ring_entries = 3;
  CHECK(kind_of(options, "ring entries") == static_cast<int>(Kind::bad_option));
}

TEST_CASE("what is written to a TAP device arrives at the kernel, and a full turn goes round") {
  if (!lab_possible()) return;
  const Lab lab(false);
  const auto device = open_device(tap_options("tap7"));
  REQUIRE(Lab::run("ip addr add 10.77.0.2/24 dev tap7") == 0);
  // An ARP request; the kernel's answer comes back.
  std::array<std::uint8_t, 42> request{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  std::copy_n(device->mac().octets.begin(), 6, request.begin() + 6);
  constexpr std::array<std::uint8_t, 10> kHeader{8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
  std::copy(kHeader.begin(), kHeader.end(), request.begin() + 12);
  std::copy_n(device->mac().octets.begin(), 6, request.begin() + 22);
  constexpr std::array<std::uint8_t, 4> kOurs{10, 77, 0, 1}, kKernels{10, 77, 0, 2};
  std::copy(kOurs.begin(), kOurs.end(), request.begin() + 28);
  std::copy(kKernels.begin(), kKernels.end(), request.begin() + 38);
  const auto room = device->tx_reserve(request.size());
  REQUIRE(room.size() == request.size());
  std::copy(request.begin(), request.end(), room.begin());
  device->tx_stage();
  device->tx_release(device->mark().tx_index);
  CHECK_FALSE(device->tx_pending());
  device->refill();
  const std::uint64_t bound = monotonic_ns() + 10'000'000'000;
  bool answered = false;
  while (!answered && monotonic_ns() < bound) {
    std::array<RxFrame, 8> frames;
    for (const RxFrame& frame : std::span(frames).first(device->rx_peek(frames))) {
      answered = answered || (frame.bytes[12] == 8 && frame.bytes[13] == 6 && frame.bytes[21] == 2);
      device->rx_done(frame.cookie);
    }
    device->rx_release();
    device->refill();
  }
  CHECK(answered);
  const FrameCensus census = device->census();
  CHECK(census.sum() == census.total);
  CHECK(census.free + census.fill == census.total);
}

TEST_CASE("TAP owners are killed again and again: no packet is lost, no frame leaks") {
  if (!lab_possible()) return;
  constexpr unsigned kKills = 100;
  const Lab lab(false);
  // Made beforehand, so that the peer's side is set up before the first owner comes.
  REQUIRE(Lab::run("ip tuntap add dev tap7 mode tap") == 0);
  ChainOptions options;
  options.device = tap_options("tap7");
  options.device.mac = MacAddress{{2, 0, 0, 0, 0, 0x0a}};
  options.kills = kKills;
  options.packets = 20'000;
  REQUIRE(Lab::run("sysctl -qw net.ipv6.conf.tap7.disable_ipv6=1") == 0);
  REQUIRE(Lab::run("ip addr add 10.77.0.2/24 dev tap7 && ip link set tap7 up") == 0);
  REQUIRE(Lab::run("ip neigh replace 10.77.0.1 lladdr 02:00:00:00:00:0a nud permanent dev tap7") == 0);
  const ChainResult result = run_chain(lab, false, options);
  CAPTURE(result.kills, result.sent, result.answered, result.doubled, result.log_missing, result.log_doubled,
          result.adopted_packets);
  const FrameCensus& census = result.census;
  CAPTURE(census.total, census.free, census.fill, census.receiving, census.missing, census.duplicated);
  CHECK(result.finished);
  CHECK(result.kills == kKills);
  CHECK(result.answered == result.sent);
  CHECK(result.log_missing == 0);
  CHECK(result.log_doubled == 0);
  // A packet that was written when its process died before saying so is written once more: at most one a death.
  CHECK(result.doubled <= kKills);
  CHECK(census.sum() == census.total);
  CHECK(census.duplicated == 0);
  CHECK(census.free + census.fill == census.total);
}

}  // namespace
}  // namespace tandem::test
