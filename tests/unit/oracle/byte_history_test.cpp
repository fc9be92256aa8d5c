// SPDX-License-Identifier: BSD-3-Clause
#include "byte_history.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "ranges.hpp"
#include "sequence.hpp"

using namespace tandem::oracle;

TEST_CASE("ranges merge where they touch") {
  Ranges ranges;
  ranges.insert({10, 20});
  ranges.insert({30, 40});
  ranges.insert({20, 25});
  CHECK(ranges.size() == 2);
  CHECK(ranges.at(24) == Range{10, 25});
  CHECK(ranges.at(25) == Range{25, 25});
  ranges.insert({25, 30});
  CHECK(ranges.size() == 1);
  CHECK(ranges.covers({10, 40}));
  CHECK_FALSE(ranges.covers({9, 11}));
  CHECK_FALSE(ranges.covers({39, 41}));
  ranges.erase_before(15);
  CHECK(ranges.at(15) == Range{15, 40});
  ranges.erase_before(40);
  CHECK(ranges.empty());
}

TEST_CASE("positions go on where sequence numbers begin again") {
  CHECK(unwrap(kFirstPosition + 5, 6) == kFirstPosition + 6);
  CHECK(unwrap(kFirstPosition + 5, 0xffffffff) == kFirstPosition - 1);
  CHECK(unwrap(kFirstPosition + 0xfffffffe, 3) == 2 * kFirstPosition + 3);
}

TEST_CASE("a history finds exactly the bytes that differ, whatever the order") {
  std::mt19937 random(GENERATE(1, 2, 3, 4));
  std::vector<std::uint8_t> stream(60000);
  for (auto& byte : stream) byte = static_cast<std::uint8_t>(random());
  const std::uint64_t base = kFirstPosition + 0xffff0000;
  std::vector<bool> seen(stream.size());
  ByteHistory history;
  for (int i = 0; i < 2000; ++i) {
    const std::size_t begin = random() % stream.size();
    const std::size_t length = std::min<std::size_t>(1 + random() % 1460, stream.size() - begin);
    std::vector<std::uint8_t> piece(stream.begin() + static_cast<std::ptrdiff_t>(begin),
                                    stream.begin() + static_cast<std::ptrdiff_t>(begin + length));
    if (random() % 4 != 0) {
      CHECK_FALSE(history.see(base + begin, piece, base));
      for (std::size_t k = 0; k < length; ++k) seen[begin + k] = true;
      continue;
    }
    const std::size_t wrong = random() % length;
    piece[wrong] ^= 0x20;
    const auto found = history.see(base + begin, piece, base);
    CHECK(found.has_value() == seen[begin + wrong]);
    if (found) CHECK(*found == base + begin + wrong);
    // The newer bytes count from then on; put the right ones back.
    piece[wrong] ^= 0x20;
    history.see(base + begin, piece, base);
    for (std::size_t k = 0; k < length; ++k) seen[begin + k] = true;
  }
}
