// SPDX-License-Identifier: BSD-3-Clause
#include <cstdio>

#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

namespace {

const std::string kMarker = "ffffffff ffffffff ffffffff ffffffff ";

Update decode(const Octets& bytes, const UpdateContext& context) {
  MalformationCounters counters{};
  Update update;
  decode_update(bytes, context, counters, update);
  CHECK(update.handling == ErrorHandling::none);
  for (const auto c : counters) CHECK(c == 0);
  return update;
}

UpdateContext context_of(bool four_octet_as, bool external) {
  UpdateContext c;
  c.four_octet_as = four_octet_as;
  c.external = external;
  c.check_meaning = false;
  return c;
}

PathAttributes rich(Family family) {
  PathAttributes a;
  a.origin = Origin::egp;
  const std::vector<std::uint32_t> sequence{65001, 4200000001, 7};
  const std::vector<std::uint32_t> set{9, 4200000002};
  a.as_path.add_segment(AsPath::kSequence, sequence);
  a.as_path.add_segment(AsPath::kSet, set);
  a.next_hop = address(family == Family::ipv4 ? "198.51.100.7" : "2001:db8::7");
  if (family == Family::ipv6) a.next_hop_link_local = address("fe80::7").bytes;
  a.med = 50;
  a.local_pref = 200;
  a.atomic_aggregate = true;
  a.aggregator = Aggregator{4200000003, 0x01020304};
  a.originator_id = 0x05060708;
  a.communities = {0x00010002, kNoExport};
  a.cluster_list = {1, 2, 3};
  a.extended_communities = {{0, 2, 0, 1, 0, 0, 0, 9}};
  a.large_communities = {{64496, 1, 2}, {64496, 3, 4}};
  a.unknown = {{0xe0, 99, {1, 2, 3}}, {0xc0, 200, Octets(300, 7)}};
  return a;
}

}  // namespace

TEST_CASE("messages have the bytes that the RFCs draw", "[codec]") {
  Open open;
  open.as = 4200000000;
  open.hold_time_s = 90;
  open.router_id = 0xc0000201;
  open.family.fill(true);
  open.any_multiprotocol = true;
  open.four_octet_as = true;
  open.route_refresh = true;
  CHECK(encode_open(open) ==
        hex(kMarker + "0033 01 04 5ba0 005a c0000201 16 0214 0104 0001 00 01 0104 0002 00 01 0200 4104 fa56ea00"));
  CHECK(encode_keepalive() == hex(kMarker + "0013 04"));
  CHECK(encode_notification({6, 2, {}}) == hex(kMarker + "0015 03 06 02"));
  CHECK(encode_notification({2, 1, {0, 4}}) == hex(kMarker + "0017 03 02 01 0004"));
  CHECK(encode_route_refresh(Family::ipv6) == hex(kMarker + "0017 05 0002 00 01"));
  CHECK(encode_end_of_rib(Family::ipv4) == hex(kMarker + "0017 02 0000 0000"));
  CHECK(encode_end_of_rib(Family::ipv6) == hex(kMarker + "001d 02 0000 0006 800f03 0002 01"));

  const auto context = context_of(true, true);
  const auto a = route({65001}, "192.0.2.1");
  CHECK(updates({prefix("10.0.0.0/8"), prefix("10.1.128.0/17")}, &a, context).at(0) ==
        hex(kMarker + "0031 02 0000 0014 400101 00 400206 02 01 0000fde9 400304 c0000201 08 0a 11 0a0180"));
  CHECK(updates({prefix("10.0.0.0/8"), prefix("0.0.0.0/0")}, nullptr, context).at(0) ==
        hex(kMarker + "001a 02 0003 08 0a 00 0000"));
  const auto a6 = route({65001}, "2001:db8::1");
  CHECK(updates({prefix("2001:db8:1::/48")}, &a6, context).at(0) ==
        hex(kMarker + "0044 02 0000 002d"
                      "900e 001c 0002 01 10 20010db8000000000000000000000001 00 30 20010db80001"
                      "400101 00 400206 02 01 0000fde9"));
  CHECK(updates({prefix("2001:db8:1::/48")}, nullptr, context).at(0) ==
        hex(kMarker + "0025 02 0000 000e 900f 000a 0002 01 30 20010db80001"));
}

