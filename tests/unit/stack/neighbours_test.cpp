// SPDX-License-Identifier: BSD-3-Clause
//
// ARP and neighbour discovery as a neighbour sees them: what a frame is answered with, and whom the stack takes to be where.
#include <catch2/catch.hpp>

#include "link_frames.hpp"

namespace tandem::test {

namespace {

using Told = std::vector<std::string>;

const MacAddress kOurs = mac(1), kTheirs = mac(2), kOthers = mac(3);
const std::string kOursText = kOurs.to_string(), kTheirsText = kTheirs.to_string(), kOthersText = kOthers.to_string();
const std::string kTheirV6 = "2001:db8::2", kOurV6 = "2001:db8::1", kSolicitedNode = "ff02::1:ff00:1",
                  kAllNodes = "ff02::1";

MacAddress group_mac(const std::string& group) {
  const auto octets = ip(group).octets;
  return {{0x33, 0x33, octets[12], octets[13], octets[14], octets[15]}};
}

Nd from_them(const std::string& destination) {
  const bool group = ip(destination).octets[0] == 0xff;
  return {kTheirV6, destination, kTheirs, group ? group_mac(destination) : kOurs};
}

/// The neighbour is known, by its own question.
void introduce(Lone& lone, std::uint8_t version) {
  if (version == 4) {
    lone.hears(arp_frame(kRequest, "10.0.0.2", kTheirs, "10.0.0.1", all_macs()));
  } else {
    lone.hears(solicitation(from_them(kSolicitedNode), kOurV6, kTheirs));
  }
}

}  // namespace

TEST_CASE("each ARP packet is answered and believed as RFC 826 and RFC 5227 say", "[neighbours]") {
  struct Case {
    std::string what;
    bool known;
    Frame frame;
    Told answer;
    std::string then_at;
  };
  const std::string answer = "10.0.0.1 is at " + kOursText + " to ";
  const Case cases[] = {
      {"a request of a stranger",
       false,
       arp_frame(kRequest, "10.0.0.2", kTheirs, "10.0.0.1", all_macs()),
       {answer + kTheirsText},
       kTheirsText},
      {"a request of a neighbour that moved",
       true,
       arp_frame(kRequest, "10.0.0.2", kOthers, "10.0.0.1", all_macs()),
       {answer + kOthersText},
       kOthersText},
      {"a unicast request, as a probe of reachability is",
       true,
       arp_frame(kRequest, "10.0.0.2", kTheirs, "10.0.0.1", kOurs),
       {answer + kTheirsText},
       kTheirsText},
      {"a request for another", false, arp_frame(kRequest, "10.0.0.2", kTheirs, "10.0.0.3", all_macs()), {}, ""},
      {"a request for another, of a neighbour that moved",
       true,
       arp_frame(kRequest, "10.0.0.2", kOthers, "10.0.0.3", all_macs()),
       {},
       kOthersText},
      {"a gratuitous request of a neighbour that moved",
       true,
       arp_frame(kRequest, "10.0.0.2", kOthers, "10.0.0.2", all_macs()),
       {},
       kOthersText},
      {"a gratuitous reply of a neighbour that moved",
       true,
       arp_frame(kReply, "10.0.0.2", kOthers, "10.0.0.2", all_macs()),
       {},
       kOthersText},
      {"a gratuitous request of a stranger",
       false,
       arp_frame(kRequest, "10.0.0.2", kTheirs, "10.0.0.2", all_macs()),
       {},
       ""},
      {"a reply that nobody asked for", false, arp_frame(kReply, "10.0.0.2", kTheirs, "10.0.0.1", kOurs), {}, ""},
      {"a probe for our address",
       false,
       arp_frame(kRequest, "0.0.0.0", kTheirs, "10.0.0.1", all_macs()),
       {answer + kTheirsText},
       ""},
      {"a probe for another", false, arp_frame(kRequest, "0.0.0.0", kTheirs, "10.0.0.3", all_macs()), {}, ""},
      {"a request from another network",
       false,
       arp_frame(kRequest, "192.0.2.9", kTheirs, "10.0.0.1", all_macs()),
       {answer + kTheirsText},
       ""},
      {"a sender with a group's link address",
       true,
       arp_frame(kRequest, "10.0.0.2", all_macs(), "10.0.0.1", kOurs),
       {},
       kTheirsText},
      {"a sender with our network's broadcast address",
       false,
       arp_frame(kRequest, "10.0.0.255", kTheirs, "10.0.0.1", all_macs()),
       {},
       ""},
      {"a request of our own that came back",
       false,
       arp_frame(kRequest, "10.0.0.1", kOurs, "10.0.0.2", all_macs()),
       {},
       ""},
  };
  for (const Case& one : cases) {
    CAPTURE(one.what);
    Lone lone;
    if (one.known) {
      introduce(lone, 4);
    }
    CHECK(lone.hears(one.frame) == one.answer);
    CHECK(lone.at(one.what.find("another network") != std::string::npos ? "192.0.2.9" : "10.0.0.2") == one.then_at);
    CHECK(lone.at("10.0.0.255").empty());
  }
}

TEST_CASE("each solicitation is answered and believed as RFC 4861 section 7.2.3 says", "[neighbours]") {
  struct Case {
    std::string what;
    bool known;
    Frame frame;
    Told answer;
    std::string then_at;
  };
  const std::string na = "NA 2001:db8::1 SO from 2001:db8::1 for 2001:db8::2 mac " + kOursText + " to ";
  const std::string to_all = "NA 2001:db8::1 O from 2001:db8::1 for ff02::1 mac " + kOursText + " to 33:33:00:00:00:01";
  Nd short_lived = from_them(kSolicitedNode);
  short_lived.hop_limit = 254;
  Nd from_nobody = from_them(kSolicitedNode);
  from_nobody.source = "::";
  Nd from_nobody_to_us = from_them(kOurV6);
  from_nobody_to_us.source = "::";
  const Case cases[] = {
      {"of a stranger",
       false,
       solicitation(from_them(kSolicitedNode), kOurV6, kTheirs),
       {na + kTheirsText},
       kTheirsText},
      {"of a neighbour that moved",
       true,
       solicitation(from_them(kSolicitedNode), kOurV6, kOthers),
       {na + kOthersText},
       kOthersText},
      {"unicast with an address",
       false,
       solicitation(from_them(kOurV6), kOurV6, kTheirs),
       {na + kTheirsText},
       kTheirsText},
      {"unicast without an address, of a neighbour",
       true,
       solicitation(from_them(kOurV6), kOurV6, {}),
       {na + kTheirsText},
       kTheirsText},
      {"unicast without an address, of a stranger",
       false,
       solicitation(from_them(kOurV6), kOurV6, {}),
       {"NS 2001:db8::2 from 2001:db8::1 for ff02::1:ff00:2 mac " + kOursText + " to 33:33:ff:00:00:02"},
       ""},
      {"for another", false, solicitation(from_them(kSolicitedNode), "2001:db8::9", kTheirs), {}, ""},
      {"with a hop limit of 254", false, solicitation(short_lived, kOurV6, kTheirs), {}, ""},
      {"of somebody who wants our address", false, solicitation(from_nobody, kOurV6, {}), {to_all}, ""},
      {"of nobody, with an address", false, solicitation(from_nobody, kOurV6, kTheirs), {}, ""},
      {"of nobody, to us alone", false, solicitation(from_nobody_to_us, kOurV6, {}), {}, ""},
      {"with a group's link address",
       true,
       solicitation(from_them(kSolicitedNode), kOurV6, all_macs()),
       {},
       kTheirsText},
  };
  for (const Case& one : cases) {
    CAPTURE(one.what);
    Lone lone;
    if (one.known) {
      introduce(lone, 6);
    }
    CHECK(lone.hears(one.frame) == one.answer);
    CHECK(lone.at(kTheirV6) == one.then_at);
  }
}

TEST_CASE("who solicits without his address gets the answer as soon as he has told it", "[neighbours]") {
  Lone lone;
  lone.hears(solicitation(from_them(kOurV6), kOurV6, {}));
  CHECK(lone.hears(advertisement(from_them(kOurV6), kTheirV6, kSolicitedFlag | kOverrideFlag, kTheirs)) ==
        Told{"NA 2001:db8::1 SO from 2001:db8::1 for 2001:db8::2 mac " + kOursText + " to " + kTheirsText});
}

TEST_CASE("each advertisement does what RFC 4861 section 7.2.5 says", "[neighbours]") {
  struct Case {
    std::string what;
    bool known;
    std::string destination;
    std::uint8_t flags;
    std::optional<MacAddress> target_mac;
    std::string then_at;
  };
  const auto solicited = kSolicitedFlag, override = kOverrideFlag;
  const Case cases[] = {
      {"of a stranger", false, kOurV6, std::uint8_t(solicited | override), kOthers, ""},
      {"unasked, of a stranger", false, kAllNodes, override, kOthers, ""},
      {"unasked, to all, with override", true, kAllNodes, override, kOthers, kOthersText},
      {"unasked, to all, without override", true, kAllNodes, 0, kOthers, kTheirsText},
      {"unasked, to us, with override", true, kOurV6, override, kOthers, kOthersText},
      {"solicited, with override", true, kOurV6, std::uint8_t(solicited | override), kOthers, kOthersText},
      {"solicited, without override", true, kOurV6, solicited, kOthers, kTheirsText},
      {"solicited, without an address", true, kOurV6, std::uint8_t(solicited | override), {}, kTheirsText},
      {"to all, though solicited", true, kAllNodes, std::uint8_t(solicited | override), kOthers, kTheirsText},
  };
  for (const Case& one : cases) {
    CAPTURE(one.what);
    Lone lone;
    if (one.known) {
      introduce(lone, 6);
    }
    CHECK(lone.hears(advertisement(from_them(one.destination), kTheirV6, one.flags, one.target_mac)).empty());
    CHECK(lone.at(kTheirV6) == one.then_at);
  }
}

TEST_CASE("what waits for a neighbour goes with the first word of where it is", "[neighbours]") {
  struct Case {
    std::string what;
    std::uint8_t version;
    Frame frame;
  };
  Nd request = from_them(kSolicitedNode);
  const Case cases[] = {
      {"an ARP reply", 4, arp_frame(kReply, "10.0.0.2", kTheirs, "10.0.0.1", kOurs)},
      {"an ARP request", 4, arp_frame(kRequest, "10.0.0.2", kTheirs, "10.0.0.1", all_macs())},
      {"an ARP announcement", 4, arp_frame(kRequest, "10.0.0.2", kTheirs, "10.0.0.2", all_macs())},
      {"an advertisement", 6, advertisement(from_them(kOurV6), kTheirV6, kSolicitedFlag | kOverrideFlag, kTheirs)},
      {"an unasked advertisement", 6, advertisement(from_them(kAllNodes), kTheirV6, 0, kTheirs)},
      {"a solicitation", 6, solicitation(request, kOurV6, kTheirs)},
  };
  for (const Case& one : cases) {
    CAPTURE(one.what);
    Lone lone;
    const std::string them = one.version == 4 ? "10.0.0.2" : kTheirV6;
    const std::string us = one.version == 4 ? "10.0.0.1" : kOurV6;
    // Three pings of somebody whom it does not know: the answers wait.
    lone.hears(ping(them, us, kTheirs, kOurs));
    lone.hears(ping(them, us, kTheirs, kOurs));
    CHECK(lone.hears(ping(them, us, kTheirs, kOurs)).empty());
    const auto said = lone.hears(one.frame);
    CHECK(std::count(said.begin(), said.end(), "pong for " + them + " to " + kTheirsText) == 3);
  }
}

TEST_CASE("a neighbour is asked three times, a second apart, and then again for the next packet", "[neighbours]") {
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  CAPTURE(int(version));
  const std::string them = version == 4 ? "10.0.0.2" : kTheirV6;
  const std::string us = version == 4 ? "10.0.0.1" : kOurV6;
  const std::string question =
      version == 4 ? "who has 10.0.0.2 tell 10.0.0.1 to ff:ff:ff:ff:ff:ff"
                   : "NS 2001:db8::2 from 2001:db8::1 for ff02::1:ff00:2 mac " + kOursText + " to 33:33:ff:00:00:02";
  Lone lone;
  CHECK(lone.hears(ping(them, us, kTheirs, kOurs)) == Told{question});
  CHECK(lone.after(900).empty());
  CHECK(lone.after(200) == Told{question});
  CHECK(lone.after(1000) == Told{question});
  CHECK(lone.after(20'000).empty());
  CHECK(lone.hears(ping(them, us, kTheirs, kOurs)) == Told{question});
}

TEST_CASE("a neighbour that is used is asked itself after a while, and lost when it is silent", "[neighbours]") {
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  CAPTURE(int(version));
  const std::string them = version == 4 ? "10.0.0.2" : kTheirV6;
  const std::string us = version == 4 ? "10.0.0.1" : kOurV6;
  const std::string probe =
      version == 4 ? "who has 10.0.0.2 tell 10.0.0.1 to " + kTheirsText
                   : "NS 2001:db8::2 from 2001:db8::1 for 2001:db8::2 mac " + kOursText + " to " + kTheirsText;
  Lone lone;
  introduce(lone, version);
  // It said where it is; that it hears us is not known.
  CHECK(lone.hears(ping(them, us, kTheirs, kOurs)).size() == 1);
  CHECK(lone.after(4900).empty());
  CHECK(lone.after(200) == Told{probe});
  const Frame answer = version == 4
                           ? arp_frame(kReply, "10.0.0.2", kTheirs, "10.0.0.1", kOurs)
                           : advertisement(from_them(kOurV6), kTheirV6, kSolicitedFlag | kOverrideFlag, kTheirs);
  SECTION("it answers") {
    lone.hears(answer);
    // Reachable for 15 seconds at least; nobody who is not used is asked.
    CHECK(lone.after(120'000).empty());
    CHECK(lone.at(them) == kTheirsText);
  }
  SECTION("it is silent") {
    CHECK(lone.after(2000) == Told{probe, probe});
    CHECK(lone.after(2000).empty());
    CHECK(lone.at(them).empty());
  }
}

TEST_CASE("a router's words: redirects only of the first hop, of an advertisement its link address", "[neighbours]") {
  const std::string far = "2001:db8:f::9", better = "fe80::b", gateway = "fe80::fe";
  Lone lone({"10.0.0.1/24", "2001:db8::1/64"}, {"10.0.0.254", gateway});
  const Nd router{gateway, kOurV6, kTheirs, kOurs};
  lone.hears(ping(far, kOurV6, kTheirs, kOurs));
  lone.hears(advertisement(router, gateway, kSolicitedFlag | kOverrideFlag | kRouterFlag, kTheirs));
  CHECK(lone.hears(ping(far, kOurV6, kTheirs, kOurs)) == Told{"pong for " + far + " to " + kTheirsText});
  SECTION("its advertisement moves it, and makes no other one a router of ours") {
    lone.hears(router_advertisement({gateway, kAllNodes, kTheirs, group_mac(kAllNodes)}, kOthers));
    CHECK(lone.hears(ping(far, kOurV6, kTheirs, kOurs)) == Told{"pong for " + far + " to " + kOthersText});
    lone.hears(router_advertisement({"fe80::bad", kAllNodes, kTheirs, group_mac(kAllNodes)}, kTheirs));
    CHECK(lone.hears(ping(far, kOurV6, kTheirs, kOurs)) == Told{"pong for " + far + " to " + kOthersText});
  }
  SECTION("its redirect is followed, for that destination") {
    lone.hears(redirect(router, better, far, kOthers));
    CHECK(lone.hears(ping(far, kOurV6, kTheirs, kOurs)) == Told{"pong for " + far + " to " + kOthersText});
    CHECK(lone.hears(ping("2001:db8:f::8", kOurV6, kTheirs, kOurs)) ==
          Told{"pong for 2001:db8:f::8 to " + kTheirsText});
  }
  SECTION("a stranger's is not") {
    lone.hears(redirect({"fe80::bad", kOurV6, kTheirs, kOurs}, better, far, kOthers));
    CHECK(lone.hears(ping(far, kOurV6, kTheirs, kOurs)) == Told{"pong for " + far + " to " + kTheirsText});
  }
}

}  // namespace tandem::test
