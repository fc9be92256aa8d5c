// SPDX-License-Identifier: BSD-3-Clause
#include "pcapng.hpp"

#include <catch2/catch.hpp>

#include <string>

namespace tandem {
namespace {

using Octets = std::vector<std::uint8_t>;

TEST_CASE("a pcapng section header has these bytes") {
  Octets out;
  pcapng::section_header(out, "tandem", "pid 7");
  CHECK(out == Octets{0x0a, 0x0d, 0x0d, 0x0a, 56,   0,    0,    0,                     // block, length
                      0x4d, 0x3c, 0x2b, 0x1a, 1,    0,    0,    0,                     // magic, version
                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,                  // section length unknown
                      1,    0,    5,    0,    'p',  'i',  'd',  ' ',  '7', 0,   0, 0,  // comment
                      4,    0,    6,    0,    't',  'a',  'n',  'd',  'e', 'm', 0, 0,  // application
                      0,    0,    0,    0,    56,   0,    0,    0});
}

TEST_CASE("a pcapng interface description has these bytes") {
  Octets out;
  pcapng::interface_description(out, "eth0", "x");
  CHECK(out == Octets{1, 0, 0, 0, 48,  0,   0,   0,    // block, length
                      1, 0, 0, 0, 0,   0,   0,   0,    // Ethernet, whole frames
                      2, 0, 4, 0, 'e', 't', 'h', '0',  // name
                      3, 0, 1, 0, 'x', 0,   0,   0,    // description
                      9, 0, 1, 0, 9,   0,   0,   0,    // nanoseconds
                      0, 0, 0, 0, 48,  0,   0,   0});
}

TEST_CASE("a pcapng enhanced packet has these bytes") {
  Octets out;
  const Octets frame{0xaa, 0xbb, 0xcc, 0xdd, 0xee};
  pcapng::enhanced_packet(out, 0x1122334455667788, frame, pcapng::Direction::outbound, "hm");
  CHECK(out == Octets{6,    0,    0,    0,    60,   0,    0,    0,    0, 0, 0, 0,  // block, length, interface
                      0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55,              // time, upper half first
                      5,    0,    0,    0,    5,    0,    0,    0,                 // captured, original
                      0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0,    0,    0,                 // padded
                      2,    0,    4,    0,    2,    0,    0,    0,                 // flags: outbound
                      1,    0,    2,    0,    'h',  'm',  0,    0,                 // comment
                      0,    0,    0,    0,    60,   0,    0,    0});
}

TEST_CASE("a long comment is cut so that its length fits") {
  Octets out;
  pcapng::section_header(out, "t", std::string(100'000, 'x'));
  CHECK(out.size() % 4 == 0);
  CHECK(out.size() < 2000);
}

}  // namespace
}  // namespace tandem
