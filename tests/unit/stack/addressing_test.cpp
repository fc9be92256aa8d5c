// SPDX-License-Identifier: BSD-3-Clause
//
// Prefix lengths as users give them, from both ends; what cannot work is refused with its reason.
#include <catch2/catch.hpp>

#include "link_frames.hpp"
#include "streams.hpp"
#include "tandem/addressing.hpp"

namespace tandem::test {

namespace {

constexpr std::uint16_t kService = 7;
constexpr std::uint16_t kTalk = 1;

/// The address `offset` behind the beginning of `base`'s prefix.
IpAddress within(const std::string& base, std::size_t length, unsigned offset) {
  IpAddress address = ip(base);
  for (std::size_t bit = length; bit < address.bytes().size() * 8; ++bit) {
    address.octets[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> bit % 8));
  }
  address.octets[address.bytes().size() - 1] |= static_cast<std::uint8_t>(offset);
  return address;
}

void serve(Host& host) {
  host.stack().define_service(kService, [](Connection&) { return std::make_unique<Echo>(); });
  host.stack().listen({IpAddress::any(4), kService}, unreplicated, kService);
  host.stack().listen({IpAddress::any(6), kService}, unreplicated, kService);
}

std::shared_ptr<Flow> talk(Host& host, const IpAddress& to) {
  const auto flow = std::make_shared<Flow>(1, 100);
  flow->close_when_sent = false;
  host.stack().define_service(kTalk, [flow](Connection&) { return std::make_unique<Talker>(flow); });
  REQUIRE(host.stack().connect({IpAddress::any(to.version), 0}, {to, kService}, unreplicated, kTalk) != nullptr);
  return flow;
}

std::string error_of(const std::vector<std::string>& prefixes, const std::vector<std::string>& gateways) {
  std::vector<IpPrefix> addresses;
  for (const auto& prefix : prefixes) {
    addresses.push_back(IpPrefix::parse(prefix).value());
  }
  std::vector<IpAddress> routers;
  for (const auto& gateway : gateways) {
    routers.push_back(ip(gateway));
  }
  return addressing_error(addresses, routers);
}

}  // namespace

TEST_CASE("two hosts of a network of any size reach one another, whoever begins", "[addressing]") {
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  const std::size_t first = version == 4 ? 8 : 32;
  const std::size_t last = version == 4 ? 31 : 127;
  const std::string base = version == 4 ? "10.66.77.88" : "2001:db8:1:2:3:4:5:6";
  for (std::size_t length = first; length <= last; ++length) {
    // The two ends of a network of two; in larger ones the first hosts.
    const unsigned low = length == last ? 0 : 1;
    const bool swapped = GENERATE(false, true);
    IpAddress ours = within(base, length, low);
    IpAddress theirs = within(base, length, low + 1);
    if (swapped) {
      std::swap(ours, theirs);
    }
    CAPTURE(length, ours.to_string(), theirs.to_string());
    Clock clock;
    Wire wire;
    Host us(wire, clock, mac(1), options(clock, {ours.to_string() + "/" + std::to_string(length)}));
    Host them(wire, clock, mac(2), options(clock, {theirs.to_string() + "/" + std::to_string(length)}));
    serve(us);
    serve(them);
    const auto from_us = talk(us, theirs);
    const auto from_them = talk(them, ours);
    CHECK(run(
        clock, {&us, &them}, [&] { return from_us->received == 100 && from_them->received == 100; }, 500));
  }
}

