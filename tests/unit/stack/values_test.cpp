// SPDX-License-Identifier: BSD-3-Clause
//
// Values: addresses, queues, the keyed hash.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <random>

#include "out_of_order_queue.hpp"
#include "receive_queue.hpp"
#include "send_queue.hpp"
#include "siphash.hpp"
#include "streams.hpp"
#include "tandem/address.hpp"

namespace tandem::test {

TEST_CASE("addresses are read and written in their text forms", "[address]") {
  const auto [text, canonical] = GENERATE(table<std::string, std::string>({
      {"192.0.2.1", "192.0.2.1"},
      {"0.0.0.0", "0.0.0.0"},
      {"2001:db8::1", "2001:db8::1"},
      {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
      {"::", "::"},
      {"fe80::1:2", "fe80::1:2"},
      {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
  }));
  const auto address = IpAddress::parse(text);
  REQUIRE(address);
  CHECK(address->to_string() == canonical);
  CHECK(IpAddress::parse(address->to_string()) == address);
}

TEST_CASE("what is no address is refused", "[address]") {
  const std::string text = GENERATE("", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", "fe80::1%eth0",
                                    ":::", "1:2:3:4:5:6:7:8:9", "g::1", "1.2.3.4/8");
  CAPTURE(text);
  CHECK_FALSE(IpAddress::parse(text));
}

TEST_CASE("prefixes, endpoints and link addresses", "[address]") {
  CHECK(IpPrefix::parse("10.0.0.1/24")->to_string() == "10.0.0.1/24");
  CHECK(IpPrefix::parse("2001:db8::1/128")->length == 128);
  for (const auto* text : {"10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/8x", "/8", "::1/129"}) {
    CAPTURE(text);
    CHECK_FALSE(IpPrefix::parse(text));
  }
  CHECK(Endpoint{*IpAddress::parse("192.0.2.1"), 179}.to_string() == "192.0.2.1:179");
  CHECK(Endpoint{*IpAddress::parse("2001:db8::1"), 179}.to_string() == "[2001:db8::1]:179");
  CHECK(MacAddress::parse("02:00:00:00:00:0a")->to_string() == "02:00:00:00:00:0a");
  CHECK(MacAddress::parse("AB:cd:EF:00:11:22")->to_string() == "ab:cd:ef:00:11:22");
  for (const auto* text : {"", "02:00:00:00:00", "02:00:00:00:00:0g", "02-00-00-00-00-0a", "02:00:00:00:00:0a:"}) {
    CAPTURE(text);
    CHECK_FALSE(MacAddress::parse(text));
  }
}

TEST_CASE("bytes in the send queue stay where they are until they are released", "[send_queue]") {
  std::mt19937_64 random(GENERATE(range(1, 6)));
  SendChunkPool pool;
  SendQueue queue(pool);
  std::uint64_t released = 1000;
  queue.reset(released);
  std::vector<std::pair<std::uint64_t, const std::uint8_t*>> seen;
  for (int i = 0; i < 3000; ++i) {
    if (random() % 2 == 0) {
      std::vector<std::uint8_t> piece(random() % (random() % 8 == 0 ? 100'000 : 500));
      for (std::size_t k = 0; k < piece.size(); ++k) {
        piece[k] = stream_byte(1, queue.end() + k);
      }
      queue.append(piece);
    } else {
      released += random() % (queue.end() - released + 1);
      queue.release(released);
    }
    CHECK(queue.begin() == released);
    std::erase_if(seen, [&](const auto& entry) { return entry.first < released; });
    bool same = true;
    for (const auto& [position, address] : seen) {
      const auto run = queue.contiguous(position);
      same = same && run.data() == address && run[0] == stream_byte(1, position);
    }
    CHECK(same);
    if (queue.end() != released) {
      const auto position = released + random() % (queue.end() - released);
      seen.emplace_back(position, queue.contiguous(position).data());
    }
    if (seen.size() > 32) {
      seen.erase(seen.begin());
    }
  }
  std::uint64_t at = released;
  bool exact = true;
  queue.visit(released, queue.end(), [&](Bytes piece) {
    for (const auto byte : piece) {
      exact = exact && byte == stream_byte(1, at++);
    }
  });
  CHECK(exact);
  CHECK(at == queue.end());
}

TEST_CASE("requests and responses need one small chunk", "[send_queue]") {
  SendChunkPool pool;
  SendQueue queue(pool);
  queue.reset(0);
  const std::array<std::uint8_t, 64> request{};
  queue.append(request);
  const auto* const place = queue.contiguous(0).data();
  const auto memory = queue.memory_bytes();
  for (int i = 0; i < 1000; ++i) {
    queue.release(queue.end());
    queue.append(request);
    REQUIRE(queue.contiguous(queue.begin()).data() == place);
  }
  CHECK(queue.memory_bytes() == memory);
  CHECK(memory < 4096);
}

TEST_CASE("large chunks are used again, and no more of them are kept than the pool may", "[send_queue]") {
  SendChunkPool pool;
  const std::vector<std::uint8_t> much(20 * SendChunkPool::kChunkBytes);
  for (const bool is_released : {true, false}) {
    SendQueue queue(pool);
    queue.reset(0);
    queue.append(much);
    CHECK(pool.size() == 0);
    if (!is_released) continue;
    queue.release(SendChunkPool::kChunkBytes);
    CHECK(pool.size() == std::min<std::size_t>(1, SendChunkPool::kMostChunks));
    queue.release(queue.end());
    CHECK(pool.size() == SendChunkPool::kMostChunks);
  }
  // A queue that ends with bytes in it gives them back too.
  CHECK(pool.size() == SendChunkPool::kMostChunks);
}

TEST_CASE("the receive queue is one piece, whatever comes and goes", "[receive_queue]") {
  std::mt19937_64 random(GENERATE(range(1, 6)));
  ReceiveQueue queue;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  for (int i = 0; i < 3000; ++i) {
    if (random() % 2 == 0) {
      std::vector<std::uint8_t> piece(random() % (random() % 8 == 0 ? 50'000 : 500));
      for (auto& byte : piece) {
        byte = stream_byte(2, end++);
      }
      queue.append(piece);
    } else {
      const auto count = random() % (queue.size() + 1);
      const auto offered = queue.unread();
      queue.drop(count);
      // What was offered is readable until the next append or trim.
      if (count != 0) {
        CHECK(offered[0] == stream_byte(2, begin));
      }
      begin += count;
      queue.trim();
    }
    REQUIRE(queue.size() == end - begin);
    bool exact = true;
    for (std::size_t k = 0; k < std::min<std::size_t>(queue.size(), 64); ++k) {
      exact = exact && queue.unread()[k] == stream_byte(2, begin + k);
    }
    CHECK(exact);
  }
}

TEST_CASE("out-of-order pieces come back sorted, without overlaps, within their bounds", "[out_of_order]") {
  OutOfOrderQueue queue;
  const std::vector<std::uint8_t> bytes{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  constexpr std::uint32_t kStart = 0xfffffff8U;  // across the wrap of the sequence space
  CHECK(queue.add(kStart + 20, Bytes(bytes), true, 100));
  CHECK(queue.add(kStart + 5, Bytes(bytes), false, 100));
  CHECK(queue.add(kStart + 10, Bytes(bytes), false, 100));
  auto pieces = queue.pieces(kStart);
  REQUIRE(pieces.size() == 3);
  CHECK(pieces[0].seq == kStart + 5);
  CHECK(pieces[1].seq == kStart + 15);
  CHECK(pieces[1].bytes == std::vector<std::uint8_t>{5, 6, 7, 8, 9});
  CHECK(pieces[2].fin);
  queue.trim(kStart + 17);
  pieces = queue.pieces(kStart + 17);
  REQUIRE(pieces.size() == 2);
  CHECK(pieces[0].seq == kStart + 17);
  CHECK(pieces[0].bytes == std::vector<std::uint8_t>{7, 8, 9});
  for (int i = 0; i < 100 && queue.add(kStart, Bytes(bytes), false, 100); ++i) {
    REQUIRE(i < 99);
  }
}

TEST_CASE("a FIN without data is a piece, wherever it lies, unless data goes beyond it", "[out_of_order]") {
  const std::vector<std::uint8_t> bytes{0, 1, 2, 3};
  for (const std::uint32_t at : {7U, 4U, 3U}) {
    OutOfOrderQueue queue;
    CHECK(queue.add(at, {}, true, 100));
    CHECK(queue.add(0, Bytes(bytes), false, 100));
    const auto pieces = queue.pieces(0);
    REQUIRE(pieces.size() == (at < 4 ? 1 : 2));
    CHECK(pieces.back().fin == (at >= 4));
  }
}

TEST_CASE("SipHash-2-4 gives its authors' test vectors", "[siphash]") {
  const SipKey key{0x0706050403020100U, 0x0f0e0d0c0b0a0908U};
  std::vector<std::uint8_t> input;
  const std::array<std::uint64_t, 4> first{0x726fdb47dd0e0e31U, 0x74f839c593dc67fdU, 0x0d6c8009d9a94f5aU,
                                           0x85676696d7fb7e2dU};
  for (std::uint8_t i = 0; i < first.size(); ++i) {
    CHECK(siphash(key, input) == first[i]);
    input.push_back(i);
  }
  while (input.size() < 15) {
    input.push_back(static_cast<std::uint8_t>(input.size()));
  }
  CHECK(siphash(key, input) == 0xa129ca6149be45e5U);
}

}  // namespace tandem::test
