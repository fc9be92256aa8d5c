// SPDX-License-Identifier: BSD-3-Clause
//
// What the wire has shown of one connection. Positions are 64-bit (sequence.hpp); each end has a stream of its own.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "byte_history.hpp"
#include "oracle/oracle.hpp"
#include "packet.hpp"
#include "ranges.hpp"
#include "sequence.hpp"

namespace tandem::oracle {

/// The addresses and ports, the lesser end first, so that both directions have the same one.
struct FlowKey {
  std::array<Host, 2> host;
  std::array<std::uint16_t, 2> port{};
  friend bool operator==(const FlowKey&, const FlowKey&) = default;
};

/// A bucket that allows so many at once and refills with time.
class Allowance {
 public:
  bool take(std::uint64_t now_ns) {
    const std::uint64_t refilled = (now_ns - since_ns_) / kRefillNs;
    if (refilled > 0) {
      left_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(kMost, left_ + refilled));
      since_ns_ = now_ns;
    }
    if (left_ == 0) return false;
    --left_;
    return true;
  }

 private:
  /// RFC 5961 section 7 suggests ten challenge ACKs in five seconds.
  static constexpr std::uint32_t kMost = 10;
  static constexpr std::uint64_t kRefillNs = 500'000'000;
  std::uint32_t left_ = kMost;
  std::uint64_t since_ns_ = 0;
};

/// What an end said in its SYN.
struct SynInfo {
  bool seen = false;
  bool acks = false;
  std::uint32_t seq = 0;
  std::uint16_t window = 0;
  TcpOptions options{};
};

/// One host of a connection: the stream it sends, and what it says of the stream it receives.
struct End {
  bool judged = false;

  // ---- The stream it sends ----
  bool has_reference = false;  ///< `nxt` means something, be it only from the other's ACK
  bool known = false;          ///< a packet of this end was seen
  bool settled = false;  ///< `nxt` is the end of what it has sent, not only of what was seen since the capture began
  SynInfo syn;
  std::uint64_t isn = 0;
  std::uint64_t nxt = kFirstPosition;
  std::uint64_t learned_from = 0;  ///< `nxt` when a connection that is older than the capture was first seen
  std::uint64_t data_max = 0;      ///< the end of the data that was seen
  bool fin = false;
  std::uint64_t fin_at = 0;     ///< the position that the FIN takes
  bool reset = false;           ///< it sent an RST
  bool ended_by_reset = false;  ///< it sent one that ends the connection, beyond doubt
  ByteHistory history;
  bool probed = false;               ///< it has sent a byte right behind a shut window
  std::uint64_t probe_at = 0;        ///< where the last one stood
  std::uint64_t probe_taken_ns = 0;  ///< when the other was seen to have taken it; 0: not yet

  // ---- What it says of the other's stream ----
  bool acks = false;
  std::uint64_t ack_last = 0, ack_max = 0;
  bool has_edge = false;
  std::uint64_t edge_max = 0;
  std::uint16_t window_last = 0;
  /// Of what has arrived, in that order: the furthest right edge, and one that came behind it and lies before it.
  std::uint64_t edge_arrived = 0, edge_gone_back = 0, edge_gone_back_ns = 0;
  std::uint64_t window_max = 65535;
  std::uint8_t scale = 0;  ///< of its windows after the handshake, once negotiated
  /// What it has acknowledged lately, the newest over the oldest: an RST may answer any segment that carried one of them, also
  /// when a batch of others has come in since.
  std::array<std::uint32_t, 128> recent_acks{};
  std::size_t recent_ack_count = 0;
  Ranges sacked;
  bool sacked_too_much = false;  ///< more ranges than a receiver has to remember for its SACK options
  std::array<TcpOptions::Block, 4> blocks_last{};
  std::uint8_t block_count_last = 0;
  std::uint32_t owed_acks = 0;  ///< segments of the other's that it has not acknowledged one by one
  Allowance free_acks;

  // ---- What has reached it of the other's stream (Options::arrivals, or a vantage point at this end) ----
  Ranges arrived;

  // ---- Timestamps ----
  bool has_timestamp = false;
  std::uint64_t ts_first = 0, ts_max = 0;
  std::uint64_t ts_of_newest = 0;  ///< that of the last segment that was the first to carry what it carries

  void forget();
  void remember_ack(std::uint32_t number) {
    if (recent_ack_count > 0 && recent_acks[(recent_ack_count - 1) % recent_acks.size()] == number) return;
    recent_acks[recent_ack_count++ % recent_acks.size()] = number;
  }
  bool has_acknowledged_lately(std::uint32_t number) const {
    const auto end = recent_acks.begin() + static_cast<std::ptrdiff_t>(std::min(recent_ack_count, recent_acks.size()));
    return std::find(recent_acks.begin(), end, number) != end;
  }
};

/// What is remembered of an end when its ports begin a new connection.
struct Predecessor {
  bool seen = false;
  std::uint32_t isn = 0, span = 0;  ///< first sequence number, and how many followed
  std::uint64_t last_ns = 0;
  bool timestamps = false;
  std::uint32_t ts_max = 0;
};

struct Connection {
  FlowKey key;
  std::array<End, 2> end;
  /// Both SYNs were seen, so what was negotiated is known.
  bool negotiated = false;
  bool timestamps = false, sack_permitted = false;
  /// Each end has acknowledged the other's SYN.
  bool synchronized = false;
  /// A SYN of an end that is not judged, for a connection that lives: it may have restarted.
  std::array<SynInfo, 2> pending;
  std::array<Predecessor, 2> predecessor;
  /// Since when each end has acknowledged all that is known of the other; 0: it has not.
  std::uint64_t quiet_since_ns = 0;
  std::uint64_t last_ns = 0;

  bool is_over() const { return end[0].reset || end[1].reset || (end[0].fin && end[1].fin); }
  /// For a new connection between the same ports: only the predecessors are remembered.
  void begin_anew();
  void forget();
};

}  // namespace tandem::oracle
