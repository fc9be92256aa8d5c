// SPDX-License-Identifier: BSD-3-Clause
// UPDATE, read with the error handling of RFC 7606: a session is reset only where the prefixes cannot be located.
#include <algorithm>
#include <bitset>

#include "attribute_rules.hpp"
#include "bgp/codec.hpp"
#include "wire.hpp"

namespace tandem::bgp {

namespace {

constexpr std::uint8_t kMalformedAttributeList = 1;
constexpr std::uint8_t kUnrecognizedWellKnown = 2;
constexpr std::uint8_t kOptionalAttributeError = 9;
constexpr std::uint8_t kInvalidNetworkField = 10;

/// False: not syntactically correct (RFC 7606 section 5.3).
bool read_prefixes(ByteSpan field, Family family, std::vector<Prefix>& out) {
  const std::uint8_t bits = address_bits(family);
  std::size_t at = 0;
  while (at < field.size()) {
    const std::uint8_t length = field[at++];
    const std::size_t bytes = (length + 7u) / 8u;
    if (length > bits || field.size() - at < bytes) return false;
    Prefix prefix{family, length, {}};
    std::copy_n(field.begin() + static_cast<std::ptrdiff_t>(at), bytes, prefix.bytes.begin());
    if (length % 8 != 0) prefix.bytes[bytes - 1] &= static_cast<std::uint8_t>(0xff00 >> (length % 8));
    out.push_back(prefix);
    at += bytes;
  }
  return true;
}

bool is_martian(const Prefix& prefix) {
  if (prefix.family == Family::ipv4) return prefix.length >= 4 && (prefix.bytes[0] & 0xf0) == 0xe0;
  if (prefix.length >= 8 && prefix.bytes[0] == 0xff) return true;
  return prefix.length >= 10 && prefix.bytes[0] == 0xfe && (prefix.bytes[1] & 0xc0) == 0x80;
}

enum class PathForm : std::uint8_t { two_octet, four_octet };

/// RFC 7606 section 7.2, and AS 0 (RFC 7607). Confederation segments are errors in AS_PATH from a neighbour that is in no
/// confederation with us (RFC 5065), and passed over in AS4_PATH (RFC 6793 section 6).
bool read_as_path(ByteSpan value, PathForm form, bool skip_confederation, AsPath& path) {
  WireReader reader(value);
  std::array<std::uint32_t, AsPath::kMaxSegment> numbers;
  path.clear();
  while (reader.left() > 0) {
    std::uint8_t type = 0;
    std::uint8_t count = 0;
    if (!reader.u8(type) || !reader.u8(count) || count == 0) return false;
    const bool confederation = type == 3 || type == 4;
    if (type != AsPath::kSet && type != AsPath::kSequence && !(confederation && skip_confederation)) return false;
    for (std::size_t i = 0; i < count; ++i) {
      std::uint16_t narrow = 0;
      if (form == PathForm::four_octet) {
        if (!reader.u32(numbers[i])) return false;
      } else {
        if (!reader.u16(narrow)) return false;
        numbers[i] = narrow;
      }
      if (numbers[i] == 0) return false;
    }
    if (!confederation) path.add_segment(type, std::span(numbers).first(count));
  }
  return true;
}

/// RFC 6793 section 4.2.3: what AS_PATH has in front of AS4_PATH, then AS4_PATH.
AsPath merge_paths(const AsPath& path, const AsPath& as4_path) {
  const std::uint32_t total = path.decision_length();
  const std::uint32_t known = as4_path.decision_length();
  if (total < known) return path;
  std::uint32_t lead = total - known;
  AsPath merged;
  std::vector<std::uint32_t> open_sequence;  // a sequence that what follows may still lengthen
  const auto flush = [&] {
    if (!open_sequence.empty()) merged.add_segment(AsPath::kSequence, open_sequence);
    open_sequence.clear();
  };
  const auto add = [&](std::uint8_t type, std::span<const std::uint32_t> as) {
    if (type != AsPath::kSequence || open_sequence.size() + as.size() > AsPath::kMaxSegment) flush();
    if (type == AsPath::kSequence)
      open_sequence.insert(open_sequence.end(), as.begin(), as.end());
    else
      merged.add_segment(type, as);
  };
  path.for_each_segment([&](const AsPath::Segment& s) {
    if (lead == 0) return;
    const std::uint32_t weight = s.type == AsPath::kSet ? 1 : static_cast<std::uint32_t>(s.as.size());
    const std::uint32_t take = std::min(weight, lead);
    add(s.type, s.type == AsPath::kSet ? s.as : s.as.first(take));
    lead -= take;
  });
  // Only the seam is closed: segments that the originators kept apart stay apart.
  bool first = true;
  as4_path.for_each_segment([&](const AsPath::Segment& s) {
    if (!first) flush();
    add(s.type, s.as);
    first = false;
  });
  flush();
  return merged;
}

class Decoder {
 public:
  Decoder(const UpdateContext& context, MalformationCounters& counters, Update& update)
      : context_(context), counters_(counters), update_(update) {}

