// SPDX-License-Identifier: BSD-3-Clause
#include "link_frames.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

namespace tandem::test {

namespace {

constexpr std::uint8_t kNs = 135, kNa = 136, kRedirect = 137, kRa = 134, kEcho6 = 128, kEcho6Reply = 129;

void add_option(fuzz::Octets& body, std::uint8_t type, const std::optional<MacAddress>& mac) {
  if (mac) {
    body.push_back(type);
    body.push_back(1);
    fuzz::put(body, mac->octets);
  }
}

Frame nd_frame(const Nd& nd, std::uint8_t type, std::uint32_t rest, const fuzz::Octets& body) {
  const auto source = ip(nd.source);
  const auto destination = ip(nd.destination);
  fuzz::IpFields fields;
  fields.source = source;
  fields.destination = destination;
  fields.protocol = fuzz::protocol::kIcmp6;
  fields.hop_limit = nd.hop_limit;
  return fuzz::ethernet({nd.from, nd.to}, fuzz::ether_type::kIpv6,
                        fuzz::ip(fields, fuzz::icmp6(source, destination, type, 0, rest, body)));
}

fuzz::Octets octets_of(const std::string& address) {
  fuzz::Octets out;
  fuzz::put(out, ip(address).bytes());
  return out;
}

MacAddress mac_at(const Frame& frame, std::size_t at) {
  MacAddress out;
  std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(at), 6, out.octets.begin());
  return out;
}

IpAddress v6_at(const Frame& frame, std::size_t at) {
  IpAddress out = IpAddress::any(6);
  std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(at), 16, out.octets.begin());
  return out;
}

std::string nd_told(const Frame& frame, const fuzz::Sent& sent, const std::string& to) {
  const std::string target = v6_at(frame, 14 + 40 + 8).to_string();
  const std::string mac = frame.size() >= 14 + 40 + 32 ? " mac " + mac_at(frame, 14 + 40 + 26).to_string() : "";
  const std::string ends = " from " + sent.source.to_string() + " for " + sent.destination.to_string();
  if (*sent.icmp_type == kNs) {
    return "NS " + target + ends + mac + to;
  }
  const std::uint8_t flags = frame[14 + 40 + 4];
  const std::string letters = std::string((flags & kRouterFlag) != 0 ? "R" : "") +
                              ((flags & kSolicitedFlag) != 0 ? "S" : "") + ((flags & kOverrideFlag) != 0 ? "O" : "");
  return "NA " + target + " " + letters + ends + mac + to;
}

}  // namespace

MacAddress all_macs() { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }

Frame arp_frame(std::uint8_t operation, const std::string& sender, const MacAddress& sender_mac,
                const std::string& target, const MacAddress& to) {
  fuzz::ArpFields fields;
  fields.operation = operation;
  fields.sender_mac = sender_mac;
  fields.sender = ip(sender);
  fields.target = ip(target);
  return fuzz::ethernet({sender_mac, to}, fuzz::ether_type::kArp, fuzz::arp(fields));
}

Frame solicitation(const Nd& nd, const std::string& target, std::optional<MacAddress> source_mac) {
  auto body = octets_of(target);
  add_option(body, 1, source_mac);
  return nd_frame(nd, kNs, 0, body);
}

Frame advertisement(const Nd& nd, const std::string& target, std::uint8_t flags, std::optional<MacAddress> target_mac) {
  auto body = octets_of(target);
  add_option(body, 2, target_mac);
  return nd_frame(nd, kNa, std::uint32_t{flags} << 24, body);
}

Frame redirect(const Nd& nd, const std::string& target, const std::string& destination,
               std::optional<MacAddress> target_mac) {
  auto body = octets_of(target);
  fuzz::put(body, ip(destination).bytes());
  add_option(body, 2, target_mac);
  return nd_frame(nd, kRedirect, 0, body);
}

Frame router_advertisement(const Nd& nd, std::optional<MacAddress> source_mac) {
  fuzz::Octets body(8, 0);
  add_option(body, 1, source_mac);
  return nd_frame(nd, kRa, 0x40000708, body);
}

Frame ping(const std::string& source, const std::string& destination, const MacAddress& from, const MacAddress& to) {
  fuzz::IpFields fields;
  fields.source = ip(source);
  fields.destination = ip(destination);
  const bool v6 = fields.source.is_v6();
  fields.protocol = v6 ? fuzz::protocol::kIcmp6 : fuzz::protocol::kIcmp;
  const fuzz::Octets body(8, 0x55);
  return fuzz::ethernet({from, to}, v6 ? fuzz::ether_type::kIpv6 : fuzz::ether_type::kIpv4,
                        fuzz::ip(fields, v6 ? fuzz::icmp6(fields.source, fields.destination, kEcho6, 0, 1, body)
                                            : fuzz::icmp(8, 0, 1, body)));
}

std::string told(const Frame& frame) {
  const fuzz::Sent sent = fuzz::dissect(frame, 1500);
  const std::string to = " to " + mac_at(frame, 0).to_string();
  if (sent.arp) {
    return sent.arp->operation == kRequest
               ? "who has " + sent.arp->target.to_string() + " tell " + sent.arp->sender.to_string() + to
               : sent.arp->sender.to_string() + " is at " + sent.arp->sender_mac.to_string() + to;
  }
  if (sent.icmp_type && sent.protocol == fuzz::protocol::kIcmp6 && (*sent.icmp_type == kNs || *sent.icmp_type == kNa)) {
    return nd_told(frame, sent, to);
  }
  if (sent.icmp_type == (sent.protocol == fuzz::protocol::kIcmp6 ? kEcho6Reply : 0)) {
    return "pong for " + sent.destination.to_string() + to;
  }
  return sent.tcp ? "tcp for " + sent.destination.to_string() + to : "other";
}

Lone::Lone(std::vector<std::string> prefixes, std::vector<std::string> gateways) {
  auto given = options(clock, std::move(prefixes));
  for (const auto& gateway : gateways) {
    given.gateways.push_back(ip(gateway));
  }
  host = std::make_unique<Host>(wire, clock, mac(1), given);
  // Reports of group membership say nothing of neighbours.
  wire.watch = [this](const Frame& frame) {
    if (std::string text = told(frame); text != "other") {
      said_.push_back(std::move(text));
    }
  };
  after(5000);
}

std::vector<std::string> Lone::hears(const Frame& frame) {
  host->inbox.push_back(frame);
  host->turn();
  return std::exchange(said_, {});
}

std::vector<std::string> Lone::after(std::uint64_t ms) {
  run(
      clock, {host.get()}, [] { return false; }, ms);
  return std::exchange(said_, {});
}

std::string Lone::at(const std::string& address) {
  for (const Neighbour& neighbour : host->stack().neighbours()) {
    if (neighbour.address == ip(address)) {
      return neighbour.mac.to_string();
    }
  }
  return "";
}

}  // namespace tandem::test
