// SPDX-License-Identifier: BSD-3-Clause
#include "tables.hpp"

#include <catch2/catch.hpp>

using nlohmann::json;
using namespace tandem::ctl;
using Catch::Contains;

TEST_CASE("status shows the timeline as durations and its counts as counts") {
  const std::string text =
      status_table({{"role", "primary"},
                    {"twin", nullptr},
                    {"protected", false},
                    {"members", json::array()},
                    {"timeline", {{"noticed_at", 5'000'000'000'000}, {"adopted", 41'300}, {"adopted_packets", 12}}}});
  CHECK_THAT(text, Contains("protected  no"));
  CHECK_THAT(text, Contains("twin       -"));
  CHECK_THAT(text, Contains("41.3 us"));
  CHECK_THAT(text, Contains("12\n"));
  CHECK_THAT(text, !Contains("noticed_at"));
}

TEST_CASE("connections show what each would survive, and why") {
  const std::string text = connections_table({{"connections",
                                               {{{"local", "192.0.2.1:7"},
                                                 {"remote", "192.0.2.2:40000"},
                                                 {"phase", "ESTABLISHED"},
                                                 {"survives", "process"},
                                                 {"why", "a member twin holds it"},
                                                 {"unread_bytes", 17}}}}});
  CHECK_THAT(text, Contains("192.0.2.1:7  192.0.2.2:40000  ESTABLISHED  process"));
  CHECK_THAT(text, Contains("a member twin holds it"));
  CHECK(connections_table({{"connections", json::array()}}) == "no connections\n");
}

TEST_CASE("answers of another shape are shown as far as they go") {
  CHECK_NOTHROW(status_table(json::object()));
  CHECK_NOTHROW(status_table({{"timeline", 7}, {"twin", json::array({1, "x"})}}));
  CHECK_NOTHROW(connections_table({{"connections", {1, "x", json::object()}}}));
  for (const json& other : {json(9), json(nullptr), json("x"), json::array()}) {
    CHECK_NOTHROW(status_table(other));
    CHECK(connections_table(other) == "no connections\n");
    CHECK_NOTHROW(routes_table(other));
  }
  CHECK_THAT(routes_table({{"received", {{"ipv4", 3}, {"ipv6", 4}}}, {"best", 5}}), Contains("received ipv4  3"));
}

TEST_CASE("neighbors are rows with how long each is up, and why it was down last") {
  const json answer = {{"neighbors",
                        {{{"address", "192.0.2.2"},
                          {"as", 65002},
                          {"state", "Established"},
                          {"uptime_ms", 93'784'000},
                          {"hold_time_s", 90},
                          {"received_ipv4", 12},
                          {"received_ipv6", 3},
                          {"max_prefix", 100},
                          {"last_down", ""}},
                         {{"address", "192.0.2.3"},
                          {"state", "Active"},
                          {"uptime_ms", 0},
                          {"max_prefix", 0},
                          {"last_down", "refused"}}}}};
  const std::string text = neighbors_table(answer);
  CHECK_THAT(text, Contains("192.0.2.2  65002  Established  1d02h   90    12     3      100  -"));
  CHECK_THAT(text, Contains("192.0.2.3  -      Active       -       -     -      -      -    -"));
  CHECK_THAT(text, Contains("refused\n"));
  CHECK_THAT(routes_table(answer), Contains("192.0.2.3"));
  CHECK(neighbors_table({{"neighbors", json::array()}}) == "no neighbors\n");
}

TEST_CASE("what the node knows of its link is shown as tables") {
  CHECK_THAT(arp_table({{"arp", {{{"address", "192.0.2.2"}, {"mac", "02:00:00:00:00:0b"}}}}}),
             Contains("192.0.2.2  02:00:00:00:00:0b"));
  CHECK(arp_table({{"arp", json::array()}}) == "no arp\n");
  CHECK_THAT(listeners_table({{"listeners", {{{"local", "192.0.2.1:7"}, {"service", 7}}}}}),
             Contains("192.0.2.1:7  7"));
  const std::string device = device_table({{"device", "tap t0"}, {"warning", ""}, {"addresses", {"a", "b"}}});
  CHECK_THAT(device, Contains("tap t0") && Contains("a b") && !Contains("warning"));
}