TEST_CASE("a two-octet neighbour gets AS_TRANS and the attributes of RFC 6793", "[codec]") {
  auto a = route({4200000000, 7}, "192.0.2.1");
  a.aggregator = Aggregator{4200000000, 0x01020304};
  CHECK(updates({prefix("10.0.0.0/8")}, &a, context_of(false, true)).at(0) ==
        hex(kMarker + "004e 02 0000 0035"
                      "400101 00 400206 02 02 5ba0 0007 400304 c0000201 c00706 5ba0 01020304"
                      "c0110a 02 02 fa56ea00 00000007 c01208 fa56ea00 01020304 08 0a"));
  // Nothing is added for numbers that fit.
  const auto narrow = route({65000, 7}, "192.0.2.1");
  CHECK(updates({prefix("10.0.0.0/8")}, &narrow, context_of(false, true)).at(0) ==
        hex(kMarker + "002d 02 0000 0014 400101 00 400206 02 02 fde8 0007 400304 c0000201 08 0a"));
}

TEST_CASE("what is encoded is decoded to the same", "[codec]") {
  for (const Family family : kAllFamilies) {
    for (const bool four_octet_as : {true, false}) {
      for (const bool external : {true, false}) {
        INFO("family " << index_of(family) << " four octets " << four_octet_as << " external " << external);
        const auto context = context_of(four_octet_as, external);
        PathAttributes a = rich(family);
        const auto p = family == Family::ipv4 ? prefix("203.0.113.0/24") : prefix("2001:db8:77::/48");
        const auto update = decode(updates({p}, &a, context).at(0), context);
        PathAttributes got = update.attributes;
        if (family == Family::ipv6) {
          got.next_hop = update.next_hop_ipv6;
          got.next_hop_link_local = update.next_hop_link_local;
        }
        if (external) {
          a.local_pref.reset();
          a.originator_id.reset();
          a.cluster_list.clear();
        }
        CHECK(text_of(got) == text_of(a));
        CHECK(got == a);
        CHECK((family == Family::ipv4 ? update.announced_ipv4 : update.announced_ipv6) == std::vector<Prefix>{p});
      }
    }
  }
}

TEST_CASE("prefixes of every length survive, and bits beyond the length do not", "[codec]") {
  const auto context = context_of(true, true);
  for (const Family family : kAllFamilies) {
    Address all{family, {}};
    std::fill_n(all.bytes.begin(), address_bytes(family), std::uint8_t{0xff});
    all.bytes[0] = 0x20;
    std::vector<Prefix> prefixes;
    for (int length = 0; length <= address_bits(family); ++length)
      prefixes.push_back(Prefix::of(all, static_cast<std::uint8_t>(length)));
    const auto a = route({1}, family == Family::ipv4 ? "192.0.2.1" : "2001:db8::1");
    std::vector<Prefix> got;
    for (const auto& m : updates(prefixes, &a, context)) {
      const auto u = decode(m, context);
      const auto& part = family == Family::ipv4 ? u.announced_ipv4 : u.announced_ipv6;
      got.insert(got.end(), part.begin(), part.end());
    }
    CHECK(got == prefixes);
  }
  const auto untidy = message(MessageType::update, hex("0003 09 0aff 0000"));
  CHECK(decode(untidy, context).withdrawn == std::vector<Prefix>{prefix("10.128.0.0/9")});
}

TEST_CASE("AS4_PATH completes AS_PATH (RFC 6793 section 4.2.3)", "[codec]") {
  struct Row {
    const char* what;
    std::string attributes;
    std::string path;
    std::string aggregator;
  };
  const std::string head = "400101 00 400304 c0000201 ";
  const std::vector<Row> rows{
      {"same length", "400206 0202 5ba0 0007  c0110a 0202 fa56ea00 00000007", "4200000000 7", ""},
      {"an old speaker in front", "400208 0203 0009 5ba0 0007  c0110a 0202 fa56ea00 00000007", "9 4200000000 7", ""},
      {"AS4_PATH longer: ignored", "400204 0201 5ba0  c0110a 0202 fa56ea00 00000007", "23456", ""},
      {"a set counts as one", "40020c 0202 0009 5ba0 0102 0001 0002  c0110a 0102 fa56ea00 00000007",
       "9 23456 {4200000000,7}", ""},
      {"confederation segments are passed over", "400206 0202 5ba0 0007  c01110 0301 0000fde9 0202 fa56ea00 00000007",
       "4200000000 7", ""},
      {"aggregator replaced", "400204 0201 0009 c00706 5ba0 01020304 c01208 fa56ea00 01020305", "9",
       "4200000000/16909061"},
      {"aggregator of an old speaker: both ignored",
       "400204 0201 5ba0 c00706 0009 01020304 c01106 0201 fa56ea00 c01208 fa56ea00 01020305", "23456", "9/16909060"},
      {"AS4_AGGREGATOR without AGGREGATOR", "400204 0201 5ba0 c01106 0201 fa56ea00 c01208 fa56ea00 01020305",
       "4200000000", ""},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    const Octets attributes = hex(head + row.attributes);
    const Octets body = Octets{0, 0, 0, static_cast<std::uint8_t>(attributes.size())} + attributes + hex("08 0a");
    const auto update = decode(message(MessageType::update, body), context_of(false, true));
    CHECK(update.attributes.as_path.to_string() == row.path);
    const auto& g = update.attributes.aggregator;
    CHECK((g ? std::to_string(g->as) + "/" + std::to_string(g->router_id) : "") == row.aggregator);
  }
}

