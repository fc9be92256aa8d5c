// SPDX-License-Identifier: BSD-3-Clause
// The speaker's state for a late joiner, in pieces that stand for themselves. All numbers are little endian.
//
//   piece       magic u32 | version u16 | zero u16 | fingerprint of the configuration u64 | records
//   record      type u16 (bit 15: may be skipped by who does not know it) | length u32 | payload
//   1 neighbor  the neighbour's sessions, with the beginnings of messages, what is owed, and its counters
//   2 attributes  number u32, valid within the piece | a set
//   3 route     neighbor u16 | flags u8 (1 received, 2 told, 4 to be told again) | prefix | numbers of the sets
//
// A record's key is the neighbour, or the neighbour and the prefix; it holds everything that is known under that key, so that the later
// one simply replaces the earlier. Neighbours come first: a joiner that knows a session can follow it from there.
#include <algorithm>
#include <unordered_map>

#include "hash.hpp"
#include "little_endian.hpp"
#include "speaker_impl.hpp"
#include "tandem/planted.hpp"

namespace tandem::bgp {

namespace {

constexpr std::uint32_t kMagic = 0x50474254;  // "TBGP"
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kRecordHeaderBytes = 6;
constexpr std::uint16_t kNeighborRecord = 1;
constexpr std::uint16_t kAttributesRecord = 2;
constexpr std::uint16_t kRouteRecord = 3;
constexpr std::uint16_t kMaySkip = 0x8000;

constexpr std::uint8_t kReceived = 1;
constexpr std::uint8_t kTold = 2;
constexpr std::uint8_t kTellAgain = 4;

// How many places for routes are looked at for one piece, whether there is anything or not.
constexpr std::size_t kScanShare = 65536;
constexpr std::size_t kMaxReasonBytes = 256;

// Stages of the cursor.
constexpr std::uint32_t kNeighbors = 0;
constexpr std::uint32_t kRoutes = 1;  // and the next, by family
constexpr std::uint32_t kDone = kRoutes + kFamilies;

std::uint64_t fingerprint(const Configuration& configuration) {
  KeyedHash h(kMagic);
  h.add(configuration.as);
  h.add(configuration.router_id);
  for (const auto& n : configuration.neighbors) {
    h.add(static_cast<std::uint64_t>(n.address.family) << 32 | n.as);
    h.add_bytes(n.address.bytes.data(), n.address.bytes.size());
  }
  return h.value();
}

void put_piece_header(std::vector<std::uint8_t>& out, const Configuration& configuration) {
  PieceWriter writer(out);
  writer.put(kMagic);
  writer.put(kVersion);
  writer.put(std::uint16_t{0});
  writer.put(fingerprint(configuration));
}

void put_record(std::vector<std::uint8_t>& out, std::uint16_t type, ByteSpan payload) {
  PieceWriter writer(out);
  writer.put(type);
  writer.put(static_cast<std::uint32_t>(payload.size()));
  writer.raw(payload);
}

// ---- Small things -----------------------------------------------------------------------------------------------------

void put_address(PieceWriter& w, const Address& address) {
  w.put(static_cast<std::uint8_t>(address.family));
  w.raw(ByteSpan(address.bytes).first(address_bytes(address.family)));
}

Family get_family(PieceReader& r) {
  const auto family = r.get<std::uint8_t>();
  if (family >= kFamilies) r.fail();
  return r.ok() ? static_cast<Family>(family) : Family::ipv4;
}

Address get_address(PieceReader& r) {
  Address address;
  address.family = get_family(r);
  const auto bytes = r.raw(address_bytes(address.family));
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return address;
}

void put_prefix(PieceWriter& w, const Prefix& prefix) {
  w.put(static_cast<std::uint8_t>(prefix.family));
  w.put(prefix.length);
  w.raw(ByteSpan(prefix.bytes).first((prefix.length + 7u) / 8u));
}

Prefix get_prefix(PieceReader& r) {
  Address address;
  address.family = get_family(r);
  const auto length = r.get<std::uint8_t>();
  if (length > address_bits(address.family)) r.fail();
  if (!r.ok()) return {};
  const auto bytes = r.raw((length + 7u) / 8u);
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return Prefix::of(address, length);
}

template <class T, class Put>
void put_optional(PieceWriter& w, const std::optional<T>& value, Put&& put) {
  w.put(value.has_value());
  if (value) put(*value);
}

template <class Get>
auto get_optional(PieceReader& r, Get&& get) -> std::optional<decltype(get())> {
  if (!r.flag()) return std::nullopt;
  return get();
}

// ---- Attributes -------------------------------------------------------------------------------------------------------

void put_words(PieceWriter& w, std::span<const std::uint32_t> words) {
  w.put(static_cast<std::uint16_t>(words.size()));
  for (const std::uint32_t word : words) w.put(word);
}

void put_attributes(PieceWriter& w, const PathAttributes& a) {
  const auto number = [&](std::uint32_t value) { w.put(value); };
  w.put(static_cast<std::uint8_t>(a.origin));
  w.put(a.atomic_aggregate);
  put_address(w, a.next_hop);
  put_optional(w, a.next_hop_link_local, [&](const auto& bytes) { w.raw(bytes); });
  put_optional(w, a.med, number);
  put_optional(w, a.local_pref, number);
  put_optional(w, a.aggregator, [&](const Aggregator& aggregator) {
    w.put(aggregator.as);
    w.put(aggregator.router_id);
  });
  put_optional(w, a.originator_id, number);
  put_words(w, a.as_path.words());
  put_words(w, a.communities);
  put_words(w, a.cluster_list);
  w.put(static_cast<std::uint16_t>(a.extended_communities.size()));
  for (const auto& c : a.extended_communities) w.raw(c);
  w.put(static_cast<std::uint16_t>(a.large_communities.size()));
  for (const auto& c : a.large_communities)
    for (const std::uint32_t part : c) w.put(part);
  w.put(static_cast<std::uint8_t>(a.unknown.size()));
  for (const auto& u : a.unknown) {
    w.put(u.flags);
    w.put(u.type);
    w.sized(u.value);
  }
}

std::vector<std::uint32_t> get_words(PieceReader& r) {
  std::vector<std::uint32_t> words;
  for (std::uint16_t count = r.get<std::uint16_t>(); count > 0 && r.ok(); --count)
    words.push_back(r.get<std::uint32_t>());
  return words;
}

AsPath get_as_path(PieceReader& r) {
  const auto words = get_words(r);
  AsPath path;
  for (std::size_t i = 0; i < words.size();) {
    const std::uint32_t type = words[i] >> 16;
    const std::size_t count = words[i] & 0xffff;
    ++i;
    if ((type != AsPath::kSet && type != AsPath::kSequence) || count == 0 || count > AsPath::kMaxSegment ||
        count > words.size() - i) {
      r.fail();
      return {};
    }
    path.add_segment(static_cast<std::uint8_t>(type), std::span(words).subspan(i, count));
    i += count;
  }
  return path;
}

PathAttributes get_attributes(PieceReader& r) {
  PathAttributes a;
  const auto number = [&] { return r.get<std::uint32_t>(); };
  const auto origin = r.get<std::uint8_t>();
  if (origin > 2) r.fail();
  a.origin = static_cast<Origin>(std::min<std::uint8_t>(origin, 2));
  a.atomic_aggregate = r.flag();
  a.next_hop = get_address(r);
  a.next_hop_link_local = get_optional(r, [&] {
    std::array<std::uint8_t, 16> bytes{};
    const auto raw = r.raw(16);
    std::copy(raw.begin(), raw.end(), bytes.begin());
    return bytes;
  });
  a.med = get_optional(r, number);
  a.local_pref = get_optional(r, number);
  a.aggregator = get_optional(r, [&] {
    const std::uint32_t as = r.get<std::uint32_t>();
    return Aggregator{as, r.get<std::uint32_t>()};
  });
  a.originator_id = get_optional(r, number);
  a.as_path = get_as_path(r);
  a.communities = get_words(r);
  a.cluster_list = get_words(r);
  for (std::uint16_t count = r.get<std::uint16_t>(); count > 0 && r.ok(); --count) {
    const auto raw = r.raw(8);
    std::copy(raw.begin(), raw.end(), a.extended_communities.emplace_back().begin());
  }
  for (std::uint16_t count = r.get<std::uint16_t>(); count > 0 && r.ok(); --count)
    for (auto& part : a.large_communities.emplace_back()) part = r.get<std::uint32_t>();
  for (std::uint8_t count = r.get<std::uint8_t>(); count > 0 && r.ok(); --count) {
    UnknownAttribute u;
    u.flags = r.get<std::uint8_t>();
    u.type = r.get<std::uint8_t>();
    const auto value = r.sized();
    u.value.assign(value.begin(), value.end());
    a.unknown.push_back(std::move(u));
  }
  return a;
}

// ---- Neighbours -------------------------------------------------------------------------------------------------------

void put_open(PieceWriter& w, const Open& open) {
  w.put(open.version);
  w.put(open.as);
  w.put(open.hold_time_s);
  w.put(open.router_id);
  for (const bool family : open.family) w.put(family);
  w.put(open.any_multiprotocol);
  w.put(open.four_octet_as);
  w.put(open.route_refresh);
}

Open get_open(PieceReader& r) {
  Open open;
  open.version = r.get<std::uint8_t>();
  open.as = r.get<std::uint32_t>();
  open.hold_time_s = r.get<std::uint16_t>();
  open.router_id = r.get<std::uint32_t>();
  for (bool& family : open.family) family = r.flag();
  open.any_multiprotocol = r.flag();
  open.four_octet_as = r.flag();
  open.route_refresh = r.flag();
  return open;
}

bool is_message(ByteSpan bytes) {
  MalformationCounters ignored{};
  const Frame frame = next_frame(bytes, ignored);
  return frame.kind == Frame::Kind::message && frame.consumed == bytes.size();
}

bool is_beginning(ByteSpan bytes) {
  MalformationCounters ignored{};
  return next_frame(bytes, ignored).kind == Frame::Kind::incomplete;
}

void put_session(PieceWriter& w, const Session& s) {
  w.put(static_cast<std::uint8_t>(s.fsm.state()));
  w.put(s.connecting);
  w.put(s.transport);
  w.put(s.closing);
  w.put(s.damped);
  put_address(w, s.endpoints.local);
  put_address(w, s.endpoints.remote);
  for (const auto* address : {&s.endpoints.next_hop_ipv4, &s.endpoints.next_hop_ipv6, &s.endpoints.link_local})
    put_optional(w, *address, [&](const Address& a) { put_address(w, a); });
  put_optional(w, s.sent, [&](const Open& open) { put_open(w, open); });
  put_optional(w, s.received, [&](const Open& open) { put_open(w, open); });
  w.put(static_cast<std::uint8_t>(s.control.size()));
  for (const auto& message : s.control) w.sized(message);
  w.sized(s.partial_received);
  w.sized(s.partial_written);
}

void get_session(PieceReader& r, Session& s) {
  const auto state = r.get<std::uint8_t>();
  if (state > static_cast<std::uint8_t>(State::established)) r.fail();
  if (r.ok()) s.fsm.mirror(static_cast<State>(state));
  s.connecting = r.flag();
  s.transport = r.flag();
  s.closing = r.flag();
  s.damped = r.flag();
  s.endpoints.local = get_address(r);
  s.endpoints.remote = get_address(r);
  for (auto* address : {&s.endpoints.next_hop_ipv4, &s.endpoints.next_hop_ipv6, &s.endpoints.link_local})
    *address = get_optional(r, [&] { return get_address(r); });
  s.sent = get_optional(r, [&] { return get_open(r); });
  s.received = get_optional(r, [&] { return get_open(r); });
  s.control.clear();
  for (std::uint8_t count = r.get<std::uint8_t>(); count > 0 && r.ok(); --count) {
    const auto bytes = r.sized();
    if (!is_message(bytes)) r.fail();
    s.control.emplace_back(bytes.begin(), bytes.end());
  }
  for (auto* partial : {&s.partial_received, &s.partial_written}) {
    const auto bytes = r.sized();
    if (!is_beginning(bytes)) r.fail();
    partial->assign(bytes.begin(), bytes.end());
  }
  if (s.fsm.state() >= State::open_sent && !s.transport) r.fail();
}

template <std::size_t kCount>
void put_counters(PieceWriter& w, const std::array<std::uint64_t, kCount>& counters) {
  w.put(static_cast<std::uint8_t>(kCount));
  for (const std::uint64_t c : counters) w.put(c);
}

/// Counters that only the other version has are passed over.
template <std::size_t kCount>
void get_counters(PieceReader& r, std::array<std::uint64_t, kCount>& counters) {
  const std::size_t count = r.get<std::uint8_t>();
  for (std::size_t i = 0; i < count && r.ok(); ++i) {
    const auto value = r.get<std::uint64_t>();
    if (i < kCount) counters[i] = value;
  }
}

void put_neighbor(PieceWriter& w, std::uint32_t index, const Neighbor& n, std::uint64_t now_ms) {
  w.put(static_cast<std::uint16_t>(index));
  w.put(static_cast<std::uint8_t>(n.established ? 1 + static_cast<int>(*n.established) : 0));
  w.put(std::uint64_t{now_ms - n.established_since_ms});
  for (const Session& s : n.sessions) put_session(w, s);
  for (const Family family : kAllFamilies) w.put(n.out.end_of_rib_sent(family));
  w.put(n.out.unadvertisable());
  w.put(n.counters.times_established);
  put_counters(w, n.counters.messages_in);
  put_counters(w, n.counters.messages_out);
  put_counters(w, n.counters.malformations);
  const auto* reason = reinterpret_cast<const std::uint8_t*>(n.counters.last_down.data());
  w.sized({reason, std::min(n.counters.last_down.size(), kMaxReasonBytes)});
  n.limit.save(w, now_ms);
}

}  // namespace

std::vector<std::uint8_t> Speaker::Impl::save_neighbor(std::uint32_t index, std::uint64_t now_ms) const {
  std::vector<std::uint8_t> piece;
  put_piece_header(piece, configuration_);
  std::vector<std::uint8_t> payload;
  PieceWriter writer(payload);
  put_neighbor(writer, index, *neighbors_[index], std::max(now_ms, now_ms_));
  put_record(piece, kNeighborRecord, payload);
  return piece;
}

bool Speaker::Impl::save(SaveCursor& cursor, std::size_t max_bytes, std::vector<std::uint8_t>& piece,
                         std::uint64_t now_ms) const {
  piece.clear();
  if (cursor.stage >= kDone) return false;
  max_bytes = std::max(max_bytes, kMinPieceBytes);
  put_piece_header(piece, configuration_);

  std::vector<std::uint8_t> payload;
  for (; cursor.stage == kNeighbors && cursor.neighbor < neighbors_.size(); ++cursor.neighbor) {
    payload.clear();
    PieceWriter writer(payload);
    put_neighbor(writer, cursor.neighbor, *neighbors_[cursor.neighbor], std::max(now_ms, now_ms_));
    if (piece.size() + kRecordHeaderBytes + payload.size() > max_bytes) return true;
    put_record(piece, kNeighborRecord, payload);
  }
  if (cursor.stage == kNeighbors) cursor = {kRoutes, 0, 0};

  std::unordered_map<AttributeId, std::uint32_t> numbers;
  std::vector<std::uint8_t> records;
  std::size_t scanned = 0;
  while (cursor.stage < kDone) {
    const auto family = static_cast<Family>(cursor.stage - kRoutes);
    const PrefixTable& prefixes = rib_.prefixes(family);
    for (; cursor.prefix < prefixes.limit(); ++cursor.prefix, cursor.neighbor = 0) {
      for (; cursor.neighbor < neighbors_.size(); ++cursor.neighbor) {
        const AttributeId received = rib_.received(cursor.neighbor, family, cursor.prefix);
        const AttributeId told = rib_.told(cursor.neighbor, family, cursor.prefix);
        if (++scanned > kScanShare) return true;
        if (received == kNoRoute && told == kNoRoute) continue;

        records.clear();
        const auto number_of = [&](AttributeId id) {
          const auto [place, is_new] = numbers.try_emplace(id, static_cast<std::uint32_t>(numbers.size()));
          if (is_new) {
            payload.clear();
            PieceWriter writer(payload);
            writer.put(place->second);
            put_attributes(writer, rib_.attributes().get(id));
            put_record(records, kAttributesRecord, payload);
          }
          return place->second;
        };
        const std::uint32_t received_number = received == kNoRoute ? 0 : number_of(untagged(received));
        const std::uint32_t told_number = told == kNoRoute ? 0 : number_of(untagged(told));
        payload.clear();
        PieceWriter writer(payload);
        writer.put(static_cast<std::uint16_t>(cursor.neighbor));
        const int flags = (received != kNoRoute ? kReceived : 0) | (told != kNoRoute ? kTold : 0) |
                          ((told & kAttributeTag) != 0 ? kTellAgain : 0);
        writer.put(static_cast<std::uint8_t>(flags));
        put_prefix(writer, prefixes.get(cursor.prefix));
        if (received != kNoRoute) writer.put(received_number);
        if (told != kNoRoute) writer.put(told_number);
        put_record(records, kRouteRecord, payload);
        if (piece.size() + records.size() > max_bytes) return true;  // the cursor stays: it begins the next piece
        piece.insert(piece.end(), records.begin(), records.end());
      }
    }
    cursor = {cursor.stage + 1, 0, 0};
  }
  return true;
}

std::string Speaker::Impl::restore_neighbor(PieceReader& record) {
  const auto index = record.get<std::uint16_t>();
  if (!record.ok() || index >= neighbors_.size()) return "a piece speaks of a neighbor that is not configured here";
  Neighbor& n = *neighbors_[index];
  const auto established = record.get<std::uint8_t>();
  const auto uptime_ms = record.get<std::uint64_t>();
  std::array<Session, 2> sessions;
  for (Session& s : sessions) get_session(record, s);
  std::array<bool, kFamilies> end_of_rib{};
  for (bool& sent : end_of_rib) sent = record.flag();
  const auto unadvertisable = record.get<std::uint64_t>();
  NeighborStatistics counters;
  counters.times_established = record.get<std::uint64_t>();
  get_counters(record, counters.messages_in);
  get_counters(record, counters.messages_out);
  get_counters(record, counters.malformations);
  const auto reason = record.sized();
  counters.last_down.assign(reason.begin(), reason.end());
  PrefixLimit limit = n.limit;
  // Of an older version there is nothing: then what is configured here goes.
  if (record.left() > 0) limit.restore(record, now_ms_);
  if (!record.ok() || established > 2) return "the record of a neighbor is corrupt";
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    const bool up = established == i + 1;
    if ((sessions[i].fsm.state() == State::established) != up || (up && !negotiate(sessions[i])))
      return "the record of a neighbor contradicts itself";
  }

