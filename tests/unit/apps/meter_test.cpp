// SPDX-License-Identifier: BSD-3-Clause
#include "meter.hpp"

#include <catch2/catch.hpp>

using namespace tandem::perf;

TEST_CASE("a silence is recorded with its flow, its direction and both of its moments") {
  Meter meter(1'000, 50, 100);
  const auto first = meter.add_flow();
  const auto second = meter.add_flow();
  meter.connected(first, 5, 1'000);
  meter.connected(second, 5, 1'000);
  meter.progress(first, Direction::received, 10, 1'040);
  meter.progress(first, Direction::received, 10, 1'100);
  meter.progress(second, Direction::sent, 20, 1'130);
  REQUIRE(meter.silences().size() == 2);
  CHECK(meter.silences()[0].start_ns == 1'040);
  CHECK(meter.silences()[0].end_ns == 1'100);
  CHECK(meter.silences()[0].flow == first);
  CHECK(meter.silences()[1].direction == Direction::sent);
  CHECK(meter.longest(Direction::received)->length_ns() == 60);
  CHECK(meter.longest(Direction::sent)->length_ns() == 130);
}

TEST_CASE("bytes are counted by interval") {
  Meter meter(1'000, 1'000'000, 100);
  const auto flow = meter.add_flow();
  meter.connected(flow, 0, 1'000);
  meter.progress(flow, Direction::received, 3, 1'050);
  meter.progress(flow, Direction::received, 4, 1'099);
  meter.progress(flow, Direction::received, 5, 1'300);
  CHECK(meter.intervals(Direction::received) == std::vector<std::uint64_t>{7, 0, 0, 5});
  CHECK(meter.bytes(Direction::received) == 12);
  CHECK(meter.intervals(Direction::sent).empty());
}

TEST_CASE("the oldest progress is that of the connections that still run") {
  Meter meter(0, 0, 100);
  const auto first = meter.add_flow();
  const auto second = meter.add_flow();
  CHECK_FALSE(meter.oldest_progress_ns(Direction::received));
  meter.connected(first, 0, 10);
  meter.connected(second, 0, 20);
  meter.progress(second, Direction::received, 1, 30);
  CHECK(meter.oldest_progress_ns(Direction::received) == 10);
  meter.done(first, 40);
  CHECK(meter.oldest_progress_ns(Direction::received) == 30);
}

TEST_CASE("a flow fails once, and not after it was done") {
  Meter meter(0, 0, 100);
  const auto flow = meter.add_flow();
  meter.connected(flow, 0, 10);
  meter.failed(flow, "reset", 20);
  meter.failed(flow, "again", 30);
  meter.done(flow, 40);
  CHECK(meter.failed_count() == 1);
  CHECK(meter.done_count() == 0);
  CHECK(meter.error_count() == 1);
}
