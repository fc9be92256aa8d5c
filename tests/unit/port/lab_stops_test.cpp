// SPDX-License-Identifier: BSD-3-Clause
//
// Owners of a real wire that die at chosen stores. A process reads once at which one, so these tests have a program of their
// own whose first process never passes a stop point.
#include <catch2/catch.hpp>

#include "lab_takeover.hpp"

namespace tandem::test {
namespace {

constexpr unsigned kKills = 60;

/// Twelve places, adoption's own among them.
const std::vector<std::string> kStops{"rx.words_half:30", "tx.words:20",  "adopt.fill:1",  "rx.words:25",
                                      "tx.half:15",       "adopt.tx:1",   "tx.producer:9", "fill.intent:30",
                                      "adopt.rx:1",       "reap.word:99", "rx.after:22",   "fill.after:27"};

void require_exact(const ChainResult& result) {
  const FrameCensus& census = result.census;
  CAPTURE(result.kills, result.sent, result.answered, result.doubled, result.log_missing, result.log_doubled,
          result.adopted_packets, census.free, census.fill, census.missing, census.duplicated);
  CHECK(result.finished);
  CHECK(result.kills >= kKills);
  CHECK(result.answered == result.sent);
  CHECK(result.doubled == 0);
  CHECK(result.log_missing == 0);
  CHECK(result.log_doubled == 0);
  CHECK(result.adopted_packets > 0);
  CHECK(census.sum() == census.total);
  CHECK(census.duplicated == 0);
  CHECK(census.free + census.fill == census.total);
}

#ifdef TANDEM_XDP
TEST_CASE("AF_XDP owners and adopters die at every kind of store: no packet is lost or doubled, no frame leaks") {
  if (!lab_possible()) return;
  const Lab lab(true);
  REQUIRE(lab.run_at_peer(std::string("ip neigh replace 10.77.0.1 lladdr 02:00:00:00:00:0a nud permanent dev ") +
                          Lab::kPeers) == 0);
  ChainOptions options;
  options.device.spec = DeviceSpec::parse(std::string("xdp:") + Lab::kOurs);
  options.device.steering.addresses = {IpAddress{4, {10, 77, 0, 1}}};
  options.kills = kKills;
  options.packets = 20'000;
  options.stops = kStops;
  require_exact(run_chain(lab, true, options));
}
#endif

TEST_CASE("TAP owners and adopters die at every kind of store: no packet is lost or doubled, no frame leaks") {
  if (!lab_possible()) return;
  const Lab lab(false);
  ChainOptions options;
  options.device.spec = DeviceSpec::parse("tap:tap7");
  options.device.mac = MacAddress{{2, 0, 0, 0, 0, 0x0a}};
  options.kills = kKills;
  options.packets = 20'000;
  options.stops = kStops;
  REQUIRE(Lab::run("ip tuntap add dev tap7 mode tap && sysctl -qw net.ipv6.conf.tap7.disable_ipv6=1") == 0);
  REQUIRE(Lab::run("ip addr add 10.77.0.2/24 dev tap7 && ip link set tap7 up") == 0);
  REQUIRE(Lab::run("ip neigh replace 10.77.0.1 lladdr 02:00:00:00:00:0a nud permanent dev tap7") == 0);
  require_exact(run_chain(lab, false, options));
}

}  // namespace
}  // namespace tandem::test