  n.sessions = std::move(sessions);
  n.counters = std::move(counters);
  n.limit = limit;
  n.established.reset();
  n.out.end();
  n.out.set_unadvertisable(unadvertisable);
  for (const Family family : kAllFamilies) n.out.set_end_of_rib_sent(family, end_of_rib[index_of(family)]);
  if (established == 0) return {};
  n.established = static_cast<Direction>(established - 1);
  n.established_since_ms = now_ms_ - std::min(now_ms_, uptime_ms);
  const Session& s = n.sessions[established - 1u];
  const Negotiated agreed = negotiate(s).value();
  rib_.set_rank(index, n.external, agreed.peer_router_id);
  n.out.begin(written_context(n, agreed), s.endpoints);
  return {};
}

std::string Speaker::Impl::restore_attributes(PieceReader& record, AttributeNumbers& sets) {
  const auto number = record.get<std::uint32_t>();
  const PathAttributes attributes = get_attributes(record);
  if (!record.ok()) return "a set of path attributes is corrupt";
  if (const auto [place, is_new] = sets.try_emplace(number, kNoRoute); is_new)
    place->second = rib_.attributes().intern(attributes);
  return {};
}

std::string Speaker::Impl::restore_route(PieceReader& record, const AttributeNumbers& sets) {
  const auto index = record.get<std::uint16_t>();
  const auto flags = record.get<std::uint8_t>();
  const Prefix prefix = get_prefix(record);
  const auto set_of = [&](std::uint8_t flag) {
    if ((flags & flag) == 0) return kNoRoute;
    const auto place = sets.find(record.get<std::uint32_t>());
    if (place != sets.end()) return place->second;
    record.fail();
    return kNoRoute;
  };
  const AttributeId received = set_of(kReceived);
  const AttributeId told = set_of(kTold);
  if (!record.ok() || index >= neighbors_.size()) return "the record of a route is corrupt";
  if (TANDEM_PLANTED_SELDOM(bgp_route_not_restored, 16)) return {};
  if (received != kNoRoute)
    rib_.announce(index, prefix, received);
  else
    rib_.withdraw(index, prefix);
  rib_.set_told(index, prefix, told);
  if ((flags & kTellAgain) != 0) rib_.tell_again(index, prefix);
  return {};
}

