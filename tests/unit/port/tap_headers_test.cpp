// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "tap_device.hpp"

namespace tandem {
namespace {

std::vector<std::uint8_t> frame(std::initializer_list<std::pair<std::size_t, std::uint8_t>> octets) {
  std::vector<std::uint8_t> bytes(1792, 0);
  for (const auto& [at, value] : octets) bytes[at] = value;
  return bytes;
}

TEST_CASE("the length of a frame whose reader died is the one that its headers say") {
  CHECK(frame_length_from_headers(frame({{12, 0x08}, {13, 0x06}})) == 42);
  CHECK(frame_length_from_headers(frame({{12, 0x08}, {13, 0x00}, {14, 0x45}, {16, 5}, {17, 220}})) == 1514);
  CHECK(frame_length_from_headers(frame({{12, 0x86}, {13, 0xdd}, {14, 0x60}, {18, 0}, {19, 8}})) == 62);
  CHECK(frame_length_from_headers(frame({{12, 0x86}, {13, 0xdd}, {14, 0x60}})) == 54);
}

TEST_CASE("a frame that no header gives a sensible length is none") {
  CHECK(frame_length_from_headers(frame({})) == 0);
  CHECK(frame_length_from_headers(frame({{12, 0x81}})) == 0);
  CHECK(frame_length_from_headers(frame({{12, 0x08}, {14, 0x45}, {17, 19}})) == 0);
  CHECK(frame_length_from_headers(frame({{12, 0x08}, {14, 0x65}, {17, 40}})) == 0);
  CHECK(frame_length_from_headers(frame({{12, 0x08}, {14, 0x45}, {16, 0xff}})) == 0);
  CHECK(frame_length_from_headers(frame({{12, 0x86}, {13, 0xdd}, {14, 0x60}, {18, 0xff}})) == 0);
  CHECK(frame_length_from_headers({}) == 0);
}

TEST_CASE("the default TAP address is stable, locally administered and never the kernel side's") {
  const MacAddress none;
  const MacAddress mac = tap_default_mac("pair", "tap0", none);
  CHECK(mac == tap_default_mac("pair", "tap0", none));
  CHECK(mac ==
        MacAddress{{0x02, 0xe9, 0x75, 0x23, 0xd7, 0xa6}});  // part of the promise: it does not change between versions
  CHECK((mac.octets[0] & 3) == 2);
  CHECK(mac != tap_default_mac("pair", "tap1", none));
  CHECK(mac != tap_default_mac("pai", "rtap0", none));
  CHECK(tap_default_mac("pair", "tap0", mac) != mac);
}

}  // namespace
}  // namespace tandem
