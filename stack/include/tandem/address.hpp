// SPDX-License-Identifier: BSD-3-Clause
//
// Link and network addresses as values. Octets are kept in network order.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tandem {

/// Read-only bytes. Never owns; valid only for the duration of the call that hands it over.
using Bytes = std::span<const std::uint8_t>;

/// IEEE 802 48-bit address.
struct MacAddress {
  std::array<std::uint8_t, 6> octets{};

  auto operator<=>(const MacAddress&) const = default;
  [[nodiscard]] std::string to_string() const;
  /// Accepts "02:00:00:00:00:0a". Any other text gives nothing.
  static std::optional<MacAddress> parse(std::string_view text);
};

/// An IPv4 (RFC 791) or IPv6 (RFC 4291) address. IPv4 uses the first four octets, the others are zero.
struct IpAddress {
  std::uint8_t version = 4;  ///< 4 or 6
  std::array<std::uint8_t, 16> octets{};

  auto operator<=>(const IpAddress&) const = default;
  [[nodiscard]] bool is_v6() const { return version == 6; }
  [[nodiscard]] bool is_any() const { return octets == std::array<std::uint8_t, 16>{}; }
  /// IPv6, fe80::/10 (RFC 4291 section 2.5.6): good on its link only, which is the one of the stack that speaks.
  [[nodiscard]] bool is_link_local() const { return version == 6 && octets[0] == 0xfe && (octets[1] & 0xc0) == 0x80; }
  [[nodiscard]] Bytes bytes() const { return {octets.data(), version == 6 ? std::size_t{16} : std::size_t{4}}; }
  [[nodiscard]] std::string to_string() const;
  /// Accepts the text forms of RFC 4291 section 2.2, RFC 5952 and dotted quads. Zone identifiers are refused.
  static std::optional<IpAddress> parse(std::string_view text);
  static IpAddress any(std::uint8_t version) { return {version, {}}; }
};

/// "ADDR/LEN": an interface address with the length of its on-link prefix.
struct IpPrefix {
  IpAddress address;
  std::uint8_t length = 0;  ///< bits, at most 32 or 128

  auto operator<=>(const IpPrefix&) const = default;
  /// Whether it is of the same IP version, and the first `length` bits are the same.
  [[nodiscard]] bool contains(const IpAddress& other) const;
  [[nodiscard]] std::string to_string() const;
  static std::optional<IpPrefix> parse(std::string_view text);
};

/// One end of a connection.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;

  auto operator<=>(const Endpoint&) const = default;
  [[nodiscard]] std::string to_string() const;  ///< "192.0.2.1:179" or "[2001:db8::1]:179"
};

}  // namespace tandem
