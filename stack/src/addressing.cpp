// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/addressing.hpp"

#include <algorithm>
#include <vector>

#include "siphash.hpp"
#include "wire/neighbour_discovery.hpp"

namespace tandem {

namespace {

std::size_t bits_of(const IpAddress& address) { return address.is_v6() ? 128 : 32; }

/// Whether all bits behind the prefix are as `ones` says.
bool host_bits_are(const IpPrefix& prefix, bool ones) {
  for (std::size_t bit = prefix.length; bit < bits_of(prefix.address); ++bit) {
    if (((prefix.address.octets[bit / 8] >> (7 - bit % 8) & 1) != 0) != ones) {
      return false;
    }
  }
  return true;
}

/// Of a prefix with at most two addresses both are hosts'.
bool has_room_for_a_network(const IpPrefix& prefix) { return prefix.length + 2U <= bits_of(prefix.address); }

std::string address_error(const IpPrefix& prefix) {
  const std::string text = prefix.to_string();
  if (prefix.length == 0 || prefix.length > bits_of(prefix.address)) {
    return text + " has no usable length; give 1 to " + std::to_string(bits_of(prefix.address)) + " bits";
  }
  if (!is_host_address(prefix.address)) {
    return text + " is no address that a host can have; give a unicast address";
  }
  if (has_room_for_a_network(prefix) && host_bits_are(prefix, false)) {
    return text + " names " + (prefix.address.is_v6() ? "the routers of its network (RFC 4291)" : "a network") +
           "; give an address within it";
  }
  if (!prefix.address.is_v6() && has_room_for_a_network(prefix) && host_bits_are(prefix, true)) {
    return text + " is its network's broadcast address; give another address of the network";
  }
  return {};
}

std::string gateway_error(const IpAddress& gateway, std::span<const IpPrefix> addresses) {
  const std::string text = "gateway " + gateway.to_string();
  const auto is_own = [&](const IpPrefix& own) { return own.address == gateway; };
  const auto same_version = [&](const IpPrefix& own) { return own.address.version == gateway.version; };
  const auto is_beside = [&](const IpPrefix& own) { return own.contains(gateway); };
  if (std::none_of(addresses.begin(), addresses.end(), same_version)) {
    return text + " has no address of its IP version beside it; give one, or leave the gateway out";
  }
  if (std::any_of(addresses.begin(), addresses.end(), is_own)) {
    return text + " is an address of our own; give the router's";
  }
  if (!is_host_address(gateway)) {
    return text + " is no address that a router can have; give a unicast address";
  }
  if (wire::is_link_local(gateway)) {
    return {};
  }
  const auto beside = std::find_if(addresses.begin(), addresses.end(), is_beside);
  if (beside == addresses.end()) {
    return text +
           " is on none of our networks, so nobody would answer for it; give the address on its link its real prefix "
           "length, or one more --address in the gateway's network";
  }
  if (!gateway.is_v6() && !address_error({gateway, beside->length}).empty()) {
    return address_error({gateway, beside->length});
  }
  return {};
}

}  // namespace

bool is_host_address(const IpAddress& address) {
  if (address.is_any() || wire::is_multicast(address)) {
    return false;
  }
  if (address.is_v6()) {
    IpAddress loopback = IpAddress::any(6);
    loopback.octets[15] = 1;
    return address != loopback;
  }
  constexpr std::uint8_t kThisNetwork = 0, kLoopback = 127, kReserved = 240;
  const std::uint8_t first = address.octets[0];
  return first != kThisNetwork && first != kLoopback && first < kReserved;
}

std::optional<IpPrefix> derived_link_local(std::string_view group, std::span<const IpPrefix> addresses) {
  const IpAddress* lowest = nullptr;
  for (const IpPrefix& own : addresses) {
    if (wire::is_link_local(own.address) && own.address.is_v6()) {
      return std::nullopt;
    }
    if (own.address.is_v6() && (lowest == nullptr || own.address < *lowest)) {
      lowest = &own.address;
    }
  }
  if (lowest == nullptr) {
    return std::nullopt;
  }
  // No secret: whoever may ask for the address is told it.
  constexpr SipKey kKey{0x74616e64656d2d6c, 0x696e6b2d6c6f6361};
  std::vector<std::uint8_t> input(group.begin(), group.end());
  input.insert(input.end(), lowest->octets.begin(), lowest->octets.end());
  const std::uint64_t hash = siphash(kKey, input);
  IpPrefix made{{6, {0xfe, 0x80}}, 64};
  constexpr std::size_t kInterfaceAt = 8;
  std::uint8_t* const interface = made.address.octets.data() + kInterfaceAt;
  for (std::size_t i = 0; i < 8; ++i) {
    interface[i] = static_cast<std::uint8_t>(hash >> (8 * i));
  }
  // Neither universal nor a group, so none of those that are reserved (RFC 5453) but zero; and not made of a MAC address, as the
  // kernel's may be (ff:fe in the middle).
  interface[0] = static_cast<std::uint8_t>((interface[0] & 0xfc) | 0x04);
  if (interface[3] == 0xff && interface[4] == 0xfe) {
    interface[4] = 0xfd;
  }
  return made;
}

std::string addressing_error(std::span<const IpPrefix> addresses, std::span<const IpAddress> gateways) {
  for (const std::uint8_t version : {std::uint8_t{4}, std::uint8_t{6}}) {
    const auto count = std::count_if(addresses.begin(), addresses.end(),
                                     [&](const IpPrefix& prefix) { return prefix.address.version == version; });
    const bool has_link_local = std::any_of(addresses.begin(), addresses.end(), [&](const IpPrefix& prefix) {
      return prefix.address.version == version && wire::is_link_local(prefix.address);
    });
    // The link-local one has a place of its own.
    if (static_cast<std::size_t>(count) > kMaxAddresses + (has_link_local ? 1 : 0)) {
      return "at most " + std::to_string(kMaxAddresses) + " IPv" + std::to_string(version) +
             " addresses can be given, not " + std::to_string(count);
    }
  }
  for (const IpPrefix& prefix : addresses) {
    if (std::string error = address_error(prefix); !error.empty()) {
      return error;
    }
    if (std::count_if(addresses.begin(), addresses.end(),
                      [&](const IpPrefix& other) { return other.address == prefix.address; }) != 1) {
      return prefix.address.to_string() + " is given twice; give it once, with the length of its link's prefix";
    }
  }
  for (const IpAddress& gateway : gateways) {
    if (std::count_if(gateways.begin(), gateways.end(),
                      [&](const IpAddress& other) { return other.version == gateway.version; }) != 1) {
      return "more than one gateway is given for IPv" + std::to_string(gateway.version) + "; give one";
    }
    if (std::string error = gateway_error(gateway, addresses); !error.empty()) {
      return error;
    }
  }
  return {};
}

}  // namespace tandem
