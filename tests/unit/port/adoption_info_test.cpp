// SPDX-License-Identifier: BSD-3-Clause
#include "adoption_info.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

namespace tandem {
namespace {

AdoptionInfo example() {
  AdoptionInfo info;
  info.kind = DeviceSpec::Kind::xdp;
  info.mode = DeviceSpec::Mode::generic;
  info.geometry = {0x2000, 0x800, 0x400};
  info.mtu = 1500;
  info.queue = 5;
  info.vlan = 0x0102;
  info.mac = {{2, 3, 4, 5, 6, 7}};
  info.interface = "eth0";
  return info;
}

TEST_CASE("adoption information has these bytes and reads back as it was") {
  const std::vector<std::uint8_t> golden{'T',  'D', 'A', 'I', 1,    0,    56, 0,  // magic, version, length
                                         0,    3,   2,   1,   0x00, 0x20, 0,  0,  // kind, mode, VLAN, frames
                                         0,    8,   0,   0,   0x00, 0x04, 0,  0,  // bytes a frame, ring entries
                                         0xdc, 5,   0,   0,   5,    0,    0,  0,  // MTU, queue
                                         2,    3,   4,   5,   6,    7,    0,  0,  // MAC
                                         'e',  't', 'h', '0', 0,    0,    0,  0, 0, 0, 0, 0, 0, 0, 0, 0};
  CHECK(example().encode() == golden);
  CHECK(AdoptionInfo::decode(golden) == example());
}

TEST_CASE("adoption information that is cut, foreign or senseless is refused") {
  const auto good = example().encode();
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_THROWS_AS(AdoptionInfo::decode(std::span(good).first(size)), DeviceError);
  struct Row {
    std::size_t at;
    std::uint8_t value;
    const char* reason;
  };
  const Row rows[] = {
      {0, 'X', "not such a description"},
      {4, 2, "version 2"},
      {6, 57, "length"},
      {6, 55, "length"},
      {8, 2, "kind"},
      {9, 4, "mode"},
      {11, 0x10, "VLAN"},
      {12, 1, "frames"},
      {16, 1, "2048, 4096 or 16384"},
      {20, 1, "ring entries"},
      {25, 0xff, "MTU"},
  };
  for (const Row& row : rows) {
    INFO("byte " << row.at);
    auto bad = good;
    bad[row.at] = row.value;
    CHECK_THROWS_WITH(AdoptionInfo::decode(bad), Catch::Contains(row.reason) && Catch::Contains("same version"));
  }
  auto endless = good;
  std::fill(endless.begin() + 40, endless.end(), 'e');
  CHECK_THROWS_WITH(AdoptionInfo::decode(endless), Catch::Contains("interface"));
}

TEST_CASE("a descriptor that was not passed is named") {
  const std::vector<NamedDescriptor> passed{{"umem", 0}};
  CHECK(take_descriptor(passed, "umem").valid());
  CHECK_THROWS_WITH(take_descriptor(passed, "wire"), Catch::Contains("\"wire\""));
}

TEST_CASE("a twin whose options do not fit the primary's device is told the difference") {
  DeviceOptions options;
  options.spec = DeviceSpec::parse("xdp:eth0,queue=5,vlan=258");
  options.ring_entries = 0x400;
  const auto attach = [&] { return attach_device(options, example().encode(), {}); };
  CHECK_THROWS_WITH(attach(), Catch::Contains("descriptor") || Catch::Contains("built without AF_XDP"));
  SECTION("kind") {
    options.spec = DeviceSpec::parse("tap:eth0");
    CHECK_THROWS_WITH(attach(), Catch::Contains("kind of device is xdp, ours is tap"));
  }
  SECTION("interface") {
    options.spec.interface = "eth1";
    CHECK_THROWS_WITH(attach(), Catch::Contains("interface is eth0, ours is eth1"));
  }
  SECTION("queue") {
    options.spec.queue = 1;
    CHECK_THROWS_WITH(attach(), Catch::Contains("queue is 5, ours is 1"));
  }
  SECTION("VLAN") {
    options.spec.vlan = 0;
    CHECK_THROWS_WITH(attach(), Catch::Contains("VLAN is 258, ours is 0"));
  }
  SECTION("frames") {
    options.frames = 16;
    CHECK_THROWS_WITH(attach(), Catch::Contains("frames is 8192, ours is 16"));
  }
  SECTION("MAC") {
    options.mac = MacAddress{};
    CHECK_THROWS_WITH(attach(), Catch::Contains("MAC"));
  }
}

}  // namespace
}  // namespace tandem
