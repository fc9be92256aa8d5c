// SPDX-License-Identifier: BSD-3-Clause
//
// Builds the packets of a connection between a judged host and a peer, and shows them to an oracle.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "oracle/oracle.hpp"

namespace tandem::oracle::test {

constexpr std::uint8_t FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16;

struct Block {
  std::uint32_t left, right;
};

/// A segment as its sender means it; what is not set has the value that a well-behaved host would give.
struct Segment {
  std::uint8_t flags = ACK;
  std::uint32_t seq = 0, ack = 0;
  std::uint16_t window = 500;
  std::string payload = {};
  bool timestamps = true;
  std::uint32_t tsval = 0, tsecr = 0;
  std::vector<Block> sack = {};
  std::vector<std::uint8_t> more_options = {};
  bool break_checksum = false;
};

struct Side {
  Host host;
  Mac mac;
  std::uint16_t port;
};

std::vector<std::uint8_t> frame_of(const Side& from, const Side& to, const Segment& segment);

/// What both say in their SYNs.
struct Offers {
  std::optional<std::uint16_t> mss = 1460;
  std::optional<std::uint8_t> scale = 7;
  bool sack = true, timestamps = true;

  std::vector<std::uint8_t> bytes() const;
};

struct Setting {
  std::uint32_t our_isn = 1000, peer_isn = 5000;
  std::uint32_t our_time = 100, peer_time = 900;
  Offers our_offers = {}, peer_offers = {};
  bool v6 = false;
  Options options = {};  ///< `judged` is filled in
};

/// A connection that the peer has opened to the judged host: after open() each side has sent what it must and nothing else.
class Conversation {
 public:
  explicit Conversation(Setting setting = {});

  void open();
  /// Next segment of either side with sensible numbers: seq at the end of what that side has sent, ack at the end of what
  /// the other has, timestamps that advance. Changing it before it is sent is how a test misbehaves.
  Segment from_us(std::string payload = {}, std::uint8_t flags = ACK) const;
  Segment from_peer(std::string payload = {}, std::uint8_t flags = ACK) const;
  void we_send(const Segment& segment);
  void peer_sends(const Segment& segment);
  void we_send(std::string payload = {}) { we_send(from_us(std::move(payload))); }
  void peer_sends(std::string payload = {}) { peer_sends(from_peer(std::move(payload))); }
  /// With Options::arrivals: what the peer has sent reaches us.
  void reaches_us(const Segment& segment);
  void wait(std::uint64_t ns) { now_ns += ns; }

  /// The rules that were broken, in order, joined by blanks.
  std::string broken() const;

  /// With Options::arrivals: open() also says that what the peer sends has arrived.
  bool opening_arrives = false;
  Setting setting;
  Side us, peer;
  Oracle oracle;
  std::uint64_t now_ns = 1'000'000'000;
  // The ends of what was sent, and the timestamps.
  std::uint32_t our_nxt, peer_nxt, our_ts, peer_ts;
};

}  // namespace tandem::oracle::test
