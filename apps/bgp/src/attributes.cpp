// SPDX-License-Identifier: BSD-3-Clause
#include "bgp/attributes.hpp"

#include <algorithm>

#include "hash.hpp"

namespace tandem::bgp {

void AsPath::add_segment(std::uint8_t type, std::span<const std::uint32_t> as) {
  words_.push_back(std::uint32_t{type} << 16 | static_cast<std::uint32_t>(as.size()));
  words_.insert(words_.end(), as.begin(), as.end());
}

void AsPath::prepend(std::uint32_t as) {
  if (!words_.empty() && words_[0] >> 16 == kSequence && (words_[0] & 0xffff) < kMaxSegment) {
    ++words_[0];
    words_.insert(words_.begin() + 1, as);
    return;
  }
  const std::uint32_t segment[2] = {std::uint32_t{kSequence} << 16 | 1, as};
  words_.insert(words_.begin(), segment, segment + 2);
}

std::uint32_t AsPath::decision_length() const {
  std::uint32_t length = 0;
  for_each_segment([&](const Segment& s) { length += s.type == kSet ? 1 : static_cast<std::uint32_t>(s.as.size()); });
  return length;
}

bool AsPath::contains(std::uint32_t as) const {
  bool found = false;
  for_each_segment([&](const Segment& s) { found = found || std::find(s.as.begin(), s.as.end(), as) != s.as.end(); });
  return found;
}

std::uint32_t AsPath::first_as() const { return words_.size() >= 2 && words_[0] >> 16 == kSequence ? words_[1] : 0; }

std::string AsPath::to_string() const {
  std::string text;
  for_each_segment([&](const Segment& s) {
    if (!text.empty()) text += ' ';
    if (s.type == kSet) text += '{';
    for (std::size_t i = 0; i < s.as.size(); ++i) {
      if (i > 0) text += s.type == kSet ? ',' : ' ';
      text += std::to_string(s.as[i]);
    }
    if (s.type == kSet) text += '}';
  });
  return text;
}

void PathAttributes::clear() {
  origin = Origin::incomplete;
  atomic_aggregate = false;
  next_hop = Address{};
  next_hop_link_local.reset();
  med.reset();
  local_pref.reset();
  aggregator.reset();
  originator_id.reset();
  as_path.clear();
  communities.clear();
  cluster_list.clear();
  extended_communities.clear();
  large_communities.clear();
  unknown.clear();
}

bool PathAttributes::has_community(std::uint32_t community) const {
  return std::find(communities.begin(), communities.end(), community) != communities.end();
}

std::uint64_t PathAttributes::hash(std::uint64_t seed) const {
  KeyedHash h(seed);
  const auto add_optional = [&](const std::optional<std::uint32_t>& v) { h.add(v ? 1ull << 32 | *v : 0); };
  const auto add_list = [&](const auto& list) {
    using Item = typename std::remove_cvref_t<decltype(list)>::value_type;
    h.add_bytes(list.data(), list.size() * sizeof(Item));
  };
  h.add(static_cast<std::uint64_t>(origin) | std::uint64_t{atomic_aggregate} << 8 |
        static_cast<std::uint64_t>(next_hop.family) << 16);
  h.add_bytes(next_hop.bytes.data(), next_hop.bytes.size());
  if (next_hop_link_local) h.add_bytes(next_hop_link_local->data(), next_hop_link_local->size());
  add_optional(med);
  add_optional(local_pref);
  h.add(aggregator ? std::uint64_t{aggregator->as} << 32 | aggregator->router_id : 0);
  add_optional(originator_id);
  h.add_bytes(as_path.words().data(), as_path.words().size_bytes());
  add_list(communities);
  add_list(cluster_list);
  add_list(extended_communities);
  add_list(large_communities);
  for (const auto& u : unknown) {
    h.add(std::uint64_t{u.flags} << 8 | u.type);
    add_list(u.value);
  }
  return h.value();
}

}  // namespace tandem::bgp