TEST_CASE("what is on the link is asked for itself, what is not goes to the gateway, at every length", "[addressing]") {
  struct Case {
    std::uint8_t version;
    std::string base;
    std::size_t length;
  };
  const std::string bases[] = {"10.66.77.88", "2001:db8:1:2:3:4:5:6"};
  for (const std::string& base : bases) {
    const bool v6 = ip(base).is_v6();
    const std::size_t bits = v6 ? 128 : 32;
    for (std::size_t length = v6 ? 32 : 8; length < bits; ++length) {
      const unsigned low = length + 1 == bits ? 0 : 1;
      const IpAddress ours = within(base, length, low);
      const IpAddress gateway = within(base, length, low + 1);
      // The last bit of the prefix is another: as near as can be, and not on the link.
      IpAddress outside = ours;
      outside.octets[(length - 1) / 8] ^= static_cast<std::uint8_t>(0x80U >> (length - 1) % 8);
      CAPTURE(length, ours.to_string(), outside.to_string());
      Lone lone({ours.to_string() + "/" + std::to_string(length)}, {gateway.to_string()});
      const auto asks_for = [&](const IpAddress& source) {
        const auto said = lone.hears(ping(source.to_string(), ours.to_string(), mac(2), mac(1)));
        REQUIRE(said.size() == 1);
        const std::string verb = v6 ? "NS " : "who has ";
        REQUIRE(said[0].substr(0, verb.size()) == verb);
        return said[0].substr(verb.size(), said[0].find(' ', verb.size()) - verb.size());
      };
      CHECK(asks_for(outside) == gateway.to_string());
      if (length + 2 < bits) {
        const IpAddress beside = within(base, length, low + 2);
        CHECK(asks_for(beside) == beside.to_string());
      }
    }
  }
}

TEST_CASE("an address of its own network's length, with the link's beside it", "[addressing]") {
  // A service address, as an anycast or a loopback one is: a neighbour reaches it, and it reaches the neighbour.
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  CAPTURE(int(version));
  const bool v6 = version == 6;
  Clock clock;
  Wire wire;
  auto with_gateway = options(clock, v6 ? std::vector<std::string>{"2001:db8::1/64", "2001:db8:5::1/128"}
                                        : std::vector<std::string>{"10.0.0.1/24", "192.0.2.1/32"});
  with_gateway.gateways = {ip(v6 ? "2001:db8::2" : "10.0.0.2")};
  Host us(wire, clock, mac(1), with_gateway);
  auto routed = options(clock, {v6 ? "2001:db8::2/64" : "10.0.0.2/24"});
  routed.gateways = {ip(v6 ? "2001:db8::1" : "10.0.0.1")};
  Host them(wire, clock, mac(2), routed);
  serve(us);
  serve(them);
  const auto to_service = talk(them, ip(v6 ? "2001:db8:5::1" : "192.0.2.1"));
  const auto flow = std::make_shared<Flow>(1, 100);
  us.stack().define_service(kTalk, [flow](Connection&) { return std::make_unique<Talker>(flow); });
  REQUIRE(us.stack().connect(endpoint(v6 ? "2001:db8:5::1" : "192.0.2.1", 0),
                             endpoint(v6 ? "2001:db8::2" : "10.0.0.2", kService), unreplicated, kTalk) != nullptr);
  // Asked with an address that the neighbour takes for one of its link.
  bool asked_with_service = false;
  wire.watch = [&](const Frame& frame) {
    const std::string text = told(frame);
    asked_with_service = asked_with_service || text.find("who has 10.0.0.2 tell 192.0.2.1") == 0 ||
                         text.find("NS 2001:db8::2 from 2001:db8:5::1") == 0;
  };
  CHECK(run(
      clock, {&us, &them}, [&] { return to_service->received == 100 && flow->received == 100; }, 500));
  CHECK_FALSE(asked_with_service);
}

TEST_CASE("a connection goes out with the address of its neighbour's network", "[addressing]") {
  Clock clock;
  Wire wire;
  Host us(wire, clock, mac(1),
          options(clock, {"10.0.0.1/8", "10.1.0.1/16", "10.1.0.9/16", "10.1.2.0/31", "2001:db8::1/48",
                          "2001:db8::10/127", "2001:db8::20/127", "fd00::1/64"}));
  us.stack().define_service(kTalk, [](Connection&) { return std::make_unique<Echo>(); });
  const std::pair<std::string, std::string> cases[] = {
      {"10.9.9.9", "10.0.0.1"},         {"10.1.9.9", "10.1.0.1"},         {"10.1.2.1", "10.1.2.0"},
      {"2001:db8::11", "2001:db8::10"}, {"2001:db8::21", "2001:db8::20"}, {"2001:db8:0:9::1", "2001:db8::1"},
      {"fd00::9", "fd00::1"},
  };
  for (const auto& [remote, local] : cases) {
    CAPTURE(remote);
    Connection* const connection =
        us.stack().connect({IpAddress::any(ip(remote).version), 0}, endpoint(remote, 7), unreplicated, kTalk);
    REQUIRE(connection != nullptr);
    CHECK(connection->local().address.to_string() == local);
  }
}

