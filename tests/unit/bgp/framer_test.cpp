// SPDX-License-Identifier: BSD-3-Clause
#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

TEST_CASE("only whole messages are consumed", "[framer]") {
  const Octets stream = encode_keepalive() + encode_end_of_rib(Family::ipv6) + encode_keepalive();
  for (std::size_t size = 0; size <= stream.size(); ++size) {
    MalformationCounters counters{};
    std::size_t at = 0;
    std::size_t messages = 0;
    while (true) {
      const Frame frame = next_frame(ByteSpan(stream).subspan(at, size - at), counters);
      if (frame.kind != Frame::Kind::message) {
        CHECK(frame.kind == Frame::Kind::incomplete);
        CHECK(frame.consumed == 0);
        break;
      }
      at += frame.consumed;
      ++messages;
    }
    CHECK(at <= size);
    CHECK(messages == (size < 19 ? 0u : size < 48 ? 1u : size < 67 ? 2u : 3u));
  }
}

TEST_CASE("a wrong header is answered as RFC 4271 section 6.1 says", "[framer]") {
  struct Row {
    const char* what;
    Octets header;
    Malformation counter;
    Notification answer;
  };
  const auto header = [](std::uint16_t length, std::uint8_t type) {
    return Octets(16, 0xff) + Octets{static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length), type};
  };
  Octets bad_marker = header(19, 4);
  bad_marker[7] = 0xfe;
  const std::vector<Row> rows{
      {"marker", bad_marker, Malformation::header_marker, {1, 1, {}}},
      {"length 0", header(0, 4), Malformation::header_length, {1, 2, {0, 0}}},
      {"length 18", header(18, 4), Malformation::header_length, {1, 2, {0, 18}}},
      {"length 4097", header(4097, 2), Malformation::header_length, {1, 2, {16, 1}}},
      {"length 65535", header(65535, 2), Malformation::header_length, {1, 2, {255, 255}}},
      {"KEEPALIVE of 20", header(20, 4), Malformation::header_length, {1, 2, {0, 20}}},
      {"OPEN of 28", header(28, 1), Malformation::header_length, {1, 2, {0, 28}}},
      {"UPDATE of 22", header(22, 2), Malformation::header_length, {1, 2, {0, 22}}},
      {"NOTIFICATION of 20", header(20, 3), Malformation::header_length, {1, 2, {0, 20}}},
      {"type 0", header(19, 0), Malformation::header_type, {1, 3, {0}}},
      {"type 6", header(19, 6), Malformation::header_type, {1, 3, {6}}},
      {"type 255", header(19, 255), Malformation::header_type, {1, 3, {255}}},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    MalformationCounters counters{};
    const Frame frame = next_frame(row.header, counters);
    CHECK(frame.kind == Frame::Kind::error);
    CHECK(frame.consumed == kHeaderBytes);
    CHECK(frame.error == row.answer);
    CHECK(counters[static_cast<std::size_t>(row.counter)] == 1);
  }
}