  void run(ByteSpan message);

 private:
  void note(Malformation m, ErrorHandling handling) {
    ++counters_[static_cast<std::size_t>(m)];
    update_.handling = std::max(update_.handling, handling);
  }
  void withdraw(Malformation m) { note(m, ErrorHandling::treat_as_withdraw); }
  void discard(Malformation m) { note(m, ErrorHandling::attribute_discard); }
  void reset(Malformation m, std::uint8_t subcode, ByteSpan data = {}) {
    const bool first = update_.handling != ErrorHandling::session_reset;
    note(m, ErrorHandling::session_reset);
    if (!first) return;
    data = data.first(std::min(data.size(), kMaxMessageBytes - kHeaderBytes - 2));
    update_.reset = {static_cast<std::uint8_t>(ErrorCode::update), subcode, {data.begin(), data.end()}};
  }
  bool failed() const { return update_.handling == ErrorHandling::session_reset; }

  void attributes(ByteSpan field);
  void attribute(std::uint8_t flags, std::uint8_t type, ByteSpan value, ByteSpan whole);
  void known(AttributeType type, ByteSpan value, ByteSpan whole);
  void unknown(std::uint8_t flags, std::uint8_t type, ByteSpan value, ByteSpan whole);
  void mp_reach(ByteSpan value, ByteSpan whole);
  void mp_unreach(ByteSpan value, ByteSpan whole);
  void aggregator(ByteSpan value);
  void reconcile_as4();
  void check_mandatory();
  void check_meaning();
  bool next_hop_is_usable(const Address& next_hop) const;
  bool seen(AttributeType type) const { return seen_[static_cast<std::uint8_t>(type)]; }

  static bool u32_of(ByteSpan value, std::optional<std::uint32_t>& out) {
    std::uint32_t number = 0;
    if (value.size() != 4 || !WireReader(value).u32(number)) return false;
    out = number;
    return true;
  }

