// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace tandem {

namespace {

std::optional<unsigned> parse_decimal(std::string_view text, unsigned limit) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 10);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value > limit) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

std::string MacAddress::to_string() const {
  std::array<char, 18> text{};
  std::snprintf(text.data(), text.size(), "%02x:%02x:%02x:%02x:%02x:%02x", octets[0], octets[1], octets[2], octets[3],
                octets[4], octets[5]);
  return text.data();
}

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
  constexpr std::size_t kLength = 17;
  if (text.size() != kLength) {
    return std::nullopt;
  }
  MacAddress mac;
  for (std::size_t i = 0; i < mac.octets.size(); ++i) {
    const char* const begin = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(begin, begin + 2, mac.octets[i], 16);
    if (error != std::errc{} || end != begin + 2 || (i + 1 < mac.octets.size() && *end != ':')) {
      return std::nullopt;
    }
  }
  return mac;
}

std::string IpAddress::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(is_v6() ? AF_INET6 : AF_INET, octets.data(), text.data(), text.size());
  return text.data();
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string terminated(text);
  if (terminated.size() != std::char_traits<char>::length(terminated.c_str())) {
    return std::nullopt;
  }
  IpAddress address;
  if (::inet_pton(AF_INET, terminated.c_str(), address.octets.data()) == 1) {
    return address;
  }
  address = any(6);
  if (::inet_pton(AF_INET6, terminated.c_str(), address.octets.data()) == 1) {
    return address;
  }
  return std::nullopt;
}

std::string IpPrefix::to_string() const { return address.to_string() + "/" + std::to_string(length); }

bool IpPrefix::contains(const IpAddress& other) const {
  constexpr std::size_t kOctetBits = 8;
  const std::size_t whole = length / kOctetBits;
  if (other.version != address.version ||
      !std::equal(other.octets.begin(), other.octets.begin() + whole, address.octets.begin())) {
    return false;
  }
  const std::size_t rest = length % kOctetBits;
  return rest == 0 || ((other.octets[whole] ^ address.octets[whole]) >> (kOctetBits - rest)) == 0;
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) {
    return std::nullopt;
  }
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) {
    return std::nullopt;
  }
  const auto length = parse_decimal(text.substr(slash + 1), address->is_v6() ? 128 : 32);
  if (!length) {
    return std::nullopt;
  }
  return IpPrefix{*address, static_cast<std::uint8_t>(*length)};
}

std::string Endpoint::to_string() const {
  const auto host = address.to_string();
  return (address.is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace tandem
