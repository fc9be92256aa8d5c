// SPDX-License-Identifier: BSD-3-Clause
// RFC 7606, row by row.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "attribute_rules.hpp"
#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

namespace {

const std::string kOrigin = "400101 00 ";
const std::string kPath = "400206 0201 0000fde9 ";
const std::string kNextHop = "400304 c0000202 ";
const std::string kSound = kOrigin + kPath + kNextHop;
const std::string kMpReach = "800e1c 0002 01 10 20010db8000000000000000000000002 00 30 20010db80001 ";
const std::string kNlri = "18 cb0071";

struct Row {
  const char* what;
  std::string attributes;
  std::string nlri;
  ErrorHandling handling;
  std::optional<Malformation> counter;
  std::string withdrawn = "";
  std::uint8_t subcode = 0;
};

constexpr auto kFine = ErrorHandling::none;
constexpr auto kDiscard = ErrorHandling::attribute_discard;
constexpr auto kWithdraw = ErrorHandling::treat_as_withdraw;
constexpr auto kReset = ErrorHandling::session_reset;
using M = Malformation;

Octets update_of(const Row& row) {
  const Octets withdrawn = hex(row.withdrawn);
  const Octets attributes = hex(row.attributes);
  const auto length = [](std::size_t n) {
    return Octets{static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)};
  };
  return message(MessageType::update,
                 length(withdrawn.size()) + withdrawn + length(attributes.size()) + attributes + hex(row.nlri));
}

void check(const std::vector<Row>& rows, const UpdateContext& context) {
  for (const auto& row : rows) {
    INFO(row.what);
    MalformationCounters counters{};
    Update update;
    decode_update(update_of(row), context, counters, update);
    CHECK(update.handling == row.handling);
    if (row.counter) CHECK(counters[static_cast<std::size_t>(*row.counter)] == 1);
    if (!row.counter)
      for (const auto c : counters) CHECK(c == 0);
    if (row.handling == kReset) {
      CHECK(update.reset.code == 3);
      CHECK(update.reset.subcode == row.subcode);
    }
    // What is to be withdrawn has to be known.
    if (row.handling == kWithdraw) CHECK(update.announced_ipv4.size() + update.announced_ipv6.size() > 0);
  }
}

UpdateContext external() {
  UpdateContext c;
  c.first_as = 65001;
  c.own_address = address("192.0.2.1");
  return c;
}

UpdateContext internal() {
  UpdateContext c;
  c.external = false;
  return c;
}

}  // namespace

