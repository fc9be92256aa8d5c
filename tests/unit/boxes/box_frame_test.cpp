// SPDX-License-Identifier: BSD-3-Clause
#include "box_frame.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <string>

using namespace tandem;
using namespace tandem::ha;
using Result = FrameReader::Result;

namespace {

using Octets = std::vector<std::uint8_t>;

Bytes bytes_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

Octets frame(FrameKind kind, std::uint64_t value, Bytes payload, std::uint16_t flags = 0) {
  const FrameHeader header = frame_header(kind, flags, value, payload);
  Octets octets(header.begin(), header.end());
  octets.insert(octets.end(), payload.begin(), payload.end());
  return octets;
}

Octets operator+(Octets first, const Octets& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

TEST_CASE("frames come out of a stream as they were put in, however it is cut") {
  const Octets stream = frame(FrameKind::hello, 7, bytes_of("who")) +
                        frame(FrameKind::log, 4096, bytes_of("12345678"), kMoreFrames) +
                        frame(FrameKind::acknowledged, 99, {}) + frame(FrameKind::log, 4104, Octets(kMaxFrameBytes, 5));
  std::minstd_rand random(GENERATE(range(1U, 12U)));
  FrameReader reader;
  std::vector<Frame> seen;
  std::vector<Octets> payloads;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t most = random() % 3 == 0 ? 7 : 100'000;
    const std::size_t count = std::min<std::size_t>(1 + random() % most, stream.size() - at);
    reader.give(Bytes(stream).subspan(at, count));
    at += count;
    Frame found;
    for (Result result; (result = reader.next(found)) != Result::more_bytes;) {
      REQUIRE(result == Result::frame);
      seen.push_back(found);
      payloads.emplace_back(found.payload.begin(), found.payload.end());
    }
  }
  REQUIRE(seen.size() == 4);
  CHECK(reader.left() == 0);
  CHECK(seen[0].kind == static_cast<std::uint16_t>(FrameKind::hello));
  CHECK(payloads[0] == Octets{'w', 'h', 'o'});
  CHECK(seen[1].flags == kMoreFrames);
  CHECK(seen[1].value == 4096);
  CHECK(payloads[2].empty());
  CHECK(seen[2].value == 99);
  CHECK(payloads[3] == Octets(kMaxFrameBytes, 5));
}

TEST_CASE("any flipped bit of a frame is an error, or a frame that is not whole yet") {
  const Octets good = frame(FrameKind::log, 1234567, bytes_of("a piece of the log, of some length"));
  const std::size_t bit = GENERATE_COPY(range(std::size_t{0}, good.size() * 8));
  Octets bad = good;
  bad[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
  FrameReader reader;
  reader.give(bad);
  Frame found;
  const Result first = reader.next(found);
  CHECK(first != Result::frame);
  // A length that grew waits for more; what comes then is no part of it.
  if (first == Result::more_bytes) {
    reader.give(Octets(kMaxFrameBytes, 0));
    CHECK(reader.next(found) == Result::error);
  }
  CHECK_FALSE(reader.error().empty());
  // Nothing behind it is believed.
  reader.give(good);
  CHECK(reader.next(found) == Result::error);
}

TEST_CASE("a frame that is too long is refused before it has come") {
  FrameHeader header = frame_header(FrameKind::log, 0, 0, {});
  const std::uint32_t length = kMaxFrameBytes + 1;
  std::memcpy(header.data() + 8, &length, sizeof length);
  FrameReader reader;
  reader.give(header);
  Frame found;
  CHECK(reader.next(found) == Result::error);
  CHECK(reader.error().find("1048577 bytes") != std::string::npos);
}

TEST_CASE("what is no frame at all says so") {
  FrameReader reader;
  reader.give(bytes_of("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  Frame found;
  CHECK(reader.next(found) == Result::error);
  CHECK(reader.error().find("another program") != std::string::npos);
}

TEST_CASE("kinds of later versions are passed over where they may be, and refused else") {
  FrameReader reader;
  Frame found;
  SECTION("may be") {
    reader.give(frame(static_cast<FrameKind>(kOptionalFrame | 500), 1, bytes_of("later")) +
                frame(FrameKind::ready, 2, {}));
    REQUIRE(reader.next(found) == Result::frame);
    CHECK(found.value == 2);
  }
  SECTION("must be understood") {
    reader.give(frame(static_cast<FrameKind>(500), 1, bytes_of("later")));
    CHECK(reader.next(found) == Result::error);
    CHECK(reader.error().find("kind 500") != std::string::npos);
  }
  SECTION("of one that is known, marked as optional") {
    reader.give(frame(static_cast<FrameKind>(kOptionalFrame | 7), 3, {}));
    REQUIRE(reader.next(found) == Result::frame);
    CHECK(found.kind == static_cast<std::uint16_t>(FrameKind::acknowledged));
  }
}
