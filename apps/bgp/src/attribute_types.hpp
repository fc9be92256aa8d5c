// SPDX-License-Identifier: BSD-3-Clause
// Path attribute type codes and the flags that belong to them.
#pragma once

#include <cstdint>

namespace tandem::bgp {

inline constexpr std::uint8_t kFlagOptional = 0x80;
inline constexpr std::uint8_t kFlagTransitive = 0x40;
inline constexpr std::uint8_t kFlagPartial = 0x20;
inline constexpr std::uint8_t kFlagExtendedLength = 0x10;

inline constexpr std::uint8_t kWellKnown = kFlagTransitive;
inline constexpr std::uint8_t kOptionalTransitive = kFlagOptional | kFlagTransitive;
inline constexpr std::uint8_t kOptionalNonTransitive = kFlagOptional;

inline constexpr std::uint8_t kSafiUnicast = 1;

enum class AttributeType : std::uint8_t {
  origin = 1,
  as_path = 2,
  next_hop = 3,
  med = 4,
  local_pref = 5,
  atomic_aggregate = 6,
  aggregator = 7,
  communities = 8,
  originator_id = 9,
  cluster_list = 10,
  mp_reach = 14,
  mp_unreach = 15,
  extended_communities = 16,
  as4_path = 17,
  as4_aggregator = 18,
  large_communities = 32
};

}  // namespace tandem::bgp