TEST_CASE("an OPEN is taken, or refused as RFC 4271 section 6.2 says", "[codec]") {
  struct Row {
    const char* what;
    std::string body;
    std::optional<Notification> error;
    std::optional<Malformation> counter;
  };
  const std::vector<Row> rows{
      {"without parameters", "04 fde8 005a c0000201 00", {}, {}},
      {"hold time 0", "04 fde8 0000 c0000201 00", {}, {}},
      {"unknown capability", "04 fde8 005a c0000201 06 0204 4002 0001", {}, {}},
      {"two parameters", "04 fde8 005a c0000201 08 0202 0200 0202 8000", {}, {}},
      // RFC 9072.
      {"extended parameters", "04 fde8 005a c0000201 ff ff 0005 02 0002 0200", {}, {}},
      {"extended parameters, the old length left alone", "04 fde8 005a c0000201 05 ff 0005 02 0002 0200", {}, {}},
      {"extended parameters, none", "04 fde8 005a c0000201 ff ff 0000", {}, {}},
      {"extended parameters, two", "04 fde8 005a c0000201 ff ff 000a 02 0002 0200 02 0002 8000", {}, {}},
      {"extended parameters longer than the message", "04 fde8 005a c0000201 ff ff 0006 02 0002 0200",
       Notification{2, 0, {}}, Malformation::open_parameters},
      {"extended parameters without their length", "04 fde8 005a c0000201 ff ff 00", Notification{2, 0, {}},
       Malformation::open_parameters},
      {"extended parameter overruns", "04 fde8 005a c0000201 ff ff 0005 02 0003 0200", Notification{2, 0, {}},
       Malformation::open_parameters},
      {"extended parameter of an unknown type", "04 fde8 005a c0000201 ff ff 0003 09 0000", Notification{2, 4, {}},
       Malformation::open_unsupported_parameter},
      {"version 3", "03 fde8 005a c0000201 00", Notification{2, 1, {0, 4}}, Malformation::open_version},
      {"AS 0", "04 0000 005a c0000201 00", Notification{2, 2, {}}, Malformation::open_peer_as},
      {"four-octet AS 0", "04 5ba0 005a c0000201 08 0206 4104 00000000", Notification{2, 2, {}},
       Malformation::open_peer_as},
      {"hold time 1", "04 fde8 0001 c0000201 00", Notification{2, 6, {}}, Malformation::open_hold_time},
      {"hold time 2", "04 fde8 0002 c0000201 00", Notification{2, 6, {}}, Malformation::open_hold_time},
      {"identifier 0", "04 fde8 005a 00000000 00", Notification{2, 3, {}}, Malformation::open_identifier},
      {"parameters longer than the message", "04 fde8 005a c0000201 03", Notification{2, 0, {}},
       Malformation::open_parameters},
      {"parameters shorter than the message", "04 fde8 005a c0000201 00 0200", Notification{2, 0, {}},
       Malformation::open_parameters},
      {"parameter overruns", "04 fde8 005a c0000201 02 0205", Notification{2, 0, {}}, Malformation::open_parameters},
      {"parameter of one octet", "04 fde8 005a c0000201 01 02", Notification{2, 0, {}}, Malformation::open_parameters},
      {"authentication parameter", "04 fde8 005a c0000201 02 0100", Notification{2, 4, {}},
       Malformation::open_unsupported_parameter},
      {"capability overruns", "04 fde8 005a c0000201 04 0202 4104", Notification{2, 0, {}},
       Malformation::open_parameters},
      {"capability of one octet", "04 fde8 005a c0000201 03 0201 41", Notification{2, 0, {}},
       Malformation::open_parameters},
      {"multiprotocol capability of 3", "04 fde8 005a c0000201 07 0205 0103 000100", {}, Malformation::open_capability},
      {"AS capability of 2", "04 fde8 005a c0000201 06 0204 4102 fde8", {}, Malformation::open_capability},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    MalformationCounters counters{};
    Notification error;
    const auto open = decode_open(message(MessageType::open, hex(row.body)), counters, error);
    CHECK(open.has_value() == !row.error.has_value());
    if (row.error) CHECK(error == *row.error);
    std::uint64_t sum = 0;
    for (const auto c : counters) sum += c;
    CHECK(sum == (row.counter ? 1u : 0u));
    if (row.counter) CHECK(counters[static_cast<std::size_t>(*row.counter)] == 1);
  }
}