std::string Speaker::Impl::restore(ByteSpan piece, std::uint64_t now_ms) {
  now_ms_ = now_ms;
  PieceReader reader(piece);
  if (reader.get<std::uint32_t>() != kMagic || !reader.ok()) return "this is no piece of a BGP speaker's state";
  const auto version = reader.get<std::uint16_t>();
  reader.get<std::uint16_t>();
  if (version != kVersion)
    return "the piece has version " + std::to_string(version) + ", this program reads " + std::to_string(kVersion) +
           "; run the same version on both sides";
  if (reader.get<std::uint64_t>() != fingerprint(configuration_))
    return "the other side has another AS number, router id or list of neighbors; start both with the same options";

  AttributeNumbers sets;
  std::string wrong;
  while (wrong.empty() && reader.ok() && reader.left() > 0) {
    const auto type = reader.get<std::uint16_t>();
    PieceReader record(reader.raw(reader.get<std::uint32_t>()));
    if (!reader.ok()) break;
    if (type == kNeighborRecord)
      wrong = restore_neighbor(record);
    else if (type == kAttributesRecord)
      wrong = restore_attributes(record, sets);
    else if (type == kRouteRecord)
      wrong = restore_route(record, sets);
    else if ((type & kMaySkip) == 0)
      wrong = "record type " + std::to_string(type) + " is unknown; run the same version on both sides";
  }
  if (wrong.empty() && !reader.ok()) wrong = "the piece is shorter than it says";
  for (const auto& [number, id] : sets) rib_.attributes().unref(id);
  return wrong;
}

}  // namespace tandem::bgp
