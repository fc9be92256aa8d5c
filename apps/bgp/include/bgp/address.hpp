// SPDX-License-Identifier: BSD-3-Clause
// Addresses, prefixes and address families, as BGP sees them.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tandem::bgp {

/// The families that this speaker carries. The value is an index, not the AFI: see afi_of().
enum class Family : std::uint8_t { ipv4 = 0, ipv6 = 1 };
inline constexpr std::size_t kFamilies = 2;
inline constexpr std::array<Family, kFamilies> kAllFamilies{Family::ipv4, Family::ipv6};

constexpr std::size_t index_of(Family family) { return static_cast<std::size_t>(family); }
/// IANA address family number (RFC 4760).
constexpr std::uint16_t afi_of(Family family) { return family == Family::ipv4 ? 1 : 2; }
constexpr std::uint8_t address_bytes(Family family) { return family == Family::ipv4 ? 4 : 16; }
constexpr std::uint8_t address_bits(Family family) { return family == Family::ipv4 ? 32 : 128; }

/// An IPv4 or IPv6 address in network order; the bytes that an IPv4 address does not use are zero.
struct Address {
  Family family = Family::ipv4;
  std::array<std::uint8_t, 16> bytes{};

  auto operator<=>(const Address&) const = default;

  bool is_unspecified() const;
  bool is_multicast() const;
  bool is_loopback() const;
  bool is_link_local() const;
  /// The 32 bits of an IPv4 address as a number in host order.
  std::uint32_t ipv4_number() const;
  std::string to_string() const;

  static Address from_ipv4(std::uint32_t host_order);
  /// Text as of inet_pton; nothing else is accepted.
  static std::optional<Address> parse(std::string_view text);
};

/// A prefix whose bits beyond its length are zero.
struct Prefix {
  Family family = Family::ipv4;
  std::uint8_t length = 0;
  std::array<std::uint8_t, 16> bytes{};

  auto operator<=>(const Prefix&) const = default;

  std::string to_string() const;

  /// Clears the bits beyond `length`.
  static Prefix of(const Address& address, std::uint8_t length);
  /// "ADDRESS/LENGTH". Bits set beyond the length are refused: they are nearly always a typing error.
  static std::optional<Prefix> parse(std::string_view text);
};

}  // namespace tandem::bgp