TEST_CASE("errors in an UPDATE from an external neighbour", "[update_errors]") {
  check(
      {
          {"sound", kSound, kNlri, kFine, {}},
          {"sound, with everything",
           kSound +
               "800404 00000001 400600 c00708 0000fde9 01020304 c00804 00010002 c01008 0002000100000009 c0200c "
               "000000010000000200000003 " +
               kMpReach,
           kNlri,
           kFine,
           {}},
          {"only withdrawals", "", "", kFine, {}, "18 cb0071"},

          // Section 7.1.
          {"ORIGIN of length 0", "400100 " + kPath + kNextHop, kNlri, kWithdraw, M::origin},
          {"ORIGIN of length 2", "400102 0000 " + kPath + kNextHop, kNlri, kWithdraw, M::origin},
          {"ORIGIN 3", "400101 03 " + kPath + kNextHop, kNlri, kWithdraw, M::origin},
          // 7.2.
          {"AS_PATH: unknown segment type", kOrigin + "400206 0501 0000fde9 " + kNextHop, kNlri, kWithdraw, M::as_path},
          {"AS_PATH: confederation", kOrigin + "400206 0301 0000fde9 " + kNextHop, kNlri, kWithdraw, M::as_path},
          {"AS_PATH: segment overruns", kOrigin + "400206 0202 0000fde9 " + kNextHop, kNlri, kWithdraw, M::as_path},
          {"AS_PATH: one octet left", kOrigin + "400207 0201 0000fde9 02 " + kNextHop, kNlri, kWithdraw, M::as_path},
          {"AS_PATH: empty segment", kOrigin + "400202 0200 " + kNextHop, kNlri, kWithdraw, M::as_path},
          {"AS_PATH: AS 0", kOrigin + "40020a 0202 0000fde9 00000000 " + kNextHop, kNlri, kWithdraw, M::as_path},
          {"AS_PATH empty", kOrigin + "400200 " + kNextHop, kNlri, kWithdraw, M::first_as},
          {"AS_PATH begins with another AS", kOrigin + "400206 0201 0000fdea " + kNextHop, kNlri, kWithdraw,
           M::first_as},
          // 7.3.
          {"NEXT_HOP of length 3", kOrigin + kPath + "400303 c00002 ", kNlri, kWithdraw, M::next_hop},
          {"NEXT_HOP of length 5", kOrigin + kPath + "400305 c000020200 ", kNlri, kWithdraw, M::next_hop},
          {"NEXT_HOP 0.0.0.0", kOrigin + kPath + "400304 00000000 ", kNlri, kWithdraw, M::next_hop},
          {"NEXT_HOP multicast", kOrigin + kPath + "400304 e0000001 ", kNlri, kWithdraw, M::next_hop},
          {"NEXT_HOP is ourselves", kOrigin + kPath + "400304 c0000201 ", kNlri, kWithdraw, M::next_hop},
          {"broken NEXT_HOP that nobody needs", kOrigin + kPath + "400303 c00002 " + kMpReach, "", kFine, {}},
          // 7.4 to 7.10.
          {"MED of length 3", kSound + "800403 000001 ", kNlri, kWithdraw, M::med},
          {"LOCAL_PREF", kSound + "400504 00000064 ", kNlri, kDiscard, M::internal_attribute_from_external},
          {"LOCAL_PREF of length 3", kSound + "400503 000064 ", kNlri, kDiscard, M::internal_attribute_from_external},
          {"ATOMIC_AGGREGATE of length 1", kSound + "400601 00 ", kNlri, kDiscard, M::atomic_aggregate},
          {"AGGREGATOR of length 6", kSound + "c00706 fde9 01020304 ", kNlri, kDiscard, M::aggregator},
          {"AGGREGATOR with AS 0", kSound + "c00708 00000000 01020304 ", kNlri, kDiscard, M::aggregator},
          {"COMMUNITIES of length 0", kSound + "c00800 ", kNlri, kWithdraw, M::communities},
          {"COMMUNITIES of length 6", kSound + "c00806 000100020003 ", kNlri, kWithdraw, M::communities},
          {"ORIGINATOR_ID", kSound + "800904 01020304 ", kNlri, kDiscard, M::internal_attribute_from_external},
          {"CLUSTER_LIST", kSound + "800a04 01020304 ", kNlri, kDiscard, M::internal_attribute_from_external},
          // 7.11, 7.12.
          {"MP_REACH too short", kOrigin + kPath + "800e03 000201 ", "", kReset, M::update_mp_reach, "", 9},
          {"MP_REACH: next hop of 15", kOrigin + kPath + "800e14 0002 01 0f 20010db80000000000000000000000 00 ", "",
           kReset, M::update_mp_reach, "", 9},
          {"MP_REACH: next hop overruns", kOrigin + kPath + "800e05 0002 01 10 20 ", "", kReset, M::update_mp_reach, "",
           9},
          {"MP_REACH: prefix of 129 bits",
           kOrigin + kPath + "800e16 0002 01 10 20010db8000000000000000000000002 00 81 ", "", kReset,
           M::update_mp_reach, "", 9},
          {"MP_REACH: prefix overruns",
           kOrigin + kPath + "800e17 0002 01 10 20010db8000000000000000000000002 00 30 20 ", "", kReset,
           M::update_mp_reach, "", 9},
          {"MP_UNREACH too short", "800f02 0002 ", "", kReset, M::update_mp_unreach, "", 9},
          {"MP_UNREACH: prefix overruns", "800f05 0002 01 30 20 ", "", kReset, M::update_mp_unreach, "", 9},
          {"MP_REACH for a family that nobody wanted", kOrigin + kPath + "800e0a 0001 80 04 c0000202 00 00 ", "", kFine,
           M::family_not_negotiated},
          {"MP_UNREACH for a family that nobody wanted", "800f03 0019 46 ", "", kFine, M::family_not_negotiated},
          {"MP_REACH with wrong flags",
           kOrigin + kPath + "400e1c 0002 01 10 20010db8000000000000000000000002 00 30 20010db80001 ", "", kWithdraw,
           M::attribute_flags},
          {"MP_REACH: next hop ::",
           kOrigin + kPath + "800e1c 0002 01 10 00000000000000000000000000000000 00 30 20010db80001 ", "", kWithdraw,
           M::next_hop},
          // 7.14, RFC 8092.
          {"EXTENDED COMMUNITIES of length 7", kSound + "c01007 00020001000000 ", kNlri, kWithdraw,
           M::extended_communities},
          {"EXTENDED COMMUNITIES of length 0", kSound + "c01000 ", kNlri, kWithdraw, M::extended_communities},
          {"LARGE COMMUNITIES of length 8", kSound + "c02008 0000000100000002 ", kNlri, kWithdraw,
           M::large_communities},
          {"LARGE COMMUNITIES of length 0", kSound + "c02000 ", kNlri, kWithdraw, M::large_communities},
          // A next hop that no router can have.
          {"NEXT_HOP 127.0.0.1", kOrigin + kPath + "400304 7f000001 ", kNlri, kWithdraw, M::next_hop},
          {"NEXT_HOP 127.255.255.254", kOrigin + kPath + "400304 7ffffffe ", kNlri, kWithdraw, M::next_hop},
          {"NEXT_HOP 0.1.2.3", kOrigin + kPath + "400304 00010203 ", kNlri, kWithdraw, M::next_hop},
          {"NEXT_HOP 240.0.0.1", kOrigin + kPath + "400304 f0000001 ", kNlri, kWithdraw, M::next_hop},
          {"NEXT_HOP 255.255.255.255", kOrigin + kPath + "400304 ffffffff ", kNlri, kWithdraw, M::next_hop},
          {"MP_REACH: next hop ::1",
           kOrigin + kPath + "800e1c 0002 01 10 00000000000000000000000000000001 00 30 20010db80001 ", "", kWithdraw,
           M::next_hop},
          // RFC 2545: the pair is judged.
          {"MP_REACH: next hop :: with a link-local address",
           kOrigin + kPath +
               "800e2c 0002 01 20 00000000000000000000000000000000 fe800000000000000000000000000001 00 30 "
               "20010db80001 ",
           "",
           kFine,
           {}},
          {"MP_REACH: next hop :: twice",
           kOrigin + kPath +
               "800e2c 0002 01 20 00000000000000000000000000000000 00000000000000000000000000000000 00 30 "
               "20010db80001 ",
           "", kWithdraw, M::next_hop},
          // RFC 6793 section 6.
          {"AS4_PATH from a four-octet neighbour", kSound + "c01106 0201 0000fde9 ", kNlri, kDiscard, M::as4_path},
          {"AS4_AGGREGATOR from a four-octet neighbour", kSound + "c01208 0000fde9 01020304 ", kNlri, kDiscard,
           M::as4_aggregator},

          // Section 3.
          {"ORIGIN with the Optional bit", "c00101 00 " + kPath + kNextHop, kNlri, kWithdraw, M::attribute_flags},
          {"MED with the Transitive bit", kSound + "c00404 00000001 ", kNlri, kWithdraw, M::attribute_flags},
          {"COMMUNITIES without the Transitive bit", kSound + "800804 00010002 ", kNlri, kWithdraw, M::attribute_flags},
          {"ORIGIN with the Partial bit", "600101 00 " + kPath + kNextHop, kNlri, kWithdraw, M::attribute_flags},
          {"MED with the Partial bit", kSound + "a00404 00000001 ", kNlri, kWithdraw, M::attribute_flags},
          {"ORIGINATOR_ID with the Transitive bit", kSound + "c00904 01020304 ", kNlri, kWithdraw, M::attribute_flags},
          {"CLUSTER_LIST without the Optional bit", kSound + "000a04 01020304 ", kNlri, kWithdraw, M::attribute_flags},
          {"LOCAL_PREF with the Optional bit", kSound + "c00504 00000064 ", kNlri, kWithdraw, M::attribute_flags},
          {"COMMUNITIES with the Partial bit", kSound + "e00804 00010002 ", kNlri, kFine, {}},
          {"unused flag bits", "4f0101 00 " + kPath + kNextHop, kNlri, kFine, {}},
          {"no ORIGIN", kPath + kNextHop, kNlri, kWithdraw, M::missing_well_known},
          {"no AS_PATH", kOrigin + kNextHop, kNlri, kWithdraw, M::missing_well_known},
          {"no NEXT_HOP", kOrigin + kPath, kNlri, kWithdraw, M::missing_well_known},
          {"no attribute at all", "", kNlri, kWithdraw, M::missing_well_known},
          {"ORIGIN twice", kSound + kOrigin, kNlri, kDiscard, M::duplicate_attribute},
          {"MP_REACH twice", kOrigin + kPath + kMpReach + kMpReach, "", kReset, M::update_mp_duplicate, "", 1},
          {"MP_UNREACH twice", "800f03 000201 800f03 000201 ", "", kReset, M::update_mp_duplicate, "", 1},
          {"unrecognized well-known", kSound + "406301 00 ", kNlri, kReset, M::update_unrecognized_well_known, "", 2},
          {"unknown optional transitive", kSound + "c06301 00 ", kNlri, kFine, {}},
          {"unknown optional non-transitive", kSound + "806301 00 ", kNlri, kFine, {}},
          // Section 4.
          {"attribute overruns", kSound + "c00808 0001 ", kNlri, kWithdraw, M::attribute_overrun},
          {"attribute of one octet", kSound + "c0 ", kNlri, kWithdraw, M::attribute_overrun},
          {"attribute of two octets", kSound + "c008 ", kNlri, kWithdraw, M::attribute_overrun},
          {"extended length of one octet", kSound + "d00800 ", kNlri, kWithdraw, M::attribute_overrun},
          {"extended length that overruns", kSound + "d008ffff ", kNlri, kWithdraw, M::attribute_overrun},
          // Section 5.2.
          {"an error and no prefix", "400101 03 " + kPath + kNextHop, "", kReset, M::update_no_nlri, "", 1},
          {"an error and only withdrawals", "400101 03 ", "", kReset, M::update_no_nlri, "18 cb0071", 1},
          {"an overrun beside MP_UNREACH", "800f03 000201 c008ff ", "", kReset, M::update_no_nlri, "", 1},
          {"attributes discarded and no prefix", kSound + "400601 00 ", "", kDiscard, M::atomic_aggregate},
          // Section 5.3.
          {"prefix of 33 bits", kSound, "21 cb007100", kReset, M::update_nlri, "", 10},
          {"prefix overruns", kSound, "18 cb00", kReset, M::update_nlri, "", 10},
          {"withdrawn prefix of 255 bits", "", "", kReset, M::update_withdrawn, "ff cb007100", 10},
          {"withdrawn prefix overruns", "", "", kReset, M::update_withdrawn, "18 cb", 10},
          // The strongest wins.
          {"discard and withdraw", kSound + "400601 00 800403 000001 ", kNlri, kWithdraw, M::med},
          {"withdraw and reset", kSound + "800403 000001 406301 00 ", kNlri, kReset, M::update_unrecognized_well_known,
           "", 2},
          // Prefixes without sense are passed over one by one.
          {"multicast prefix beside another", kSound, "04 e0 " + kNlri, kFine, M::martian_prefix},
      },
      external());
}

