// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "attribute_rules.hpp"
#include "bgp/codec.hpp"
#include "wire.hpp"

namespace tandem::bgp {

namespace {

void put_attribute_header(std::vector<std::uint8_t>& out, std::uint8_t flags, std::uint8_t type, std::size_t bytes) {
  const bool extended = bytes > 255;
  put_u8(out, static_cast<std::uint8_t>(flags | (extended ? kFlagExtendedLength : 0)));
  put_u8(out, type);
  if (extended)
    put_u16(out, static_cast<std::uint16_t>(bytes));
  else
    put_u8(out, static_cast<std::uint8_t>(bytes));
}

void put_header(std::vector<std::uint8_t>& out, AttributeType type, std::size_t bytes) {
  put_attribute_header(out, rule_of(static_cast<std::uint8_t>(type))->flags, static_cast<std::uint8_t>(type), bytes);
}

void put_number(std::vector<std::uint8_t>& out, AttributeType type, const std::optional<std::uint32_t>& value) {
  if (!value) return;
  put_header(out, type, 4);
  put_u32(out, *value);
}

void put_path(std::vector<std::uint8_t>& out, AttributeType type, const AsPath& path, bool four_octet) {
  std::size_t bytes = 0;
  path.for_each_segment([&](const AsPath::Segment& s) { bytes += 2 + s.as.size() * (four_octet ? 4 : 2); });
  put_header(out, type, bytes);
  path.for_each_segment([&](const AsPath::Segment& s) {
    put_u8(out, s.type);
    put_u8(out, static_cast<std::uint8_t>(s.as.size()));
    for (const std::uint32_t as : s.as) {
      if (four_octet)
        put_u32(out, as);
      else
        put_u16(out, static_cast<std::uint16_t>(as > 0xffff ? kAsTrans : as));
    }
  });
}

void put_list(std::vector<std::uint8_t>& out, AttributeType type, const std::vector<std::uint32_t>& list) {
  if (list.empty()) return;
  put_header(out, type, list.size() * 4);
  for (const std::uint32_t item : list) put_u32(out, item);
}

bool needs_four_octets(const AsPath& path) {
  bool wide = false;
  path.for_each_segment([&](const AsPath::Segment& s) {
    wide = wide || std::any_of(s.as.begin(), s.as.end(), [](std::uint32_t as) { return as > 0xffff; });
  });
  return wide;
}

void put_aggregator(std::vector<std::uint8_t>& out, const Aggregator& aggregator, bool four_octet) {
  put_header(out, AttributeType::aggregator, four_octet ? 8 : 6);
  if (four_octet)
    put_u32(out, aggregator.as);
  else
    put_u16(out, static_cast<std::uint16_t>(aggregator.as > 0xffff ? kAsTrans : aggregator.as));
  put_u32(out, aggregator.router_id);
}

}  // namespace

void encode_attributes(Family family, const PathAttributes& a, const UpdateContext& context,
                       std::vector<std::uint8_t>& out) {
  put_header(out, AttributeType::origin, 1);
  put_u8(out, static_cast<std::uint8_t>(a.origin));
  put_path(out, AttributeType::as_path, a.as_path, context.four_octet_as);
  if (family == Family::ipv4) {
    put_header(out, AttributeType::next_hop, 4);
    put_bytes(out, ByteSpan(a.next_hop.bytes).first(4));
  }
  put_number(out, AttributeType::med, a.med);
  if (!context.external) put_number(out, AttributeType::local_pref, a.local_pref);
  if (a.atomic_aggregate) put_header(out, AttributeType::atomic_aggregate, 0);
  if (a.aggregator) put_aggregator(out, *a.aggregator, context.four_octet_as);
  put_list(out, AttributeType::communities, a.communities);
  if (!context.external) {
    put_number(out, AttributeType::originator_id, a.originator_id);
    put_list(out, AttributeType::cluster_list, a.cluster_list);
  }
  if (!a.extended_communities.empty()) {
    put_header(out, AttributeType::extended_communities, a.extended_communities.size() * 8);
    for (const auto& community : a.extended_communities) put_bytes(out, community);
  }
  if (!context.four_octet_as && needs_four_octets(a.as_path)) put_path(out, AttributeType::as4_path, a.as_path, true);
  if (!context.four_octet_as && a.aggregator && a.aggregator->as > 0xffff) {
    put_header(out, AttributeType::as4_aggregator, 8);
    put_u32(out, a.aggregator->as);
    put_u32(out, a.aggregator->router_id);
  }
  if (!a.large_communities.empty()) {
    put_header(out, AttributeType::large_communities, a.large_communities.size() * 12);
    for (const auto& community : a.large_communities)
      for (const std::uint32_t part : community) put_u32(out, part);
  }
  for (const auto& u : a.unknown) {
    put_attribute_header(out, u.flags, u.type, u.value.size());
    put_bytes(out, u.value);
  }
}

UpdateBuilder::UpdateBuilder(std::span<std::uint8_t> room)
    : room_(room.first(std::min(room.size(), kMaxMessageBytes))) {}

void UpdateBuilder::put(ByteSpan bytes) {
  std::copy(bytes.begin(), bytes.end(), room_.begin() + static_cast<std::ptrdiff_t>(size_));
  size_ += bytes.size();
}

void UpdateBuilder::fill_in_length(std::size_t at, std::size_t length) {
  room_[at] = static_cast<std::uint8_t>(length >> 8);
  room_[at + 1] = static_cast<std::uint8_t>(length);
}

bool UpdateBuilder::begin(std::size_t fixed_bytes, Family family, ByteSpan tail) {
  size_ = 0;
  prefixes_ = 0;
  withdrawn_length_at_ = attributes_length_at_ = mp_length_at_ = 0;
  tail_ = tail;
  if (room_.size() < fixed_bytes + tail.size() + 1 + address_bytes(family)) return false;
  limit_ = room_.size() - tail.size();
  for (int i = 0; i < 16; ++i) put(std::uint8_t{0xff});
  size_ += 2;  // length
  put(static_cast<std::uint8_t>(MessageType::update));
  return true;
}

bool UpdateBuilder::begin_withdraw(Family family) {
  if (family == Family::ipv4) {
    // The Total Path Attribute Length after the prefixes is 0: two octets of tail.
    static constexpr std::uint8_t kNoAttributes[2] = {0, 0};
    if (!begin(kHeaderBytes + 2, family, kNoAttributes)) return false;
    withdrawn_length_at_ = size_;
    size_ += 2;
    return true;
  }
  if (!begin(kHeaderBytes + 4 + 4 + 3, family, {})) return false;
  put(std::uint8_t{0});
  put(std::uint8_t{0});
  attributes_length_at_ = size_;
  size_ += 2;
  put(static_cast<std::uint8_t>(kOptionalNonTransitive | kFlagExtendedLength));
  put(static_cast<std::uint8_t>(AttributeType::mp_unreach));
  mp_length_at_ = size_;
  size_ += 2;
  put(std::uint8_t{0});
  put(static_cast<std::uint8_t>(afi_of(family)));
  put(kSafiUnicast);
  return true;
}

bool UpdateBuilder::begin_announce(Family family, const PathAttributes& attributes, ByteSpan encoded) {
  if (family == Family::ipv4) {
    if (!begin(kHeaderBytes + 4 + encoded.size(), family, {})) return false;
    put(std::uint8_t{0});
    put(std::uint8_t{0});
    fill_in_length(size_, encoded.size());
    size_ += 2;
    put(encoded);
    return true;
  }
  const std::uint8_t next_hop_bytes = attributes.next_hop_link_local ? 32 : 16;
  if (!begin(kHeaderBytes + 4 + 4 + 5 + next_hop_bytes, family, encoded)) return false;
  put(std::uint8_t{0});
  put(std::uint8_t{0});
  attributes_length_at_ = size_;
  size_ += 2;
  put(static_cast<std::uint8_t>(kOptionalNonTransitive | kFlagExtendedLength));
  put(static_cast<std::uint8_t>(AttributeType::mp_reach));
  mp_length_at_ = size_;
  size_ += 2;
  put(std::uint8_t{0});
  put(static_cast<std::uint8_t>(afi_of(family)));
  put(kSafiUnicast);
  put(next_hop_bytes);
  put(attributes.next_hop.bytes);
  if (attributes.next_hop_link_local) put(*attributes.next_hop_link_local);
  put(std::uint8_t{0});  // reserved
  return true;
}

bool UpdateBuilder::add(const Prefix& prefix) {
  const std::size_t bytes = (prefix.length + 7u) / 8u;
  if (limit_ - size_ < 1 + bytes) return false;
  put(prefix.length);
  put(ByteSpan(prefix.bytes).first(bytes));
  ++prefixes_;
  return true;
}

std::size_t UpdateBuilder::finish() {
  if (withdrawn_length_at_ != 0) fill_in_length(withdrawn_length_at_, size_ - withdrawn_length_at_ - 2);
  if (mp_length_at_ != 0) fill_in_length(mp_length_at_, size_ - mp_length_at_ - 2);
  put(tail_);
  if (attributes_length_at_ != 0) fill_in_length(attributes_length_at_, size_ - attributes_length_at_ - 2);
  fill_in_length(16, size_);
  return size_;
}

bool UpdateBuilder::fits(Family family, const PathAttributes& attributes, std::size_t encoded_bytes) {
  std::size_t fixed = kHeaderBytes + 4 + encoded_bytes + 1 + address_bytes(family);
  if (family == Family::ipv6) fixed += 4 + 5 + (attributes.next_hop_link_local ? 32 : 16);
  return fixed <= kMaxMessageBytes;
}

}  // namespace tandem::bgp
