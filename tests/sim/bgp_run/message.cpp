// SPDX-License-Identifier: BSD-3-Clause
#include "bgp_run/message.hpp"

#include <algorithm>

namespace tandem::sim {
namespace {

using namespace bgp_type;

constexpr std::uint8_t kLongLength = 0x10;
constexpr std::uint32_t kAsTrans = 23456;

std::string octets_of16(std::size_t number) { return {static_cast<char>(number >> 8), static_cast<char>(number)}; }

std::uint8_t octet(std::string_view bytes, std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); }

std::size_t number16_at(std::string_view bytes, std::size_t at) {
  return std::size_t{octet(bytes, at)} << 8 | octet(bytes, at + 1);
}

void put_prefix(std::string& out, const IpPrefix& prefix) {
  out += static_cast<char>(prefix.length);
  out.append(reinterpret_cast<const char*>(prefix.address.octets.data()), (prefix.length + 7u) / 8u);
}

bool get_prefixes(std::string_view field, std::uint8_t version, std::vector<IpPrefix>& out) {
  for (std::size_t at = 0; at < field.size();) {
    IpPrefix prefix;
    prefix.address.version = version;
    prefix.length = octet(field, at++);
    const std::size_t bytes = (prefix.length + 7u) / 8u;
    if (prefix.length > (version == 6 ? 128 : 32) || field.size() - at < bytes) return false;
    std::copy_n(field.begin() + static_cast<std::ptrdiff_t>(at), bytes, prefix.address.octets.begin());
    at += bytes;
    out.push_back(prefix);
  }
  return true;
}

void put_attribute(std::string& out, const BgpAttribute& attribute) {
  const bool is_long = attribute.value.size() > 255;
  out += static_cast<char>(attribute.flags | (is_long ? kLongLength : 0));
  out += static_cast<char>(attribute.type);
  out += is_long ? octets_of16(attribute.value.size()) : std::string(1, static_cast<char>(attribute.value.size()));
  out += attribute.value;
}

std::string_view text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

std::string path_text(std::string_view value) {
  std::string text;
  for (std::size_t at = 0; at + 2 <= value.size();) {
    const bool set = octet(value, at) == 1;
    const std::size_t count = octet(value, at + 1);
    at += 2;
    text += set ? " {" : "";
    for (std::size_t i = 0; i < count && at + 4 <= value.size(); ++i, at += 4)
      text += " " + std::to_string(number_at(value, at));
    text += set ? " }" : "";
  }
  return text;
}

std::string address_text(std::string_view value) {
  IpAddress address;
  address.version = value.size() == 4 ? 4 : 6;
  std::copy_n(value.begin(), std::min<std::size_t>(value.size(), 16), address.octets.begin());
  return address.to_string();
}

std::string list_of(const char* what, const std::vector<IpPrefix>& prefixes) {
  std::string text;
  if (prefixes.empty()) return text;
  text = what;
  constexpr std::size_t kShown = 8;
  for (std::size_t i = 0; i < std::min(prefixes.size(), kShown); ++i) text += " " + prefixes[i].to_string();
  if (prefixes.size() > kShown) text += " and " + std::to_string(prefixes.size() - kShown) + " more";
  return text;
}

}  // namespace

const BgpAttribute* find(const BgpRoute& route, std::uint8_t type) {
  const auto at =
      std::find_if(route.begin(), route.end(), [type](const BgpAttribute& item) { return item.type == type; });
  return at == route.end() ? nullptr : &*at;
}

void drop(BgpRoute& route, std::uint8_t type) {
  std::erase_if(route, [type](const BgpAttribute& item) { return item.type == type; });
}

void put(BgpRoute& route, BgpAttribute attribute) {
  drop(route, attribute.type);
  const auto at = std::find_if(route.begin(), route.end(),
                               [&attribute](const BgpAttribute& item) { return item.type > attribute.type; });
  route.insert(at, std::move(attribute));
}

std::uint32_t number_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint32_t>(number16_at(bytes, at) << 16 | number16_at(bytes, at + 2));
}

std::string octets_of(std::uint32_t number) { return octets_of16(number >> 16) + octets_of16(number & 0xffff); }

