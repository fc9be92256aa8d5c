// SPDX-License-Identifier: BSD-3-Clause
#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

TEST_CASE("a neighbor is read from its option", "[configuration]") {
  const auto n = std::get<NeighborConfiguration>(parse_neighbor("  10.0.0.1 as=65001\tpassive hold=3 port=1790 "));
  CHECK(n.address == address("10.0.0.1"));
  CHECK(n.as == 65001);
  CHECK(n.passive);
  CHECK(n.hold_time_s == 3);
  CHECK(n.port == 1790);
  CHECK(n.max_prefix == 0);
  const auto limited = std::get<NeighborConfiguration>(parse_neighbor("10.0.0.1 as=1 max-prefix=1000"));
  CHECK(limited.max_prefix == 1000);
  CHECK(limited.restart_s == 300);
  CHECK(std::get<NeighborConfiguration>(parse_neighbor("10.0.0.1 restart=0 as=1 max-prefix=1")).restart_s == 0);
  const auto plain = std::get<NeighborConfiguration>(parse_neighbor("2001:db8::2 as=4200000000"));
  CHECK(plain.address.family == Family::ipv6);
  CHECK(plain.as == 4200000000);
  CHECK_FALSE(plain.passive);
  CHECK(plain.hold_time_s == 90);
  CHECK(plain.port == 179);
  CHECK(std::get<NeighborConfiguration>(parse_neighbor("10.0.0.1 hold=0 as=1")).hold_time_s == 0);
}

TEST_CASE("a wrong neighbor option is told precisely", "[configuration]") {
  const std::string form =
      "; expected \"ADDR as=N [passive] [hold=SECONDS] [port=N] [max-prefix=N [restart=SECONDS]]\"";
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", "the address is missing"},
      {"   ", "the address is missing"},
      {"10.0.0 as=1", "\"10.0.0\" is no IPv4 or IPv6 address"},
      {"as=1 10.0.0.1", "\"as=1\" is no IPv4 or IPv6 address"},
      {"10.0.0.1", "as=N is missing"},
      {"10.0.0.1 as=0", "\"as=0\" is no AS number from 1 to 4294967295"},
      {"10.0.0.1 as=", "\"as=\" is no AS number from 1 to 4294967295"},
      {"10.0.0.1 as", "\"as\" is no AS number from 1 to 4294967295"},
      {"10.0.0.1 as=4294967296", "\"as=4294967296\" is no AS number from 1 to 4294967295"},
      {"10.0.0.1 as=1 hold=2", "\"hold=2\" is no hold time: 0 for none, or 3 to 65535 seconds"},
      {"10.0.0.1 as=1 hold=65536", "\"hold=65536\" is no hold time: 0 for none, or 3 to 65535 seconds"},
      {"10.0.0.1 as=1 hold=-3", "\"hold=-3\" is no hold time: 0 for none, or 3 to 65535 seconds"},
      {"10.0.0.1 as=1 hold=9s", "\"hold=9s\" is no hold time: 0 for none, or 3 to 65535 seconds"},
      {"10.0.0.1 as=1 passive=yes", "\"passive=yes\" takes no value"},
      {"10.0.0.1 as=1 port=0", "\"port=0\" is no port from 1 to 65535"},
      {"10.0.0.1 as=1 port=70000", "\"port=70000\" is no port from 1 to 65535"},
      {"10.0.0.1 as=1 max-prefix=0",
       "\"max-prefix=0\" is no number of prefixes from 1 to 4294967295; leave it away for any number"},
      {"10.0.0.1 as=1 max-prefix",
       "\"max-prefix\" is no number of prefixes from 1 to 4294967295; leave it away for any number"},
      {"10.0.0.1 as=1 max-prefix=4294967296",
       "\"max-prefix=4294967296\" is no number of prefixes from 1 to 4294967295; leave it away for any number"},
      {"10.0.0.1 as=1 max-prefix=9 restart=604801",
       "\"restart=604801\" is no time from 1 to 604800 seconds, nor 0 for never"},
      {"10.0.0.1 as=1 restart=30", "restart=SECONDS says what follows max-prefix=N, which is missing"},
      {"10.0.0.1 as=1 md5=x", "unknown option \"md5=x\""},
      {"10.0.0.1 as=1 as=2", "\"as\" is given twice"},
      {"0.0.0.0 as=1", "nobody can be reached at this address"},
      {"ff02::1 as=1", "nobody can be reached at this address"},
  };
  for (const auto& [text, what] : rows) {
    const auto parsed = parse_neighbor(text);
    REQUIRE(std::holds_alternative<std::string>(parsed));
    CHECK(std::get<std::string>(parsed) == "neighbor \"" + text + "\": " + what + form);
  }
}

TEST_CASE("a configuration that cannot be right is refused", "[configuration]") {
  const auto sound = configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}, {"192.0.2.0/24"});
  CHECK(check(sound).empty());
  auto c = sound;
  c.as = 0;
  CHECK(check(c).find("own AS number") != std::string::npos);
  c = sound;
  c.router_id = 0;
  CHECK(check(c).find("router id") != std::string::npos);
  c = sound;
  c.neighbors[1].address = c.neighbors[0].address;
  CHECK(check(c) == "neighbor 10.0.0.1 is configured twice; remove one");
  c = sound;
  c.networks.push_back(c.networks[0]);
  CHECK(check(c) == "network 192.0.2.0/24 is configured twice; remove one");
}

TEST_CASE("prefixes and addresses are read strictly", "[configuration]") {
  CHECK(Prefix::parse("10.0.0.0/8")->to_string() == "10.0.0.0/8");
  CHECK(Prefix::parse("::/0")->to_string() == "::/0");
  CHECK(Prefix::parse("2001:db8::/128")->length == 128);
  for (const char* wrong : {"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/8x", "10.0.0.1/8", "10.0.0.0/-1",
                            "10.0.0/8", "::/129", "x/8"})
    CHECK_FALSE(Prefix::parse(wrong).has_value());
  CHECK_FALSE(Address::parse(std::string_view("10.0.0.1\0", 9)).has_value());
  CHECK(address("fe80::1").is_link_local());
  CHECK(address("ff02::1").is_multicast());
  CHECK(address("127.0.0.1").is_loopback());
  CHECK(Address::from_ipv4(0xc0000201).to_string() == "192.0.2.1");
  CHECK(address("192.0.2.1").ipv4_number() == 0xc0000201);
}
