// SPDX-License-Identifier: BSD-3-Clause
// What is published about each path attribute, as one table: its flags, what its value must look like, and what an error does to
// the route (RFC 7606 and the documents that define the attributes). Decoder, tests and documentation follow from it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "attribute_types.hpp"
#include "bgp/malformation.hpp"
#include "bgp/message.hpp"

namespace tandem::bgp {

/// Who reads the value.
enum class AttributeUse : std::uint8_t {
  decoded,  ///< the decoder itself, which judges it as it reads
  judged,   ///< nobody: it is passed on or ignored like an unknown one, but a malformed one does what its document says
  internal,  ///< decoded, from internal neighbours only; discarded from others, whatever its value (RFC 7606 sections 7.5, 7.9, 7.10)
};

struct AttributeRule {
  std::uint8_t type;
  std::string_view name;
  std::uint8_t flags;  ///< the Optional and Transitive bits that it must have
  AttributeUse use;
  ErrorHandling flags_error;
  ErrorHandling value_error;                              ///< of one that is judged
  Malformation counter;                                   ///< of its value's errors
  bool (*is_sound)(std::span<const std::uint8_t> value);  ///< of one that is judged; else null
  std::string_view document;
};

/// Ascending type.
std::span<const AttributeRule> attribute_rules();

/// Null: nothing is published about it, or only that it is obsolete.
const AttributeRule* rule_of(std::uint8_t type);

/// RFC 7606 section 3 (c), RFC 4271 section 4.3: Optional and Transitive as published, and Partial on nothing but what is optional
/// and transitive.
constexpr bool flags_are_right(const AttributeRule& rule, std::uint8_t flags) {
  if ((flags & (kFlagOptional | kFlagTransitive)) != rule.flags) return false;
  return (flags & kFlagPartial) == 0 || rule.flags == kOptionalTransitive;
}

}  // namespace tandem::bgp
