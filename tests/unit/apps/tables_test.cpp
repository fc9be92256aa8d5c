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
