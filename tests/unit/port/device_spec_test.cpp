// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "tandem/device.hpp"

namespace tandem {
namespace {

using Kind = DeviceSpec::Kind;
using Mode = DeviceSpec::Mode;

TEST_CASE("device specifications that are accepted, and how they read back") {
  struct Row {
    const char* text;
    Kind kind;
    const char* interface;
    std::uint32_t queue;
    Mode mode;
    const char* canonical;
  };
  const Row rows[] = {
      {"tap:tap0", Kind::tap, "tap0", 0, Mode::automatic, "tap:tap0"},
      {"xdp:eth0", Kind::xdp, "eth0", 0, Mode::automatic, "xdp:eth0"},
      {"xdp:eth0,queue=3", Kind::xdp, "eth0", 3, Mode::automatic, "xdp:eth0,queue=3"},
      {"xdp:eth0,mode=auto", Kind::xdp, "eth0", 0, Mode::automatic, "xdp:eth0"},
      {"xdp:eth0,mode=zerocopy", Kind::xdp, "eth0", 0, Mode::zerocopy, "xdp:eth0,mode=zerocopy"},
      {"xdp:enp1s0f0,mode=native,queue=7", Kind::xdp, "enp1s0f0", 7, Mode::native, "xdp:enp1s0f0,queue=7,mode=native"},
      {"xdp:a,queue=0,mode=generic", Kind::xdp, "a", 0, Mode::generic, "xdp:a,mode=generic"},
      {"xdp:eth0.100", Kind::xdp, "eth0.100", 0, Mode::automatic, "xdp:eth0.100"},
      {"tap:tap0,vlan=4094", Kind::tap, "tap0", 0, Mode::automatic, "tap:tap0,vlan=4094"},
      {"xdp:eth0,vlan=100,queue=2", Kind::xdp, "eth0", 2, Mode::automatic, "xdp:eth0,queue=2,vlan=100"},
      {"tap:abcdefghijklmno", Kind::tap, "abcdefghijklmno", 0, Mode::automatic, "tap:abcdefghijklmno"},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    const DeviceSpec spec = DeviceSpec::parse(row.text);
    CHECK(spec.kind == row.kind);
    CHECK(spec.interface == row.interface);
    CHECK(spec.queue == row.queue);
    CHECK(spec.mode == row.mode);
    CHECK(spec.to_string() == row.canonical);
    CHECK(DeviceSpec::parse(spec.to_string()).to_string() == row.canonical);
  }
}

TEST_CASE("device specifications that are refused, with the reason and the accepted form") {
  struct Row {
    const char* text;
    const char* reason;
  };
  const Row rows[] = {
      {"", "colon"},
      {"eth0", "colon"},
      {"raw:eth0", "no kind \"raw\""},
      {"XDP:eth0", "no kind \"XDP\""},
      {"xdp:", "interface name"},
      {"xdp:,queue=1", "interface name"},
      {"xdp:abcdefghijklmnop", "interface name"},
      {"xdp:a/b", "interface name"},
      {"xdp:a b", "interface name"},
      {"xdp:..", "interface name"},
      {"xdp:eth0,queue=every", "nor \"all\""},
      {"xdp:eth0,vlan=0", "not a number from 1 to 4094"},
      {"xdp:eth0,vlan=4095", "not a number from 1 to 4094"},
      {"xdp:eth0,vlan=1x", "not a number from 1 to 4094"},
      {"tap:a,vlan=", "not a number from 1 to 4094"},
      {"tap:a:b", "interface name"},
      {"xdp:eth0,", "no option \"\""},
      {"xdp:eth0,queue", "queue \"\""},
      {"xdp:eth0,queue=", "queue \"\""},
      {"xdp:eth0,queue=-1", "queue \"-1\""},
      {"xdp:eth0,queue=1x", "queue \"1x\""},
      {"xdp:eth0,queue=65536", "65535"},
      {"xdp:eth0,queue=99999999999999999999", "65535"},
      {"xdp:eth0,mode=fast", "no mode \"fast\""},
      {"xdp:eth0,speed=1", "no option \"speed\""},
      {"tap:tap0,queue=1", "no option but vlan=N"},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK_THROWS_AS(DeviceSpec::parse(row.text), std::invalid_argument);
    CHECK_THROWS_WITH(DeviceSpec::parse(row.text),
                      Catch::Contains(row.reason) && Catch::Contains("xdp:IFNAME[,queue=N|all]"));
  }
}

}  // namespace
}  // namespace tandem