TEST_CASE("as many addresses as a node may have all answer", "[addressing]") {
  std::vector<std::string> prefixes;
  for (std::size_t i = 1; i <= kMaxAddresses; ++i) {
    prefixes.push_back("10.0.0." + std::to_string(i) + "/24");
    prefixes.push_back("2001:db8::" + std::to_string(i) + "/64");
  }
  Lone lone(prefixes, {});
  const std::string answer = " to " + mac(2).to_string();
  lone.hears(arp_frame(kRequest, "10.0.0.200", mac(2), "10.0.0.1", all_macs()));
  const Nd nd{"2001:db8::200", "2001:db8::1", mac(2), mac(1)};
  lone.hears(solicitation(nd, "2001:db8::1", mac(2)));
  for (std::size_t i = 1; i <= kMaxAddresses; ++i) {
    CAPTURE(i);
    const std::string v4 = "10.0.0." + std::to_string(i), v6 = "2001:db8::" + std::to_string(i);
    CHECK(lone.hears(arp_frame(kRequest, "10.0.0.200", mac(2), v4, all_macs())) ==
          std::vector<std::string>{v4 + " is at " + mac(1).to_string() + answer});
    CHECK(lone.hears(ping("10.0.0.200", v4, mac(2), mac(1))) ==
          std::vector<std::string>{"pong for 10.0.0.200" + answer});
    CHECK(lone.hears(ping("2001:db8::200", v6, mac(2), mac(1))) ==
          std::vector<std::string>{"pong for 2001:db8::200" + answer});
  }
  prefixes.push_back("2001:db8::ffff/64");
  CHECK(error_of(prefixes, {}).find("at most 64 IPv6 addresses") != std::string::npos);
}

TEST_CASE("addresses and gateways that cannot work are refused with the reason", "[addressing]") {
  struct Case {
    std::vector<std::string> addresses, gateways;
    std::string reason;  ///< empty: taken
  };
  const Case cases[] = {
      {{"10.0.0.1/24"}, {"10.0.0.254"}, ""},
      {{"10.0.0.0/31"}, {"10.0.0.1"}, ""},
      {{"10.0.0.1/31"}, {"10.0.0.0"}, ""},
      {{"10.0.0.1/32"}, {}, ""},
      {{"10.0.0.1/24", "192.0.2.1/32"}, {"10.0.0.254"}, ""},
      {{"2001:db8::/127"}, {"2001:db8::1"}, ""},
      {{"2001:db8::1/128"}, {"fe80::1"}, ""},
      {{"2001:db8::1/126"}, {"2001:db8::2"}, ""},
      {{"10.0.0.1/32"}, {"10.0.0.254"}, "on none of our networks"},
      {{"10.0.0.1/24"}, {"10.0.1.254"}, "on none of our networks"},
      {{"2001:db8::1/128"}, {"2001:db8::2"}, "on none of our networks"},
      {{"2001:db8::1/126"}, {"2001:db8::4"}, "on none of our networks"},
      {{"10.0.0.1/24"}, {"10.0.0.1"}, "an address of our own"},
      {{"10.0.0.1/24"}, {"10.0.0.255"}, "broadcast address"},
      {{"10.0.0.1/24"}, {"10.0.0.0"}, "names a network"},
      {{"10.0.0.1/24"}, {"2001:db8::1"}, "no address of its IP version"},
      {{"10.0.0.1/24"}, {"10.0.0.2", "10.0.0.3"}, "more than one gateway"},
      {{"10.0.0.0/24"}, {}, "names a network"},
      {{"10.0.0.0/30"}, {}, "names a network"},
      {{"10.0.0.3/30"}, {}, "broadcast address"},
      {{"10.255.255.255/8"}, {}, "broadcast address"},
      {{"2001:db8::/64"}, {}, "names the routers of its network"},
      {{"2001:db8::/126"}, {}, "names the routers of its network"},
      {{"127.0.0.1/8"}, {}, "no address that a host can have"},
      {{"224.0.0.1/4"}, {}, "no address that a host can have"},
      {{"255.255.255.255/32"}, {}, "no address that a host can have"},
      {{"ff02::1/64"}, {}, "no address that a host can have"},
      {{"::1/128"}, {}, "no address that a host can have"},
      {{"10.0.0.1/0"}, {}, "no usable length"},
      {{"10.0.0.1/24", "10.0.0.1/16"}, {}, "given twice"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.addresses, one.gateways);
    const std::string error = error_of(one.addresses, one.gateways);
    CHECK(error.empty() == one.reason.empty());
    CHECK(error.find(one.reason) != std::string::npos);
    if (!error.empty()) {
      // What to do about it stands behind the reason.
      CHECK(error.find_first_of(";,") != std::string::npos);
      Clock clock;
      Port port(mac(1));
      auto given = options(clock, one.addresses);
      for (const auto& gateway : one.gateways) {
        given.gateways.push_back(ip(gateway));
      }
      CHECK_THROWS_WITH(Stack(given, port), error);
    }
  }
}

