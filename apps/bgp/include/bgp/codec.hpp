// SPDX-License-Identifier: BSD-3-Clause
// Between messages and bytes. The decoder trusts nothing, never reads out of bounds and never throws.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "bgp/message.hpp"

namespace tandem::bgp {

using ByteSpan = std::span<const std::uint8_t>;

/// What both sides agreed on, as far as it changes how an UPDATE is read and written.
struct UpdateContext {
  bool four_octet_as = true;
  bool external = true;                            // eBGP
  bool export_all = false;                         // for sent ones: Configuration::export_all
  std::array<bool, kFamilies> family{true, true};  // negotiated
  /// For received messages: reject paths that do not begin with this AS (RFC 4271 section 6.3); 0: do not look.
  std::uint32_t first_as = 0;
  /// For received messages: check next hops and prefixes for sense, not only for form.
  bool check_meaning = true;
  std::optional<Address> own_address;  // a next hop that is ourselves is refused
};

/// Whole message with header, as the framer hands it out. Each returns nothing and fills `error` when the session has to be
/// reset; counters are incremented for each malformed thing, whether it is fatal or not.
std::optional<Open> decode_open(ByteSpan message, MalformationCounters& counters, Notification& error);
std::optional<Notification> decode_notification(ByteSpan message, MalformationCounters& counters);
std::optional<RouteRefresh> decode_route_refresh(ByteSpan message, MalformationCounters& counters, Notification& error);

/// RFC 7606. The outcome stands in update.handling; `update` is cleared first and may be used again and again.
void decode_update(ByteSpan message, const UpdateContext& context, MalformationCounters& counters, Update& update);

std::vector<std::uint8_t> encode_open(const Open& open);
std::vector<std::uint8_t> encode_keepalive();
/// Data that would not fit is cut.
std::vector<std::uint8_t> encode_notification(const Notification& notification);
std::vector<std::uint8_t> encode_route_refresh(Family family);
/// RFC 4724 section 2.
std::vector<std::uint8_t> encode_end_of_rib(Family family);

/// The attributes of a route in wire format, types ascending; NEXT_HOP is among them for IPv4 only, MP_REACH_NLRI never. Appends to
/// `out`.
void encode_attributes(Family family, const PathAttributes& attributes, const UpdateContext& context,
                       std::vector<std::uint8_t>& out);

/// Puts one UPDATE together in memory that the caller owns, prefix by prefix.
class UpdateBuilder {
 public:
  /// At most `room.size()` and kMaxMessageBytes bytes are used.
  explicit UpdateBuilder(std::span<std::uint8_t> room);

  /// Begin an UPDATE that withdraws. False: not even one prefix has room.
  bool begin_withdraw(Family family);
  /// Begin an UPDATE that announces; `encoded` are the attributes from encode_attributes and must live until finish().
  /// MP_REACH_NLRI goes in front of them (RFC 7606 section 5.1).
  bool begin_announce(Family family, const PathAttributes& attributes, ByteSpan encoded);
  /// False: full, and nothing was added.
  bool add(const Prefix& prefix);
  std::size_t prefixes() const { return prefixes_; }
  /// Fills in the lengths and returns the size of the message.
  std::size_t finish();

  /// Whether an UPDATE with these attributes and the longest prefix stays within kMaxMessageBytes.
  static bool fits(Family family, const PathAttributes& attributes, std::size_t encoded_bytes);

 private:
  void put(std::uint8_t byte) { room_[size_++] = byte; }
  void put(ByteSpan bytes);
  void fill_in_length(std::size_t at, std::size_t length);
  bool begin(std::size_t fixed_bytes, Family family, ByteSpan tail);

  std::span<std::uint8_t> room_;
  ByteSpan tail_;  // what still follows the prefixes
  std::size_t size_ = 0;
  std::size_t limit_ = 0;  // how far the prefixes may reach
  std::size_t prefixes_ = 0;
  // Where length fields stand that finish() fills in; 0: there is none.
  std::size_t withdrawn_length_at_ = 0;
  std::size_t attributes_length_at_ = 0;
  std::size_t mp_length_at_ = 0;
};

}  // namespace tandem::bgp
