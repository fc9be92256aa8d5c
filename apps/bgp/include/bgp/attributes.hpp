// SPDX-License-Identifier: BSD-3-Clause
// Path attributes (RFC 4271 section 5, RFC 1997, 4360, 4456, 8092), decoded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bgp/address.hpp"

namespace tandem::bgp {

enum class Origin : std::uint8_t { igp = 0, egp = 1, incomplete = 2 };

inline constexpr std::uint32_t kAsTrans = 23456;  // RFC 6793
inline constexpr std::uint32_t kDefaultLocalPref = 100;

inline constexpr std::uint32_t kNoExport = 0xffffff01;           // RFC 1997
inline constexpr std::uint32_t kNoAdvertise = 0xffffff02;        // RFC 1997
inline constexpr std::uint32_t kNoExportSubconfed = 0xffffff03;  // RFC 1997

/// AS_PATH with 4-octet numbers, kept flat: for each segment a word (type << 16 | count), then its numbers.
class AsPath {
 public:
  static constexpr std::uint8_t kSet = 1;
  static constexpr std::uint8_t kSequence = 2;
  static constexpr std::size_t kMaxSegment = 255;

  struct Segment {
    std::uint8_t type;
    std::span<const std::uint32_t> as;
  };

  bool operator==(const AsPath&) const = default;

  void clear() { words_.clear(); }
  bool empty() const { return words_.empty(); }
  std::span<const std::uint32_t> words() const { return words_; }

  /// At most kMaxSegment numbers.
  void add_segment(std::uint8_t type, std::span<const std::uint32_t> as);
  /// RFC 4271 section 5.1.2: in front of the first sequence, or in a new one when that is full or a set.
  void prepend(std::uint32_t as);

  /// Length as the decision process counts it: a set counts as one.
  std::uint32_t decision_length() const;
  bool contains(std::uint32_t as) const;
  /// The neighbouring AS: the leftmost number, 0 when the path is empty or starts with a set.
  std::uint32_t first_as() const;
  std::string to_string() const;

  template <class F>
  void for_each_segment(F&& f) const {
    for (std::size_t i = 0; i < words_.size();) {
      const std::uint32_t head = words_[i];
      const std::size_t count = head & 0xffff;
      f(Segment{static_cast<std::uint8_t>(head >> 16), std::span(words_).subspan(i + 1, count)});
      i += 1 + count;
    }
  }

 private:
  std::vector<std::uint32_t> words_;
};

struct Aggregator {
  std::uint32_t as = 0;
  std::uint32_t router_id = 0;
  bool operator==(const Aggregator&) const = default;
};

using ExtendedCommunity = std::array<std::uint8_t, 8>;
using LargeCommunity = std::array<std::uint32_t, 3>;

/// An optional transitive attribute that we do not know; passed on as it came, with the Partial bit.
struct UnknownAttribute {
  std::uint8_t flags = 0;
  std::uint8_t type = 0;
  std::vector<std::uint8_t> value;
  bool operator==(const UnknownAttribute&) const = default;
};

/// Everything that is said about a route apart from its prefix. The next hop belongs to it, wherever it
/// travelled (NEXT_HOP or MP_REACH_NLRI), so that equal sets may be shared.
struct PathAttributes {
  Origin origin = Origin::incomplete;
  bool atomic_aggregate = false;
  Address next_hop;
  std::optional<std::array<std::uint8_t, 16>> next_hop_link_local;  // RFC 2545
  std::optional<std::uint32_t> med;
  std::optional<std::uint32_t> local_pref;
  std::optional<Aggregator> aggregator;
  std::optional<std::uint32_t> originator_id;
  AsPath as_path;
  std::vector<std::uint32_t> communities;
  std::vector<std::uint32_t> cluster_list;
  std::vector<ExtendedCommunity> extended_communities;
  std::vector<LargeCommunity> large_communities;
  std::vector<UnknownAttribute> unknown;  // ascending type

  bool operator==(const PathAttributes&) const = default;

  /// Keeps the capacity of the lists, for the decoder that uses one object again and again.
  void clear();
  bool has_community(std::uint32_t community) const;
  std::uint64_t hash(std::uint64_t seed) const;
};

}  // namespace tandem::bgp
