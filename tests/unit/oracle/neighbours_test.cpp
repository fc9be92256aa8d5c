// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "conversation.hpp"

using namespace tandem::oracle;
using namespace tandem::oracle::test;

namespace {

using Bytes = std::vector<std::uint8_t>;

const Mac kOurs{2, 0, 0, 0, 0, 1}, kOthers{2, 0, 0, 0, 0, 9};
const Host kOurV4 = Host::v4(10, 0, 0, 1), kMachineV4 = Host::v4(10, 0, 0, 10), kForeignV4 = Host::v4(10, 0, 0, 7);
const Host kOurV6 = Host::v6({0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
const Host kForeignV6 = Host::v6({0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7});

Options options() {
  Options out;
  out.judged = {kOurV4, kOurV6};
  out.macs = {kOurs};
  out.also = {kMachineV4};
  return out;
}

Bytes arp(std::uint8_t operation, const Mac& from, const Mac& claimed, const Host& host) {
  Bytes frame(6, 0xff);
  frame.insert(frame.end(), from.begin(), from.end());
  frame.insert(frame.end(), {8, 6, 0, 1, 8, 0, 6, 4, 0, operation});
  frame.insert(frame.end(), claimed.begin(), claimed.end());
  frame.insert(frame.end(), host.bytes.begin() + 12, host.bytes.end());
  frame.insert(frame.end(), 6, 0);
  frame.insert(frame.end(), {10, 0, 0, 2});
  return frame;
}

/// Without a right checksum: what is looked at here is what it claims.
Bytes advertisement(const Mac& from, const Mac& claimed, const Host& host, std::uint8_t hop_limit = 255) {
  Bytes frame(6, 0x33);
  frame.insert(frame.end(), from.begin(), from.end());
  frame.insert(frame.end(), {0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, hop_limit});
  frame.insert(frame.end(), host.bytes.begin(), host.bytes.end());
  frame.insert(frame.end(), kForeignV6.bytes.begin(), kForeignV6.bytes.end());
  frame.insert(frame.end(), {136, 0, 0, 0, 0x60, 0, 0, 0});
  frame.insert(frame.end(), host.bytes.begin(), host.bytes.end());
  frame.insert(frame.end(), {2, 1});
  frame.insert(frame.end(), claimed.begin(), claimed.end());
  return frame;
}

std::string broken(const Options& options, const Bytes& frame) {
  Oracle oracle(options);
  oracle.observe(1, frame);
  std::string all;
  for (const Violation& violation : oracle.violations()) {
    if (violation.rule != "checksum") all += (all.empty() ? "" : " ") + violation.rule;
  }
  return all;
}

}  // namespace

TEST_CASE("ARP claims our addresses for our link address, and no others") {
  const std::uint8_t operation = GENERATE(1, 2);
  CHECK(broken(options(), arp(operation, kOurs, kOurs, kOurV4)) == "");
  CHECK(broken(options(), arp(operation, kOurs, kOurs, kMachineV4)) == "");
  CHECK(broken(options(), arp(operation, kOurs, kOurs, Host::v4(0, 0, 0, 0))) == "");
  CHECK(broken(options(), arp(operation, kOthers, kOthers, kForeignV4)) == "");
  CHECK(broken(options(), arp(operation, kOurs, kOthers, kOurV4)) == "neighbour");
  CHECK(broken(options(), arp(operation, kOurs, kOurs, kForeignV4)) == "neighbour");
  CHECK(broken(options(), arp(operation, kOthers, kOthers, kOurV4)) == "neighbour");
}

TEST_CASE("neighbour discovery claims our addresses for our link address, and no others") {
  CHECK(broken(options(), advertisement(kOurs, kOurs, kOurV6)) == "");
  CHECK(broken(options(), advertisement(kOthers, kOthers, kForeignV6)) == "");
  CHECK(broken(options(), advertisement(kOurs, kOthers, kOurV6)) == "neighbour");
  CHECK(broken(options(), advertisement(kOurs, kOurs, kOurV6, 64)) == "neighbour");
  CHECK(broken(options(), advertisement(kOurs, kOurs, kForeignV6)) == "source-address neighbour");
  CHECK(broken(options(), advertisement(kOthers, kOthers, kOurV6)) == "source-address neighbour");
}

TEST_CASE("where no link address is given, an address is still claimed for the one that the frame has") {
  Options unknown = options();
  unknown.macs.clear();
  CHECK(broken(unknown, arp(2, kOthers, kOthers, kOurV4)) == "");
  CHECK(broken(unknown, arp(2, kOthers, kOurs, kOurV4)) == "neighbour");
}

TEST_CASE("packets have an address of ours exactly when they come from our link address") {
  Setting setting;
  setting.options.macs = {{2, 0, 0, 0, 0, 1}};
  Conversation talk(setting);
  talk.open();
  CHECK(talk.broken() == "");
  Side wrong = talk.us;
  SECTION("an address that is not ours") {
    wrong.host = kForeignV4;
    talk.oracle.observe(talk.now_ns, frame_of(wrong, talk.peer, talk.from_us("x")));
    CHECK(talk.broken() == "source-address");
  }
  SECTION("a link address that is not ours") {
    wrong.mac = kOthers;
    talk.oracle.observe(talk.now_ns, frame_of(wrong, talk.peer, talk.from_us("x")));
    CHECK(talk.broken() == "source-address");
  }
}
