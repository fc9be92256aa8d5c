// SPDX-License-Identifier: BSD-3-Clause
#include "tandem_cli/number.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

using namespace tandem::cli;

TEST_CASE("numbers are read with their bounds, and everything else is refused by name") {
  CHECK(parse_number("--detect", "50", 10, 60'000) == 50);
  CHECK(parse_number("--seed", "18446744073709551615", 0, UINT64_MAX) == UINT64_MAX);
  for (const char* bad : {"", "9", "60001", "-1", "+50", "50 ", " 50", "5o", "1e3", "18446744073709551616"}) {
    INFO(bad);
    CHECK_THROWS_AS(parse_number("--detect", bad, 10, 60'000), UsageError);
  }
  CHECK_THROWS_WITH(parse_number("--detect", "x", 10, 60'000),
                    "--detect takes a whole number from 10 to 60000, not 'x'");
}

TEST_CASE("byte counts take K, M and G for powers of 1,024") {
  const std::vector<std::pair<const char*, std::uint64_t>> good{
      {"0", 0}, {"1500", 1500}, {"64K", 65536}, {"4m", 4 << 20}, {"1G", 1 << 30}};
  for (const auto& [text, value] : good) {
    INFO(text);
    CHECK(parse_bytes("--size", text, 0, UINT64_MAX) == value);
  }
  for (const char* bad : {"", "K", "4MB", "4 M", "-1", "17179869184G", "1.5M"}) {
    INFO(bad);
    CHECK_THROWS_AS(parse_bytes("--size", bad, 0, UINT64_MAX), UsageError);
  }
  CHECK_THROWS_AS(parse_bytes("--size", "2M", 0, 1 << 20), UsageError);
}

TEST_CASE("format_bytes gives the shortest form that parse_bytes reads") {
  for (const char* text : {"0", "1500", "64K", "4M", "16G", "4095M"}) {
    CHECK(format_bytes(parse_bytes("--size", text, 0, UINT64_MAX)) == text);
  }
}

TEST_CASE("seconds may have a fraction") {
  CHECK(parse_seconds("--time", "0.5", 0, 10) == 500'000'000);
  for (const char* bad : {"", "nan", "inf", "-1", "11", "1s"}) {
    INFO(bad);
    CHECK_THROWS_AS(parse_seconds("--time", bad, 0, 10), UsageError);
  }
}