TEST_CASE("a claim of another's to our address is reported and answered, seldom, and changes nothing", "[addressing]") {
  struct Case {
    std::string what, address;
    Frame frame;
  };
  const Nd theirs{"2001:db8::1", "ff02::1", mac(2), {{0x33, 0x33, 0, 0, 0, 1}}};
  const Case cases[] = {
      {"an ARP announcement", "10.0.0.1", arp_frame(kRequest, "10.0.0.1", mac(2), "10.0.0.1", all_macs())},
      {"an ARP reply", "10.0.0.1", arp_frame(kReply, "10.0.0.1", mac(2), "0.0.0.0", mac(1))},
      {"an ARP request", "10.0.0.1", arp_frame(kRequest, "10.0.0.1", mac(2), "10.0.0.9", all_macs())},
      {"an advertisement", "2001:db8::1", advertisement(theirs, "2001:db8::1", kOverrideFlag, mac(2))},
  };
  for (const Case& one : cases) {
    CAPTURE(one.what);
    Clock clock;
    Wire wire;
    auto given = options(clock, {"10.0.0.1/24", "2001:db8::1/64"});
    std::vector<AddressConflict> reported;
    given.on_address_conflict = [&](const AddressConflict& conflict) { reported.push_back(conflict); };
    Host host(wire, clock, mac(1), given);
    host.turn();
    std::vector<std::string> said;
    wire.watch = [&](const Frame& frame) { said.push_back(told(frame)); };
    const std::string defence = one.address == "10.0.0.1" ? "who has 10.0.0.1 tell 10.0.0.1 to ff:ff:ff:ff:ff:ff"
                                                          : "NA 2001:db8::1 O from 2001:db8::1 for ff02::1 mac " +
                                                                mac(1).to_string() + " to 33:33:00:00:00:01";
    for (int i = 0; i < 1000; ++i) {
      host.inbox.push_back(one.frame);
    }
    while (!host.inbox.empty()) {
      host.turn();
    }
    CHECK(said == std::vector<std::string>{defence});
    REQUIRE(reported.size() == 1);
    CHECK(reported[0].claimed_by == mac(2));
    const auto& kept = host.stack().address_conflicts();
    REQUIRE(kept.size() == 1);
    CHECK(kept[0].address == ip(one.address));
    CHECK(kept[0].count == 1000);
    CHECK(host.stack().statistics().address_conflicts == 1000);
    clock.advance_ms(10'001);
    host.inbox.push_back(one.frame);
    host.turn();
    CHECK(std::count(said.begin(), said.end(), defence) == 2);
    CHECK(reported.size() == 2);
    // The address is ours as before.
    said.clear();
    host.inbox.push_back(arp_frame(kRequest, "10.0.0.3", mac(3), "10.0.0.1", all_macs()));
    host.turn();
    CHECK(said == std::vector<std::string>{"10.0.0.1 is at " + mac(1).to_string() + " to " + mac(3).to_string()});
  }
}

TEST_CASE("whoever starts asks whether its addresses are free, and waits for nobody", "[addressing]") {
  Clock clock;
  Wire wire;
  std::vector<std::string> said;
  wire.watch = [&](const Frame& frame) { said.push_back(told(frame)); };
  Host first(wire, clock, mac(1), options(clock, {"10.0.0.1/24", "2001:db8::1/64"}));
  first.turn();
  const auto has = [&](const std::string& text) { return std::find(said.begin(), said.end(), text) != said.end(); };
  CHECK(has("who has 10.0.0.1 tell 0.0.0.0 to ff:ff:ff:ff:ff:ff"));
  CHECK(has("who has 10.0.0.1 tell 10.0.0.1 to ff:ff:ff:ff:ff:ff"));
  CHECK(has("NS 2001:db8::1 from :: for ff02::1:ff00:1 to 33:33:ff:00:00:01"));
  // Another host with the same addresses hears of the first one's, and the first one of it.
  Host second(wire, clock, mac(2), options(clock, {"10.0.0.1/24", "2001:db8::1/64"}));
  run(
      clock, {&first, &second}, [] { return false; }, 100);
  for (const Host* host : {&first, &second}) {
    const auto& conflicts = const_cast<Host*>(host)->stack().address_conflicts();
    REQUIRE(conflicts.size() == 2);
    CHECK(conflicts[0].claimed_by == (host == &first ? mac(2) : mac(1)));
  }
}

TEST_CASE("a group's link-local address follows from its name and its lowest IPv6 address, and from nothing else",
          "[addressing]") {
  const auto derived = [](const std::string& group, const std::vector<std::string>& prefixes) {
    std::vector<IpPrefix> addresses;
    for (const auto& prefix : prefixes) {
      addresses.push_back(IpPrefix::parse(prefix).value());
    }
    return derived_link_local(group, addresses);
  };
  const auto made = derived("edge", {"10.0.0.1/24", "2001:db8::1/64", "2001:db8::2/64"});
  REQUIRE(made);
  CHECK(made->address.is_link_local());
  CHECK(made->length == 64);
  CHECK(IpPrefix::parse("fe80::/64")->contains(made->address));
  // Twins may be given them in another order; an address that joins behind the lowest changes nothing.
  CHECK(derived("edge", {"2001:db8::2/64", "2001:db8::1/48"}) == made);
  CHECK(derived("edge", {"2001:db8::1/64"}) == made);
  CHECK(derived("edge2", {"2001:db8::1/64"}) != made);
  CHECK(derived("", {"2001:db8::1/64"}) != made);
  CHECK(derived("edge", {"2001:db8::3/64"}) != made);
  // It stays what it was over versions of the program: peers know it.
  CHECK(made->address.to_string() == "fe80::3ca5:1098:12bc:423b");
  CHECK_FALSE(derived("edge", {"10.0.0.1/24"}));
  CHECK_FALSE(derived("edge", {"2001:db8::1/64", "fe80::1/64"}));
  CHECK(derived("edge", {"2001:db8::1/64", "169.254.1.1/16"}));
}

TEST_CASE("a group's link-local address is never one that is made of a MAC address, nor reserved", "[addressing]") {
  for (unsigned i = 0; i < 200'000; ++i) {
    const auto made = derived_link_local(std::to_string(i), std::vector{IpPrefix::parse("2001:db8::1/64").value()});
    REQUIRE(made);
    const auto& octets = made->address.octets;
    REQUIRE_FALSE((octets[11] == 0xff && octets[12] == 0xfe));
    // Local, of one interface: RFC 5453's reserved ones are zero, universal, or end in a group's.
    REQUIRE((octets[8] & 3) == 0);
    REQUIRE(octets[8] != 0);
    REQUIRE(octets[8] != 0xfd);
  }
}

}  // namespace tandem::test