BgpRoute BgpUpdate::route_of(const IpPrefix& prefix) const {
  BgpRoute route = attributes;
  put(route, {kTransitive, kNextHop, prefix.address.is_v6() ? next_hop_v6 : next_hop_v4});
  return route;
}

std::string write_message(std::uint8_t type, std::string_view body) {
  std::string message(16, '\xff');
  message += octets_of16(kBgpHeaderBytes + body.size());
  message += static_cast<char>(type);
  return message.append(body);
}

std::string write_open(const BgpOpen& open) {
  std::string capabilities("\x01\x04\x00\x01\x00\x01\x01\x04\x00\x02\x00\x01\x02\x00\x41\x04", 16);
  capabilities += octets_of(open.as);
  std::string body(1, '\x04');
  body += octets_of16(open.as > 0xffff ? kAsTrans : open.as) + octets_of16(open.hold_s) + octets_of(open.router_id);
  body += static_cast<char>(capabilities.size() + 2);
  body += '\x02';
  body += static_cast<char>(capabilities.size());
  return write_message(kOpen, body + capabilities);
}

std::string write_update(const BgpUpdate& update) {
  std::string withdrawn, unreach, announced, reach;
  for (const IpPrefix& prefix : update.withdrawn) put_prefix(prefix.address.is_v6() ? unreach : withdrawn, prefix);
  for (const IpPrefix& prefix : update.announced) put_prefix(prefix.address.is_v6() ? reach : announced, prefix);
  std::string attributes;
  const std::string v6_unicast("\x00\x02\x01", 3);
  if (!reach.empty())
    put_attribute(attributes, {kOptional, kReach, v6_unicast + '\x10' + update.next_hop_v6 + '\0' + reach});
  if (!unreach.empty()) put_attribute(attributes, {kOptional, kUnreach, v6_unicast + unreach});
  if (!update.announced.empty()) {
    BgpRoute route = update.attributes;
    if (!announced.empty()) put(route, {kTransitive, kNextHop, update.next_hop_v4});
    for (const BgpAttribute& attribute : route) put_attribute(attributes, attribute);
  }
  return write_message(
      kUpdate, octets_of16(withdrawn.size()) + withdrawn + octets_of16(attributes.size()) + attributes + announced);
}

std::optional<BgpOpen> read_open(Bytes message) {
  const std::string_view text = text_of(message).substr(kBgpHeaderBytes);
  if (text.size() < 10 || text[0] != 4 || text.size() != 10u + octet(text, 9)) return std::nullopt;
  BgpOpen open;
  open.as = static_cast<std::uint32_t>(number16_at(text, 1));
  open.hold_s = static_cast<std::uint16_t>(number16_at(text, 3));
  open.router_id = number_at(text, 5);
  for (std::string_view parameters = text.substr(10); !parameters.empty();) {
    if (parameters.size() < 2 || parameters.size() < 2u + octet(parameters, 1)) return std::nullopt;
    std::string_view capabilities = parameters.substr(2, octet(parameters, 1));
    const bool is_capability = parameters[0] == 2;
    parameters.remove_prefix(2 + capabilities.size());
    while (is_capability && !capabilities.empty()) {
      if (capabilities.size() < 2 || capabilities.size() < 2u + octet(capabilities, 1)) return std::nullopt;
      if (capabilities[0] == 65 && capabilities[1] == 4) open.as = number_at(capabilities, 2);
      capabilities.remove_prefix(2u + octet(capabilities, 1));
    }
  }
  return open;
}

std::optional<BgpRoute> read_attributes(std::string_view field) {
  BgpRoute route;
  while (!field.empty()) {
    BgpAttribute attribute;
    const std::size_t header = (field[0] & kLongLength) != 0 ? 4 : 3;
    if (field.size() < header) return std::nullopt;
    attribute.flags = octet(field, 0) & 0xe0;
    attribute.type = octet(field, 1);
    const std::size_t length = header == 4 ? number16_at(field, 2) : octet(field, 2);
    if (field.size() - header < length || find(route, attribute.type) != nullptr) return std::nullopt;
    attribute.value = field.substr(header, length);
    field.remove_prefix(header + length);
    put(route, std::move(attribute));
  }
  return route;
}