TEST_CASE("attributes that nobody here uses are judged as their documents say", "[update_errors]") {
  const auto fine = [](const char* what, const std::string& attribute) {
    return Row{what, kSound + attribute, kNlri, kFine, {}};
  };
  const auto gone = [](const char* what, const std::string& attribute, M counter) {
    return Row{what, kSound + attribute, kNlri, kWithdraw, counter};
  };
  const auto dropped = [](const char* what, const std::string& attribute, M counter) {
    return Row{what, kSound + attribute, kNlri, kDiscard, counter};
  };
  check(
      {
          // RFC 6514 section 5.
          fine("PMSI tunnel: ingress replication", "c01609 00 06 000010 c0000202 "),
          fine("PMSI tunnel: none", "c01605 00 00 000000 "),
          gone("PMSI tunnel of length 4", "c01604 00 06 0000 ", M::pmsi_tunnel),
          gone("PMSI tunnel without a value", "c01600 ", M::pmsi_tunnel),
          gone("PMSI tunnel of a type that is none", "c01609 00 7a 000010 c0000202 ", M::pmsi_tunnel),
          gone("PMSI tunnel: an identifier that is no address", "c01608 00 06 000010 c00002 ", M::pmsi_tunnel),
          gone("PMSI tunnel: RSVP-TE of 4 octets", "c01609 00 01 000010 c0000202 ", M::pmsi_tunnel),
          gone("PMSI tunnel, non-transitive", "801609 00 06 000010 c0000202 ", M::attribute_flags),
          // RFC 9012.
          fine("tunnel encapsulation: VXLAN", "c0170c 0008 0008 06 06 00000000 0001 "),
          gone("tunnel encapsulation: the tunnel overruns", "c0170c 0008 0009 06 06 00000000 0001 ",
               M::tunnel_encapsulation),
          gone("tunnel encapsulation: the part overruns", "c0170c 0008 0008 06 07 00000000 0001 ",
               M::tunnel_encapsulation),
          gone("tunnel encapsulation: three octets", "c01703 000800 ", M::tunnel_encapsulation),
          gone("tunnel encapsulation: empty", "c01700 ", M::tunnel_encapsulation),
          gone("tunnel encapsulation, non-transitive", "8017 0c 0008 0008 06 06 00000000 0001 ", M::attribute_flags),
          // RFC 5543, 5701, 6514 section 8.
          gone("traffic engineering of 35 octets", "801823 " + std::string(70, '0') + " ", M::traffic_engineering),
          fine("IPv6 extended communities", "c01914 000220010db8000000000000000000000001 0001 "),
          gone("IPv6 extended communities of length 8", "c01908 0002000100000009 ", M::ipv6_extended_communities),
          gone("IPv6 extended communities of length 0", "c01900 ", M::ipv6_extended_communities),
          gone("IPv6 extended communities, non-transitive", "801914 000220010db8000000000000000000000001 0001 ",
               M::attribute_flags),
          fine("PE distinguisher labels", "c01b07 c0000202 000010 "),
          gone("PE distinguisher labels of length 6", "c01b06 c0000202 0000 ", M::pe_distinguisher_labels),
          // RFC 7311.
          fine("AIGP", "801a0b 01 000b 0000000000000064 "),
          dropped("AIGP with the Transitive bit", "c01a0b 01 000b 0000000000000064 ", M::attribute_flags),
          dropped("AIGP: a metric of 7 octets", "801a0a 01 000a 00000000000064 ", M::aigp),
          dropped("AIGP: a length of 2", "801a03 02 0002 ", M::aigp),
          dropped("AIGP: it overruns", "801a0b 01 000c 0000000000000064 ", M::aigp),
          dropped("AIGP: empty", "801a00 ", M::aigp),
          // RFC 9552.
          fine("link state", "801d08 0400 0004 01020304 "),
          dropped("link state: it overruns", "801d08 0400 0005 01020304 ", M::link_state),
          dropped("link state: three octets", "801d03 040000 ", M::link_state),
          // RFC 9234.
          fine("only to customer", "c02304 0000fde9 "),
          fine("only to customer, passed on by somebody", "e02304 0000fde9 "),
          gone("only to customer of length 3", "c02303 00fde9 ", M::only_to_customer),
          gone("only to customer of length 5", "c02305 0000fde900 ", M::only_to_customer),
          gone("only to customer of length 0", "c02300 ", M::only_to_customer),
          gone("only to customer: AS 0", "c02304 00000000 ", M::only_to_customer),
          gone("only to customer, non-transitive", "802304 0000fde9 ", M::attribute_flags),
          gone("only to customer, well-known", "402304 0000fde9 ", M::attribute_flags),
          // draft-ietf-idr-entropy-label, RFC 8669.
          fine("next hop capability", "c0270c 0001 01 04 c0000202 0001 0000 "),
          dropped("next hop capability: it overruns", "c0270c 0001 01 04 c0000202 0001 0001 ", M::next_hop_capability),
          dropped("next hop capability: the next hop overruns", "c02706 0001 01 04 c000 ", M::next_hop_capability),
          fine("prefix SID", "c0280a 01 0007 00 0000 00000064 "),
          dropped("prefix SID: a label index of 6 octets", "c02809 01 0006 00 0000 000064 ", M::prefix_sid),
          dropped("prefix SID: it overruns", "c0280a 01 0008 00 0000 00000064 ", M::prefix_sid),
          dropped("prefix SID: an SRGB of 5 octets", "c0280a 03 0007 0000 0000000000 ", M::prefix_sid),
          dropped("prefix SID: two octets", "c02802 0100 ", M::prefix_sid),
          // RFC 6368, RFC 7606 section 7.16.
          fine("attribute set", "c0800b 0000fde9 400101 00 800400 "),
          gone("attribute set of length 3", "c08003 00fde9 ", M::attribute_set),
          gone("attribute set: it overruns", "c08008 0000fde9 400102 00 ", M::attribute_set),
          gone("attribute set with MP_REACH in it", "c08007 0000fde9 800e00 ", M::attribute_set),
      },
      external());
}

