// SPDX-License-Identifier: BSD-3-Clause
#include "neighbor_check.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace tandem;

namespace {

NodeOptions node(std::initializer_list<const char*> addresses, std::initializer_list<const char*> gateways = {}) {
  NodeOptions options;
  for (const char* text : addresses) options.addresses.push_back(IpPrefix::parse(text).value());
  for (const char* text : gateways) options.gateways.push_back(IpAddress::parse(text).value());
  return options;
}

std::string judged(const char* neighbor, const NodeOptions& options) {
  bgp::Configuration configuration;
  configuration.neighbors.push_back({.address = bgp::Address::parse(neighbor).value(), .as = 65002});
  return bgpd::unreachable_neighbor(configuration, options);
}

}  // namespace

TEST_CASE("a neighbor that can never come up is refused with what to do about it") {
  struct Case {
    const char* neighbor;
    NodeOptions options;
    const char* says;
  };
  const Case cases[] = {
      {"192.0.2.1", node({"192.0.2.1/24"}), "own --address"},
      {"2001:db8::1", node({"192.0.2.1/24", "2001:db8::1/64"}), "own --address"},
      {"2001:db8::2", node({"192.0.2.1/24"}), "add an IPv6 --address"},
      {"192.0.2.2", node({"2001:db8::1/64"}), "add an IPv4 --address"},
      {"198.51.100.2", node({"192.0.2.1/24"}), "no --gateway for IPv4"},
      {"2001:db8:1::2", node({"2001:db8::1/64"}, {}), "no --gateway for IPv6"},
      {"192.0.2.130", node({"192.0.2.1/25"}), "prefix length"},
      {"192.0.2.255", node({"192.0.2.1/24"}), "broadcast"},
      {"127.0.0.1", node({"192.0.2.1/24"}, {"192.0.2.254"}), "loopback"},
      {"::1", node({"2001:db8::1/64"}, {"2001:db8::fe"}), "loopback"},
  };
  for (const Case& item : cases) {
    INFO(item.neighbor);
    CHECK_THAT(judged(item.neighbor, item.options), Catch::StartsWith(std::string("neighbor ") + item.neighbor));
    CHECK_THAT(judged(item.neighbor, item.options), Catch::Contains(item.says));
  }
}

TEST_CASE("a neighbor that may come up is not refused") {
  CHECK(judged("192.0.2.2", node({"192.0.2.1/24"})).empty());
  CHECK(judged("192.0.2.0", node({"192.0.2.1/31"})).empty());
  CHECK(judged("192.0.2.255", node({"192.0.2.254/31"})).empty());
  CHECK(judged("198.51.100.2", node({"192.0.2.1/24"}, {"192.0.2.254"})).empty());
  CHECK(judged("2001:db8:1::2", node({"2001:db8::1/64"}, {"2001:db8::fe"})).empty());
  CHECK(judged("fe80::2", node({"2001:db8::1/64"})).empty());
}
