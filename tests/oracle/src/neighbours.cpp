// SPDX-License-Identifier: BSD-3-Clause
#include "neighbours.hpp"

#include <algorithm>
#include <cstdio>

namespace tandem::oracle {

namespace {

constexpr std::uint8_t kSolicitation = 135, kAdvertisement = 136;

std::string mac_text(const std::uint8_t* mac) {
  char text[18];
  std::snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  return text;
}

bool contains(const auto& list, const auto& item) { return std::find(list.begin(), list.end(), item) != list.end(); }

/// None yet: 0.0.0.0 and ::, and what every host has: fe80::/10.
bool is_anybodys(const Host& host) {
  const bool unspecified = host == Host{} || (host.is_v4() && std::all_of(host.bytes.begin() + 12, host.bytes.end(),
                                                                          [](auto b) { return b == 0; }));
  return unspecified || (host.bytes[0] == 0xfe && (host.bytes[1] & 0xc0) == 0x80);
}

struct Claims {
  const Options& options;
  Findings& findings;
  std::uint64_t now_ns;
  const Packet& packet;

  void violation(std::string_view rule, std::string text) const {
    findings.add(now_ns, mac_text(packet.source_mac.data()), rule, std::move(text));
  }

  bool is_ours() const { return contains(options.macs, packet.source_mac); }

  /// The frame says that `host` is at `mac`.
  void claim(const Host& host, const std::uint8_t* mac, std::string_view what) const {
    if (!std::equal(mac, mac + 6, packet.source_mac.begin()) && (is_ours() || contains(options.judged, host))) {
      violation("neighbour", words(what, " says ", mac_text(mac), ", and the frame comes from ",
                                   mac_text(packet.source_mac.data())));
    }
    if (options.macs.empty()) return;
    if (is_ours() && !contains(options.judged, host) && !contains(options.also, host) && !is_anybodys(host)) {
      violation("neighbour", words(what, " claims ", host.text(), ", which is not ours"));
    } else if (!is_ours() && contains(options.judged, host)) {
      violation("neighbour", words(what, " claims our address ", host.text(), " for a link address that is not ours"));
    }
  }

  void arp() const {
    const auto& body = packet.body;
    // Ethernet and IPv4 only.
    if (body.size() < 28 || big16(&body[0]) != 1 || big16(&body[2]) != 0x0800 || body[4] != 6 || body[5] != 4) return;
    claim(Host::v4(body[14], body[15], body[16], body[17]), &body[8],
          big16(&body[6]) == 2 ? "an ARP reply" : "an ARP request");
  }

  void discovery() const {
    const auto& body = packet.body;
    if (body.size() < 24 || (body[0] != kSolicitation && body[0] != kAdvertisement)) return;
    const bool advertises = body[0] == kAdvertisement;
    Host host = packet.source;
    if (advertises) std::copy_n(&body[8], 16, host.bytes.begin());
    if (packet.ttl != 255 && (is_ours() || contains(options.judged, host))) {
      violation("neighbour", words("neighbour discovery with a hop limit of ", packet.ttl, ", not 255, is ignored"));
    }
    const std::uint8_t* mac = packet.source_mac.data();
    // Source or target link-layer address, of one unit of eight bytes.
    for (std::size_t at = 24; at + 8 <= body.size() && body[at + 1] != 0; at += body[at + 1] * 8u) {
      if (body[at] == (advertises ? 2 : 1) && body[at + 1] == 1) mac = &body[at + 2];
    }
    claim(host, mac, advertises ? "a neighbour advertisement" : "a neighbour solicitation");
  }

  void source() const {
    if (options.macs.empty()) return;
    const bool ours = contains(options.judged, packet.source);
    if (is_ours() && !ours && !contains(options.also, packet.source) && !is_anybodys(packet.source)) {
      violation("source-address", words("a packet of ours comes from ", packet.source.text(), ", which is not ours"));
    } else if (!is_ours() && ours) {
      violation("source-address",
                words("a packet comes from our address ", packet.source.text(), ", but not from our link address"));
    }
  }
};

}  // namespace

void judge_neighbours(const Options& options, Findings& findings, std::uint64_t now_ns, const Packet& packet) {
  const Claims claims{options, findings, now_ns, packet};
  if (packet.kind == Packet::Kind::arp) return claims.arp();
  if (packet.kind == Packet::Kind::other) return;
  claims.source();
  if (packet.kind == Packet::Kind::icmp6) claims.discovery();
}

}  // namespace tandem::oracle
