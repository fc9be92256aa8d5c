// SPDX-License-Identifier: BSD-3-Clause
#include "flow_table.hpp"

#include <catch2/catch.hpp>

using namespace tandem::oracle;

namespace {

FlowKey key(std::uint32_t number) {
  FlowKey out;
  out.host = {Host::v4(10, 0, 0, 1),
              Host::v4(10, 1, static_cast<std::uint8_t>(number >> 24), static_cast<std::uint8_t>(number >> 16))};
  out.port = {179, static_cast<std::uint16_t>(number)};
  return out;
}

}  // namespace

TEST_CASE("connections are found by their ports and addresses, however many there are") {
  FlowTable table;
  for (std::uint32_t i = 0; i < 50'000; ++i) table.add(key(i), i).end[0].isn = i;
  CHECK(table.size() == 50'000);
  for (std::uint32_t i = 0; i < 50'000; ++i) {
    REQUIRE(table.find(key(i)) != nullptr);
    CHECK(table.find(key(i))->end[0].isn == i);
  }
  CHECK(table.find(key(50'000)) == nullptr);
  table.clear();
  CHECK(table.find(key(7)) == nullptr);
  CHECK(table.add(key(7), 1).end[0].isn == 0);
}

TEST_CASE("what has ended or was long quiet makes room, what lives stays") {
  FlowTable table;
  constexpr std::uint64_t kSecondNs = 1'000'000'000;
  Connection& living = table.add(key(0), 0);
  table.add(key(1), 0);
  const bool ends = GENERATE(false, true);
  for (std::uint32_t i = 2; i < 200'000; ++i) {
    // One a second, so that most have been quiet for longer than anybody waits; or many at once that end.
    const std::uint64_t now_ns = ends ? i : i * kSecondNs;
    living.last_ns = now_ns;
    Connection& one = table.add(key(i), now_ns);
    if (ends) one.end[0].reset = true;
  }
  CHECK(table.size() < 20'000);
  REQUIRE(table.find(key(0)) == &living);
  CHECK((table.find(key(1)) == nullptr) == !ends);
  CHECK(table.find(key(199'999)) != nullptr);
}
