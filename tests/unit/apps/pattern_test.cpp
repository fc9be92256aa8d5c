// SPDX-License-Identifier: BSD-3-Clause
#include "pattern.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace tandem::perf;

TEST_CASE("a random stream is the same however it is cut into pieces") {
  std::vector<std::uint8_t> whole(1000);
  fill_random(7, 5, whole);
  for (const std::size_t piece : {1U, 3U, 8U, 13U, 64U}) {
    std::vector<std::uint8_t> pieces(whole.size());
    for (std::size_t at = 0; at < pieces.size(); at += piece) {
      fill_random(7, 5 + at, std::span(pieces).subspan(at, std::min(piece, pieces.size() - at)));
    }
    CHECK(pieces == whole);
  }
}

TEST_CASE("streams of different seeds and of different positions differ") {
  std::vector<std::uint8_t> first(64);
  std::vector<std::uint8_t> second(64);
  fill_random(1, 0, first);
  fill_random(2, 0, second);
  CHECK(first != second);
  fill_random(1, 64, second);
  CHECK(first != second);
}

TEST_CASE("the character generator's lines are those of RFC 864") {
  std::vector<std::uint8_t> bytes(3 * 74);
  fill_chargen(0, bytes);
  const std::string text(bytes.begin(), bytes.end());
  CHECK(text.substr(0, 74) == " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n");
  CHECK(text.substr(74, 4) == "!\"#$");
  std::vector<std::uint8_t> later(74);
  fill_chargen(95 * 74 * 3 + 10, later);
  CHECK(std::string(later.begin(), later.end()) == text.substr(10, 74));
}