  const UpdateContext& context_;
  MalformationCounters& counters_;
  Update& update_;
  std::bitset<256> seen_;
  std::size_t attribute_count_ = 0;
  bool any_nlri_ = false;       // reachable prefixes of whatever family
  bool has_ipv4_nlri_ = false;  // in the message's own field
  bool ipv4_by_mp_ = false;     // RFC 4760 allows IPv4 unicast in MP_REACH_NLRI too
  bool next_hop_malformed_ = false;
  std::optional<AsPath> as4_path_;
  std::optional<Aggregator> as4_aggregator_;
};

void Decoder::run(ByteSpan message) {
  WireReader reader(message.size() < kHeaderBytes ? ByteSpan{} : message.subspan(kHeaderBytes));
  std::uint16_t bytes = 0;
  ByteSpan withdrawn;
  ByteSpan attributes_field;
  if (!reader.u16(bytes) || !reader.bytes(bytes, withdrawn) || !reader.u16(bytes) ||
      !reader.bytes(bytes, attributes_field))
    return reset(Malformation::update_lengths, kMalformedAttributeList);
  const ByteSpan nlri = reader.rest();
  update_.end_of_rib[index_of(Family::ipv4)] = withdrawn.empty() && attributes_field.empty() && nlri.empty();

  if (!read_prefixes(withdrawn, Family::ipv4, update_.withdrawn))
    return reset(Malformation::update_withdrawn, kInvalidNetworkField);
  if (!read_prefixes(nlri, Family::ipv4, update_.announced_ipv4))
    return reset(Malformation::update_nlri, kInvalidNetworkField);
  has_ipv4_nlri_ = !nlri.empty();
  any_nlri_ = has_ipv4_nlri_;

  attributes(attributes_field);
  if (failed()) return;
  if (!context_.four_octet_as) reconcile_as4();
  if (!context_.family[index_of(Family::ipv4)] && (has_ipv4_nlri_ || !withdrawn.empty())) {
    note(Malformation::family_not_negotiated, ErrorHandling::none);
    update_.announced_ipv4.clear();
    std::erase_if(update_.withdrawn, [](const Prefix& p) { return p.family == Family::ipv4; });
  }
  check_mandatory();
  if (context_.check_meaning) check_meaning();

  // RFC 7606 section 5.2: attributes, but no reachable prefix: they may have gone missing with the error.
  const bool beyond_unreach = attribute_count_ > (seen(AttributeType::mp_unreach) ? 1u : 0u);
  if (update_.handling == ErrorHandling::treat_as_withdraw && !any_nlri_ && beyond_unreach)
    reset(Malformation::update_no_nlri, kMalformedAttributeList);
}

void Decoder::attributes(ByteSpan field) {
  while (!field.empty()) {
    WireReader reader(field);
    std::uint8_t flags = 0;
    std::uint8_t type = 0;
    std::uint8_t short_length = 0;
    std::uint16_t length = 0;
    ByteSpan value;
    ++attribute_count_;
    bool whole = reader.u8(flags) && reader.u8(type);
    if (whole && (flags & kFlagExtendedLength) != 0) {
      whole = reader.u16(length);
    } else if (whole) {
      whole = reader.u8(short_length);
      length = short_length;
    }
    // RFC 7606 section 4: the field's total length is believed, this attribute is not.
    if (!whole || !reader.bytes(length, value)) return withdraw(Malformation::attribute_overrun);
    const ByteSpan all = field.first(field.size() - reader.left());
    field = reader.rest();
    attribute(flags, type, value, all);
    if (failed()) return;
  }
}

void Decoder::attribute(std::uint8_t flags, std::uint8_t type, ByteSpan value, ByteSpan whole) {
  const bool is_mp = type == static_cast<std::uint8_t>(AttributeType::mp_reach) ||
                     type == static_cast<std::uint8_t>(AttributeType::mp_unreach);
  if (seen_[type]) {
    if (is_mp) return reset(Malformation::update_mp_duplicate, kMalformedAttributeList);
    return discard(Malformation::duplicate_attribute);
  }
  seen_.set(type);
  const AttributeRule* const rule = rule_of(type);
  if (rule == nullptr) return unknown(flags, type, value, whole);
  if (!flags_are_right(*rule, flags)) {
    note(Malformation::attribute_flags, rule->flags_error);
    // The prefixes in it are needed to withdraw them.
    if (!is_mp) return;
  }
  switch (rule->use) {
    case AttributeUse::judged:
      if (!rule->is_sound(value)) return note(rule->counter, rule->value_error);
      return unknown(flags, type, value, whole);
    case AttributeUse::internal:
      if (context_.external) return discard(Malformation::internal_attribute_from_external);
      break;
    case AttributeUse::decoded:
      break;
  }
  known(static_cast<AttributeType>(type), value, whole);
}

void Decoder::known(AttributeType type, ByteSpan value, ByteSpan whole) {
  PathAttributes& a = update_.attributes;
  WireReader reader(value);
  const auto list_of = [&](std::size_t item) { return !value.empty() && value.size() % item == 0; };
  switch (type) {
    case AttributeType::origin:
      if (value.size() != 1 || value[0] > 2) return withdraw(Malformation::origin);
      a.origin = static_cast<Origin>(value[0]);
      return;
    case AttributeType::as_path:
      if (!read_as_path(value, context_.four_octet_as ? PathForm::four_octet : PathForm::two_octet, false, a.as_path))
        withdraw(Malformation::as_path);
      return;
    case AttributeType::next_hop:
      // Judged later: without IPv4 prefixes in the message's own field it is ignored (RFC 4760 section 3).
      if (value.size() != 4)
        next_hop_malformed_ = true;
      else if (!ipv4_by_mp_)
        std::copy(value.begin(), value.end(), a.next_hop.bytes.begin());
      return;
    case AttributeType::med:
      if (!u32_of(value, a.med)) withdraw(Malformation::med);
      return;
    case AttributeType::local_pref:
      if (!u32_of(value, a.local_pref)) withdraw(Malformation::local_pref);
      return;
    case AttributeType::atomic_aggregate:
      if (!value.empty()) return discard(Malformation::atomic_aggregate);
      a.atomic_aggregate = true;
      return;
    case AttributeType::aggregator:
      return aggregator(value);
    case AttributeType::communities:
      if (!list_of(4)) return withdraw(Malformation::communities);
      for (std::uint32_t c = 0; reader.u32(c);) a.communities.push_back(c);
      return;
    case AttributeType::originator_id:
      if (!u32_of(value, a.originator_id)) withdraw(Malformation::originator_id);
      return;
    case AttributeType::cluster_list:
      if (!list_of(4)) return withdraw(Malformation::cluster_list);
      for (std::uint32_t c = 0; reader.u32(c);) a.cluster_list.push_back(c);
      return;
    case AttributeType::mp_reach:
      return mp_reach(value, whole);
    case AttributeType::mp_unreach:
      return mp_unreach(value, whole);
    case AttributeType::extended_communities:
      if (!list_of(8)) return withdraw(Malformation::extended_communities);
      for (ByteSpan c; reader.bytes(8, c);)
        std::copy(c.begin(), c.end(), a.extended_communities.emplace_back().begin());
      return;
    case AttributeType::as4_path: {
      if (context_.four_octet_as) return discard(Malformation::as4_path);
      AsPath path;
      if (value.empty() || !read_as_path(value, PathForm::four_octet, true, path))
        return discard(Malformation::as4_path);
      as4_path_ = std::move(path);
      return;
    }
    case AttributeType::as4_aggregator: {
      Aggregator as4;
      if (context_.four_octet_as || value.size() != 8 || !reader.u32(as4.as) || !reader.u32(as4.router_id) ||
          as4.as == 0)
        return discard(Malformation::as4_aggregator);
      as4_aggregator_ = as4;
      return;
    }
    case AttributeType::large_communities:
      if (!list_of(12)) return withdraw(Malformation::large_communities);
      for (LargeCommunity c{}; reader.u32(c[0]) && reader.u32(c[1]) && reader.u32(c[2]);)
        a.large_communities.push_back(c);
      return;
  }
}

void Decoder::unknown(std::uint8_t flags, std::uint8_t type, ByteSpan value, ByteSpan whole) {
  if ((flags & kFlagOptional) == 0)
    return reset(Malformation::update_unrecognized_well_known, kUnrecognizedWellKnown, whole);
  if ((flags & kFlagTransitive) == 0) return;  // RFC 4271 section 5: quietly ignored, not passed on
  auto& list = update_.attributes.unknown;
  const auto place = std::find_if(list.begin(), list.end(), [&](const UnknownAttribute& u) { return u.type > type; });
  const std::uint8_t kept = flags & (kFlagOptional | kFlagTransitive | kFlagPartial);
  list.insert(place, {kept, type, {value.begin(), value.end()}});
}

void Decoder::mp_reach(ByteSpan value, ByteSpan whole) {
  const auto broken = [&] { reset(Malformation::update_mp_reach, kOptionalAttributeError, whole); };
  WireReader reader(value);
  std::uint16_t afi = 0;
  std::uint8_t safi = 0;
  std::uint8_t next_hop_bytes = 0;
  std::uint8_t reserved = 0;
  ByteSpan next_hop;
  if (!reader.u16(afi) || !reader.u8(safi) || !reader.u8(next_hop_bytes) || !reader.bytes(next_hop_bytes, next_hop) ||
      !reader.u8(reserved))
    return broken();
  any_nlri_ = any_nlri_ || reader.left() > 0;
  const bool ipv4 = afi == afi_of(Family::ipv4) && safi == kSafiUnicast;
  const bool ipv6 = afi == afi_of(Family::ipv6) && safi == kSafiUnicast;
  if (!(ipv4 && context_.family[0]) && !(ipv6 && context_.family[1]))
    return note(Malformation::family_not_negotiated, ErrorHandling::none);

  if (ipv4) {
    if (next_hop_bytes != 4 || !read_prefixes(reader.rest(), Family::ipv4, update_.announced_ipv4)) return broken();
    std::copy(next_hop.begin(), next_hop.end(), update_.attributes.next_hop.bytes.begin());
    ipv4_by_mp_ = reader.left() > 0;
    return;
  }
  if ((next_hop_bytes != 16 && next_hop_bytes != 32) ||
      !read_prefixes(reader.rest(), Family::ipv6, update_.announced_ipv6))
    return broken();
  update_.next_hop_ipv6.family = Family::ipv6;
  std::copy_n(next_hop.begin(), 16, update_.next_hop_ipv6.bytes.begin());
  if (next_hop_bytes == 32) {
    Address link_local{Family::ipv6, {}};
    std::copy_n(next_hop.begin() + 16, 16, link_local.bytes.begin());
    // Some speakers fill the second place with something else when they have no link-local address.
    if (!link_local.is_link_local()) return;
    update_.next_hop_link_local = link_local.bytes;
    // One that has no global address on this link says so with ::, and is reached by the other all the same.
    if (update_.next_hop_ipv6.is_unspecified()) update_.next_hop_ipv6 = link_local;
  }
}

void Decoder::mp_unreach(ByteSpan value, ByteSpan whole) {
  WireReader reader(value);
  std::uint16_t afi = 0;
  std::uint8_t safi = 0;
  if (!reader.u16(afi) || !reader.u8(safi))
    return reset(Malformation::update_mp_unreach, kOptionalAttributeError, whole);
  for (const Family family : kAllFamilies) {
    if (afi != afi_of(family) || safi != kSafiUnicast || !context_.family[index_of(family)]) continue;
    if (!read_prefixes(reader.rest(), family, update_.withdrawn))
      reset(Malformation::update_mp_unreach, kOptionalAttributeError, whole);
    // End-of-RIB unless something else turns up; the caller's check of the attribute count follows in check_mandatory().
    update_.end_of_rib[index_of(family)] = reader.left() == 0;
    return;
  }
  note(Malformation::family_not_negotiated, ErrorHandling::none);
}

void Decoder::aggregator(ByteSpan value) {
  WireReader reader(value);
  Aggregator aggregator;
  bool sound = false;
  if (context_.four_octet_as) {
    sound = value.size() == 8 && reader.u32(aggregator.as) && reader.u32(aggregator.router_id);
  } else {
    std::uint16_t as = 0;
    sound = value.size() == 6 && reader.u16(as) && reader.u32(aggregator.router_id);
    aggregator.as = as;
  }
  if (!sound || aggregator.as == 0) return discard(Malformation::aggregator);
  update_.attributes.aggregator = aggregator;
}

void Decoder::reconcile_as4() {
  PathAttributes& a = update_.attributes;
  // RFC 6793 section 4.2.3: an old speaker that aggregated afterwards makes both attributes stale.
  if (as4_aggregator_ && a.aggregator && a.aggregator->as != kAsTrans) return;
  if (as4_aggregator_ && a.aggregator) a.aggregator = as4_aggregator_;
  if (as4_path_) a.as_path = merge_paths(a.as_path, *as4_path_);
}

void Decoder::check_mandatory() {
  const bool only_unreach = attribute_count_ == 1 && update_.withdrawn.empty() && !any_nlri_;
  update_.end_of_rib[index_of(Family::ipv6)] = update_.end_of_rib[index_of(Family::ipv6)] && only_unreach;
  update_.end_of_rib[index_of(Family::ipv4)] =
      update_.end_of_rib[index_of(Family::ipv4)] && (attribute_count_ == 0 || only_unreach);
  if (update_.announced_ipv4.empty() && update_.announced_ipv6.empty()) return;
  if (!seen(AttributeType::origin) || !seen(AttributeType::as_path)) return withdraw(Malformation::missing_well_known);
  if (!has_ipv4_nlri_ || !context_.family[0]) return;
  if (next_hop_malformed_)
    withdraw(Malformation::next_hop);
  else if (!seen(AttributeType::next_hop))
    withdraw(Malformation::missing_well_known);
}

bool Decoder::next_hop_is_usable(const Address& next_hop) const {
  if (next_hop.is_unspecified() || next_hop.is_multicast() || next_hop.is_loopback()) return false;
  // 0/8 is this network, 240/4 reserved: no router has such an address (RFC 6890).
  if (next_hop.family == Family::ipv4 && (next_hop.bytes[0] == 0 || next_hop.bytes[0] >= 240)) return false;
  return next_hop != context_.own_address;
}

void Decoder::check_meaning() {
  const auto drop_martians = [&](std::vector<Prefix>& prefixes) {
    const auto dropped = std::erase_if(prefixes, is_martian);
    counters_[static_cast<std::size_t>(Malformation::martian_prefix)] += dropped;
  };
  drop_martians(update_.announced_ipv4);
  drop_martians(update_.announced_ipv6);
  if (update_.handling >= ErrorHandling::treat_as_withdraw) return;
  if (!update_.announced_ipv4.empty() && !next_hop_is_usable(update_.attributes.next_hop))
    withdraw(Malformation::next_hop);
  if (!update_.announced_ipv6.empty() && !next_hop_is_usable(update_.next_hop_ipv6)) withdraw(Malformation::next_hop);
  const bool announces = !update_.announced_ipv4.empty() || !update_.announced_ipv6.empty();
  if (announces && context_.first_as != 0 && update_.attributes.as_path.first_as() != context_.first_as)
    withdraw(Malformation::first_as);
}

}  // namespace

void decode_update(ByteSpan message, const UpdateContext& context, MalformationCounters& counters, Update& update) {
  update.clear();
  Decoder(context, counters, update).run(message);
}

}  // namespace tandem::bgp
