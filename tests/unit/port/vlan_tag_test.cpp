// SPDX-License-Identifier: BSD-3-Clause
#include "vlan_tag.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "tap_device.hpp"

namespace tandem {
namespace {

using Frame = std::vector<std::uint8_t>;

const Frame kPlain{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 0, 0x45, 0x46, 0x47};

Frame tagged(std::uint8_t high, std::uint8_t low, Frame frame = kPlain) {
  frame.insert(frame.begin() + 12, {0x81, 0, high, low});
  return frame;
}

TEST_CASE("a tag is taken off where it is ours, or where it is only a priority, and other frames are none of ours") {
  struct Row {
    const char* what;
    Frame frame;
    std::uint16_t vlan;
    bool ours;
  };
  const Frame short_tag = tagged(0, 0);
  const Row rows[] = {
      {"untagged, in no VLAN", kPlain, 0, true},
      {"untagged, in a VLAN", kPlain, 100, false},
      {"priority, in no VLAN", tagged(0xe0, 0), 0, true},
      {"priority, in a VLAN", tagged(0xe0, 0), 100, false},
      {"our VLAN", tagged(0, 100), 100, true},
      {"our VLAN, with priority and drop eligible", tagged(0xf1, 0x02), 0x102, true},
      {"another VLAN", tagged(0, 101), 100, false},
      {"another VLAN, in no VLAN", tagged(0, 1), 0, false},
      {"a tag that is cut", Frame(short_tag.begin(), short_tag.begin() + 16), 0, false},
      {"a frame that is cut", Frame(kPlain.begin(), kPlain.begin() + 9), 0, true},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    Frame frame = row.frame;
    const auto rest = untagged(frame, row.vlan);
    CHECK(rest.empty() != row.ours);
    if (row.ours && row.frame.size() >= kPlain.size()) CHECK(Frame(rest.begin(), rest.end()) == kPlain);
    if (!row.ours) CHECK(frame == row.frame);
  }
}

TEST_CASE("what is tagged is untagged again") {
  for (const std::uint16_t vlan : {1, 100, 255, 256, 4094}) {
    Frame frame(kVlanTagBytes, 0xee);
    frame.insert(frame.end(), kPlain.begin(), kPlain.end());
    put_tag(frame, vlan);
    CHECK(frame == tagged(static_cast<std::uint8_t>(vlan >> 8), static_cast<std::uint8_t>(vlan)));
    const auto rest = untagged(frame, vlan);
    CHECK(Frame(rest.begin(), rest.end()) == kPlain);
  }
}

TEST_CASE("the length of a tagged frame that a dead process read is that of its packet and the tag") {
  Frame frame(100, 0);
  frame[12] = 8;
  frame[14] = 0x45;
  frame[17] = 60;
  CHECK(frame_length_from_headers(frame) == 14 + 60);
  CHECK(frame_length_from_headers(tagged(0, 7, frame)) == 14 + 4 + 60);
}

}  // namespace
}  // namespace tandem
