// SPDX-License-Identifier: BSD-3-Clause
#include "bgp/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace tandem::bgp {

bool Address::is_unspecified() const {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0; });
}

bool Address::is_multicast() const { return family == Family::ipv4 ? (bytes[0] & 0xf0) == 0xe0 : bytes[0] == 0xff; }

bool Address::is_loopback() const {
  if (family == Family::ipv4) return bytes[0] == 127;
  return bytes[15] == 1 && std::all_of(bytes.begin(), bytes.begin() + 15, [](std::uint8_t b) { return b == 0; });
}

bool Address::is_link_local() const {
  if (family == Family::ipv4) return bytes[0] == 169 && bytes[1] == 254;
  return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

std::uint32_t Address::ipv4_number() const {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

std::string Address::to_string() const {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(family == Family::ipv4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  return text;
}

Address Address::from_ipv4(std::uint32_t host_order) {
  Address address;
  for (int i = 0; i < 4; ++i)
    address.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return address;
}

std::optional<Address> Address::parse(std::string_view text) {
  const std::string terminated(text);
  if (terminated.find('\0') != std::string::npos) return std::nullopt;
  Address address;
  if (inet_pton(AF_INET, terminated.c_str(), address.bytes.data()) == 1) return address;
  address.bytes.fill(0);
  address.family = Family::ipv6;
  if (inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

std::string Prefix::to_string() const { return Address{family, bytes}.to_string() + "/" + std::to_string(length); }

Prefix Prefix::of(const Address& address, std::uint8_t length) {
  Prefix prefix{address.family, std::min(length, address_bits(address.family)), address.bytes};
  const std::size_t whole = prefix.length / 8;
  if (whole < prefix.bytes.size()) {
    prefix.bytes[whole] &= static_cast<std::uint8_t>(0xff00 >> (prefix.length % 8));
    std::fill(prefix.bytes.begin() + static_cast<std::ptrdiff_t>(whole) + 1, prefix.bytes.end(), std::uint8_t{0});
  }
  return prefix;
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = Address::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const auto digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || length > address_bits(address->family))
    return std::nullopt;
  const Prefix prefix = of(*address, static_cast<std::uint8_t>(length));
  if (prefix.bytes != address->bytes) return std::nullopt;
  return prefix;
}

}  // namespace tandem::bgp