std::optional<BgpUpdate> read_update(Bytes message) {
  std::string_view text = text_of(message).substr(kBgpHeaderBytes);
  BgpUpdate update;
  const auto field = [&text]() -> std::optional<std::string_view> {
    if (text.size() < 2 || text.size() - 2 < number16_at(text, 0)) return std::nullopt;
    const std::string_view found = text.substr(2, number16_at(text, 0));
    text.remove_prefix(2 + found.size());
    return found;
  };
  const auto withdrawn = field();
  if (!withdrawn || !get_prefixes(*withdrawn, 4, update.withdrawn)) return std::nullopt;
  const auto attributes = field();
  if (!attributes || !get_prefixes(text, 4, update.announced)) return std::nullopt;
  auto route = read_attributes(*attributes);
  if (!route) return std::nullopt;
  if (const BgpAttribute* const hop = find(*route, kNextHop)) update.next_hop_v4 = hop->value;
  if (const BgpAttribute* const reach = find(*route, kReach)) {
    const std::string_view value = reach->value;
    if (value.size() < 5 || number16_at(value, 0) != 2 || value[2] != 1) return std::nullopt;
    const std::size_t hop_bytes = octet(value, 3);
    if (value.size() < 5 + hop_bytes) return std::nullopt;
    update.next_hop_v6 = value.substr(4, hop_bytes);
    if (!get_prefixes(value.substr(5 + hop_bytes), 6, update.announced)) return std::nullopt;
  }
  if (const BgpAttribute* const unreach = find(*route, kUnreach)) {
    const std::string_view value = unreach->value;
    if (value.size() < 3 || number16_at(value, 0) != 2 || value[2] != 1) return std::nullopt;
    if (!get_prefixes(value.substr(3), 6, update.withdrawn)) return std::nullopt;
  }
  for (const std::uint8_t type : {kNextHop, kReach, kUnreach}) drop(*route, type);
  update.attributes = std::move(*route);
  return update;
}

std::string to_string(const BgpRoute& route) {
  std::string text;
  for (const BgpAttribute& attribute : route) {
    text += text.empty() ? "" : ", ";
    switch (attribute.type) {
      case kOrigin:
        text += "origin " + std::to_string(attribute.value.empty() ? 255 : octet(attribute.value, 0));
        break;
      case kAsPath:
        text += "path" + path_text(attribute.value);
        break;
      case kNextHop:
        text += "next hop " + address_text(attribute.value);
        break;
      case kMed:
      case kLocalPref:
        text += attribute.type == kMed ? "MED " : "local preference ";
        text += attribute.value.size() == 4 ? std::to_string(number_at(attribute.value, 0)) : "?";
        break;
      default:
        text += "attribute " + std::to_string(attribute.type);
        if ((attribute.flags & kPartial) != 0) text += " (partial)";
        text += " of " + std::to_string(attribute.value.size()) + " bytes";
    }
  }
  return text;
}

std::string tell_message(Bytes message) {
  switch (message[kBgpHeaderBytes - 1]) {
    case kOpen: {
      const auto open = read_open(message);
      return open ? "OPEN, AS " + std::to_string(open->as) + ", hold time " + std::to_string(open->hold_s) + " s"
                  : "OPEN, malformed";
    }
    case kUpdate: {
      const auto update = read_update(message);
      if (!update) return "UPDATE, malformed";
      if (update->withdrawn.empty() && update->announced.empty()) return "UPDATE, End-of-RIB";
      std::string text = "UPDATE" + list_of(", withdraws", update->withdrawn);
      if (update->announced.empty()) return text;
      return text + list_of(", announces", update->announced) + ": " +
             to_string(update->route_of(update->announced.front()));
    }
    case kNotification:
      return message.size() < kBgpHeaderBytes + 2 ? "NOTIFICATION, malformed"
                                                  : "NOTIFICATION " + std::to_string(message[kBgpHeaderBytes]) + "/" +
                                                        std::to_string(message[kBgpHeaderBytes + 1]);
    case kKeepalive:
      return "KEEPALIVE";
    case kRefresh:
      return "ROUTE-REFRESH";
    default:
      return "a message of type " + std::to_string(message[kBgpHeaderBytes - 1]);
  }
}

}  // namespace tandem::sim