TEST_CASE(
    "every published attribute with wrong flags does what the table says, with the right ones nothing of the kind",
    "[update_errors]") {
  for (const auto& rule : attribute_rules()) {
    if (rule.use == AttributeUse::decoded && rule.counter <= M::update_no_nlri)
      continue;  // MP_REACH, MP_UNREACH: above
    for (const int flags : {0x00, 0x40, 0x80, 0xc0, 0x20, 0x60, 0xa0, 0xe0}) {
      INFO(rule.name << ", flags " << flags);
      MalformationCounters counters{};
      Update update;
      char header[8];
      std::snprintf(header, sizeof header, "%02x%02x00 ", flags, rule.type);
      // In front of all others, so that it is the first of its kind.
      decode_update(update_of({"", header + kSound, kNlri, kFine, {}}), internal(), counters, update);
      CHECK((counters[static_cast<std::size_t>(M::attribute_flags)] == 1) !=
            flags_are_right(rule, static_cast<std::uint8_t>(flags)));
      if (!flags_are_right(rule, static_cast<std::uint8_t>(flags))) CHECK(update.handling >= rule.flags_error);
      CHECK(update.handling != kReset);
    }
  }
}

TEST_CASE("docs/path-attributes.md says what the table says", "[update_errors]") {
  const auto handling = [](ErrorHandling what) {
    return what == kWithdraw ? "treat-as-withdraw" : what == kDiscard ? "attribute discard" : "session reset";
  };
  std::string table;
  for (const auto& rule : attribute_rules()) {
    std::ostringstream line;
    line << "| " << int{rule.type} << " | " << rule.name << " | "
         << (rule.flags == kWellKnown            ? "well-known"
             : rule.flags == kOptionalTransitive ? "optional transitive"
                                                 : "optional non-transitive")
         << " | "
         << (rule.use == AttributeUse::decoded  ? "yes"
             : rule.use == AttributeUse::judged ? "no"
                                                : "from internal neighbours")
         << " | " << handling(rule.flags_error) << " | " << handling(rule.value_error) << " | " << rule.document
         << " |\n";
    table += line.str();
  }
  std::ifstream file(TANDEM_SOURCE_DIR "/docs/path-attributes.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  REQUIRE(!page.empty());
  CHECK(page.substr(std::min(page.find("| 1 |"), page.size())) == table);
}

TEST_CASE("a next hop :: with a link-local address is that address", "[update_errors]") {
  MalformationCounters counters{};
  Update update;
  decode_update(update_of({"",
                           kOrigin + kPath +
                               "800e2c 0002 01 20 00000000000000000000000000000000 "
                               "fe800000000000000000000000000001 00 30 20010db80001 ",
                           "",
                           kFine,
                           {}}),
                external(), counters, update);
  CHECK(update.next_hop_ipv6 == address("fe80::1"));
  REQUIRE(update.next_hop_link_local);
  CHECK(*update.next_hop_link_local == address("fe80::1").bytes);
}

TEST_CASE("errors in an UPDATE from an internal neighbour", "[update_errors]") {
  check(
      {
          {"LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST",
           kSound + "400504 00000064 800904 01020304 800a08 0102030405060708 ",
           kNlri,
           kFine,
           {}},
          {"empty AS_PATH", kOrigin + "400200 " + kNextHop, kNlri, kFine, {}},
          {"LOCAL_PREF of length 3", kSound + "400503 000064 ", kNlri, kWithdraw, M::local_pref},
          {"ORIGINATOR_ID of length 5", kSound + "800905 0102030405 ", kNlri, kWithdraw, M::originator_id},
          {"CLUSTER_LIST of length 0", kSound + "800a00 ", kNlri, kWithdraw, M::cluster_list},
          {"CLUSTER_LIST of length 3", kSound + "800a03 010203 ", kNlri, kWithdraw, M::cluster_list},
      },
      internal());
}

TEST_CASE("errors in an UPDATE from a two-octet neighbour", "[update_errors]") {
  auto context = external();
  context.four_octet_as = false;
  const std::string path = "400204 0201 fde9 ";
  check(
      {
          {"sound", kOrigin + path + kNextHop, kNlri, kFine, {}},
          {"four-octet path", kOrigin + kPath + kNextHop, kNlri, kWithdraw, M::as_path},
          {"AGGREGATOR of length 8", kOrigin + path + kNextHop + "c00708 0000fde9 01020304 ", kNlri, kDiscard,
           M::aggregator},
          {"AS4_PATH empty", kOrigin + path + kNextHop + "c01100 ", kNlri, kDiscard, M::as4_path},
          {"AS4_PATH that overruns", kOrigin + path + kNextHop + "c01106 0202 0000fde9 ", kNlri, kDiscard, M::as4_path},
          {"AS4_PATH with AS 0", kOrigin + path + kNextHop + "c01106 0201 00000000 ", kNlri, kDiscard, M::as4_path},
          {"AS4_AGGREGATOR of length 6", kOrigin + path + kNextHop + "c01206 fde9 01020304 ", kNlri, kDiscard,
           M::as4_aggregator},
      },
      context);
}

TEST_CASE("lengths that contradict the message reset the session", "[update_errors]") {
  for (const char* body :
       {"0001 00 00", "0005 00 0000", "ffff 0000", "0000 0001", "0000 ffff", "0000 0005 400101 00", "0002 0000"}) {
    INFO(body);
    MalformationCounters counters{};
    Update update;
    decode_update(message(MessageType::update, hex(body)), external(), counters, update);
    CHECK(update.handling == kReset);
    CHECK(update.reset == Notification{3, 1, {}});
    CHECK(counters[static_cast<std::size_t>(M::update_lengths)] == 1);
  }
}

TEST_CASE("End-of-RIB is recognised, and nothing else is taken for it", "[update_errors]") {
  const auto marks = [](const Octets& bytes) {
    MalformationCounters counters{};
    Update update;
    decode_update(bytes, external(), counters, update);
    return update.end_of_rib;
  };
  using Marks = std::array<bool, kFamilies>;
  CHECK(marks(encode_end_of_rib(Family::ipv4)) == Marks{true, false});
  CHECK(marks(encode_end_of_rib(Family::ipv6)) == Marks{false, true});
  CHECK(marks(message(MessageType::update, hex("0002 08 0a 0000"))) == Marks{false, false});
  CHECK(marks(message(MessageType::update, hex("0000 0009 800f06 0002 01 10 2001"))) == Marks{false, false});
  CHECK(marks(message(MessageType::update, hex("0002 08 0a 0006 800f03 0002 01"))) == Marks{false, false});
}

TEST_CASE("an error of an attribute withdraws the route and keeps the session", "[update_errors]") {
  World world(configuration(65000, {"10.0.0.1 as=65001", "10.0.0.2 as=65002"}));
  world.establish(0);
  world.establish(1);
  world.announce(0, {prefix("203.0.113.0/24")}, route({65001}, "10.0.0.1"));
  world.run();
  CHECK(world.puppets[1].view.size() == 1);

  world.puppets[0].send(update_of({"", "400101 07 " + kPath + kNextHop, kNlri, kWithdraw, {}}));
  world.run();
  CHECK(world.primary->neighbor_state(0) == State::established);
  CHECK(received_by(*world.primary, 0).empty());
  CHECK(world.puppets[1].view.empty());
  CHECK(malformed(*world.primary, 0, M::origin) == 1);

  world.puppets[0].send(update_of({"", kSound, "21 cb007100", kReset, {}}));
  world.run();
  CHECK(world.primary->neighbor_state(0) != State::established);
  CHECK(world.puppets[0].closed_by_speaker);
  world.puppets[0].read();
  REQUIRE(world.puppets[0].notifications.size() == 1);
  CHECK(world.puppets[0].notifications[0].to_string() == "UPDATE Message Error/Invalid Network Field (3/10)");
}
