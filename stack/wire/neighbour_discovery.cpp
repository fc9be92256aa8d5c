// SPDX-License-Identifier: BSD-3-Clause
#include "neighbour_discovery.hpp"

#include <algorithm>

#include "octets.hpp"

namespace tandem::wire {

namespace {

constexpr std::uint8_t kHopLimit = 255;
constexpr std::uint8_t kIcmpv6 = 58;
constexpr std::uint8_t kRouter = 0x80, kSolicited = 0x40, kOverride = 0x20;
constexpr std::size_t kFlagsAt = 4;
constexpr std::size_t kTargetAt = 8;
constexpr std::size_t kRedirectedAt = 24;
constexpr std::size_t kRouterOptionsAt = 16;
constexpr std::size_t kOptionsAt = 24;
constexpr std::size_t kRedirectOptionsAt = 40;
constexpr std::uint8_t kSourceMacOption = 1, kTargetMacOption = 2;
constexpr std::size_t kOptionUnit = 8;

// Offsets in a frame.
constexpr std::size_t kIpAt = 14;
constexpr std::size_t kSourceAt = kIpAt + 8;
constexpr std::size_t kDestinationAt = kIpAt + 24;
constexpr std::size_t kIcmpAt = kIpAt + 40;

std::size_t options_at(NdType type) {
  switch (type) {
    case NdType::router_advertisement:
      return kRouterOptionsAt;
    case NdType::redirect:
      return kRedirectOptionsAt;
    case NdType::neighbour_solicitation:
    case NdType::neighbour_advertisement:
      return kOptionsAt;
  }
  return kOptionsAt;
}

/// False when one has no length, or is longer than the message.
bool parse_options(Bytes options, NdMessage& message) {
  while (!options.empty()) {
    const std::size_t length = options.size() < 2 ? 0 : options[1] * kOptionUnit;
    if (length == 0 || length > options.size()) {
      return false;
    }
    const bool is_source = options[0] == kSourceMacOption;
    if (is_source || options[0] == kTargetMacOption) {
      const MacAddress mac = load_mac(options.data() + 2);
      if (length != kOptionUnit || !is_unicast(mac)) {
        return false;
      }
      (is_source ? message.source_mac : message.target_mac) = mac;
    }
    options = options.subspan(length);
  }
  return true;
}

bool is_valid(const NdMessage& message, const NdEnvelope& envelope) {
  const bool from_nobody = envelope.source.is_any();
  switch (message.type) {
    case NdType::neighbour_solicitation:
      return !is_multicast(message.target) &&
             (!from_nobody || (envelope.destination == solicited_node(message.target) && !message.source_mac));
    case NdType::neighbour_advertisement:
      return !is_multicast(message.target) && !(is_multicast(envelope.destination) && message.solicited);
    case NdType::redirect:
      return is_link_local(envelope.source) && !is_multicast(message.destination) &&
             (is_link_local(message.target) || message.target == message.destination);
    case NdType::router_advertisement:
      return is_link_local(envelope.source);
  }
  return false;
}

std::uint16_t checksum(Bytes icmp, const IpAddress& source, const IpAddress& destination) {
  std::uint32_t sum = kIcmpv6 + static_cast<std::uint32_t>(icmp.size());
  const auto add = [&sum](Bytes bytes) {
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
      sum += load_be16(bytes.data() + i);
    }
  };
  add(source.bytes());
  add(destination.bytes());
  add(icmp);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace

bool is_multicast(const IpAddress& address) {
  return address.is_v6() ? address.octets[0] == 0xff : (address.octets[0] & 0xf0) == 0xe0;
}

bool is_link_local(const IpAddress& address) {
  return address.is_v6() && address.octets[0] == 0xfe && (address.octets[1] & 0xc0) == 0x80;
}

IpAddress solicited_node(const IpAddress& target) {
  IpAddress group{6, {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff}};
  std::copy_n(target.octets.begin() + 13, 3, group.octets.begin() + 13);
  return group;
}

IpAddress all_nodes() { return {6, {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}; }

MacAddress multicast_mac(const IpAddress& group) {
  const auto& octets = group.octets;
  if (group.is_v6()) {
    return {{0x33, 0x33, octets[12], octets[13], octets[14], octets[15]}};
  }
  return {{0x01, 0x00, 0x5e, static_cast<std::uint8_t>(octets[1] & 0x7f), octets[2], octets[3]}};
}

std::optional<NdMessage> parse_nd(Bytes icmp, const NdEnvelope& envelope) {
  if (icmp.size() < 2 || icmp[1] != 0 || envelope.hop_limit != kHopLimit) {
    return std::nullopt;
  }
  NdMessage message;
  message.type = static_cast<NdType>(icmp[0]);
  const std::size_t options = options_at(message.type);
  if (icmp.size() < options || !parse_options(icmp.subspan(options), message)) {
    return std::nullopt;
  }
  if (message.type != NdType::router_advertisement) {
    message.target = load_address(icmp.data() + kTargetAt, 6);
  }
  if (message.type == NdType::redirect) {
    message.destination = load_address(icmp.data() + kRedirectedAt, 6);
  }
  if (message.type == NdType::neighbour_advertisement) {
    message.router = (icmp[kFlagsAt] & kRouter) != 0;
    message.solicited = (icmp[kFlagsAt] & kSolicited) != 0;
    message.override = (icmp[kFlagsAt] & kOverride) != 0;
  }
  if (!is_valid(message, envelope)) {
    return std::nullopt;
  }
  return message;
}

std::size_t write_nd(std::span<std::uint8_t, kMaxNdFrameBytes> frame, const MacAddress& from, const MacAddress& to,
                     const IpAddress& source, const IpAddress& destination, const NdMessage& message) {
  std::fill(frame.begin(), frame.end(), std::uint8_t{0});
  const auto& mac = message.source_mac ? message.source_mac : message.target_mac;
  const std::size_t icmp_bytes = kOptionsAt + (mac ? kOptionUnit : 0);
  std::uint8_t* const at = frame.data();
  store(at, to);
  store(at + 6, from);
  store_be16(at + 12, 0x86dd);
  at[kIpAt] = 0x60;
  store_be16(at + kIpAt + 4, static_cast<std::uint16_t>(icmp_bytes));
  at[kIpAt + 6] = kIcmpv6;
  at[kIpAt + 7] = kHopLimit;
  store(at + kSourceAt, source);
  store(at + kDestinationAt, destination);
  std::uint8_t* const icmp = at + kIcmpAt;
  icmp[0] = static_cast<std::uint8_t>(message.type);
  icmp[kFlagsAt] = static_cast<std::uint8_t>((message.router ? kRouter : 0) | (message.solicited ? kSolicited : 0) |
                                             (message.override ? kOverride : 0));
  store(icmp + kTargetAt, message.target);
  if (mac) {
    icmp[kOptionsAt] = message.source_mac ? kSourceMacOption : kTargetMacOption;
    icmp[kOptionsAt + 1] = 1;
    store(icmp + kOptionsAt + 2, *mac);
  }
  store_be16(icmp + 2, checksum(Bytes(icmp, icmp_bytes), source, destination));
  return kIcmpAt + icmp_bytes;
}

}  // namespace tandem::wire