TEST_CASE("an OPEN survives both ways", "[codec]") {
  for (unsigned bits = 0; bits < 16; ++bits) {
    Open open;
    open.as = (bits & 4) != 0 ? 4200000000 : 64500;
    open.hold_time_s = 30;
    open.router_id = 77;
    open.family = {(bits & 1) != 0, (bits & 2) != 0};
    open.any_multiprotocol = open.family[0] || open.family[1];
    open.four_octet_as = (bits & 4) != 0;
    open.route_refresh = (bits & 8) != 0;
    MalformationCounters counters{};
    Notification error;
    CHECK(decode_open(encode_open(open), counters, error) == open);
  }
}

TEST_CASE("an OPEN with more than 255 octets of capabilities is read, and its capabilities count", "[codec]") {
  std::string capabilities = "01 04 0001 00 01 ";
  for (int i = 0; i < 100; ++i) capabilities += "f0 02 0000 ";  // unknown ones
  capabilities += "41 04 fa56ea00 ";
  const std::size_t bytes = 6 + 400 + 6;
  char lengths[32];
  std::snprintf(lengths, sizeof lengths, "ff ff %04zx 02 %04zx ", bytes + 3, bytes);
  MalformationCounters counters{};
  Notification error;
  const auto open = decode_open(
      message(MessageType::open, hex("04 5ba0 005a c0000201 " + std::string(lengths) + capabilities)), counters, error);
  REQUIRE(open);
  CHECK(open->as == 4200000000u);
  CHECK(open->family[0]);
}

TEST_CASE("the data of a NOTIFICATION is cut, never the message limit", "[codec]") {
  const auto long_one = encode_notification({3, 1, Octets(5000, 1)});
  CHECK(long_one.size() == kMaxMessageBytes);
  MalformationCounters counters{};
  CHECK(decode_notification(long_one, counters)->data.size() == kMaxMessageBytes - 21);
  CHECK(Notification{6, 2, {}}.to_string() == "Cease/Administrative Shutdown (6/2)");
  CHECK(Notification{9, 9, {}}.to_string() == "Unknown Error (9/9)");
}

TEST_CASE("an UPDATE is filled to the limit and not beyond", "[codec]") {
  const auto context = context_of(true, true);
  std::vector<Prefix> prefixes;
  for (std::uint32_t i = 0; i < 3000; ++i)
    prefixes.push_back(Prefix::of(Address::from_ipv4(0x0a000000 + (i << 8)), 24));
  const auto a = route({1, 2, 3}, "192.0.2.1");
  const auto messages = updates(prefixes, &a, context);
  CHECK(messages.size() == 3);
  CHECK(messages[0].size() <= kMaxMessageBytes);
  CHECK(messages[0].size() + 4 > kMaxMessageBytes);
  std::vector<Prefix> got;
  for (const auto& m : messages) {
    const auto part = decode(m, context).announced_ipv4;
    got.insert(got.end(), part.begin(), part.end());
  }
  CHECK(got == prefixes);
}

TEST_CASE("every counter has a name of its own", "[codec]") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kMalformations; ++i) names.insert(name_of(static_cast<Malformation>(i)));
  CHECK(names.size() == kMalformations);
  CHECK(names.count("") == 0);
  CHECK(name_of(Malformation::martian_prefix) == "martian_prefix");
  CHECK(name_of(Malformation::update_no_nlri) == "update_no_nlri");
}
