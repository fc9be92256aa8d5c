// SPDX-License-Identifier: BSD-3-Clause
//
// The complete sequence state of one TCP connection (RFC 9293 section 3.3.1), as a value. Together with the bytes of
// its send queue [snd_una, write_seq), of its receive queue (received, not yet consumed) and of its out-of-order queue
// it is all that another stack needs to go on with the connection. `TcpState` is what Connection::state() shows, what
// Connection::export_connection() carries and what the log of design.md section 4 mirrors each turn.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tandem/address.hpp"

namespace tandem {

/// RFC 9293 section 3.3.2. The numbers are part of the export format.
enum class TcpPhase : std::uint8_t {
  closed = 0,
  listen = 1,
  syn_sent = 2,
  syn_rcvd = 3,
  established = 4,
  fin_wait_1 = 5,
  fin_wait_2 = 6,
  close_wait = 7,
  closing = 8,
  last_ack = 9,
  time_wait = 10,
};

[[nodiscard]] std::string_view to_string(TcpPhase phase);

/// Bits of TcpState::flags.
namespace tcp_flag {
inline constexpr std::uint32_t kNoDelay = 1U << 0;          ///< Nagle (RFC 896) is off
inline constexpr std::uint32_t kWindowScale = 1U << 1;      ///< RFC 7323 window scaling was negotiated
inline constexpr std::uint32_t kTimestamps = 1U << 2;       ///< RFC 7323 timestamps were negotiated
inline constexpr std::uint32_t kSack = 1U << 3;             ///< RFC 2018 SACK was negotiated
inline constexpr std::uint32_t kFinQueued = 1U << 4;        ///< our FIN takes the sequence number write_seq - 1
inline constexpr std::uint32_t kFinReceived = 1U << 5;      ///< the peer's FIN is in order and counted in rcv_nxt
inline constexpr std::uint32_t kAckPending = 1U << 6;       ///< an ACK is owed (delayed or immediate)
inline constexpr std::uint32_t kKeepalive = 1U << 7;        ///< SO_KEEPALIVE
inline constexpr std::uint32_t kActiveOpen = 1U << 8;       ///< this end sent the first SYN
inline constexpr std::uint32_t kCloseRequested = 1U << 9;   ///< the application has closed; FIN follows the queue
inline constexpr std::uint32_t kFastRecovery = 1U << 10;    ///< RFC 5681 fast recovery is under way
inline constexpr std::uint32_t kRtoRecovery = 1U << 11;     ///< retransmission after a timeout is under way
inline constexpr std::uint32_t kReadClosed = 1U << 12;      ///< the application reads no more
inline constexpr std::uint32_t kAbortRequested = 1U << 13;  ///< the application has aborted; RST waits for memory
inline constexpr std::uint32_t kHalfClosed = 1U << 14;      ///< the application has closed its half and reads on
inline constexpr std::uint32_t kEofTold = 1U << 15;         ///< the handler has had on_eof
inline constexpr std::uint32_t kClosedTold = 1U << 16;      ///< it has had on_closed, and TIME_WAIT goes on without it
inline constexpr std::uint32_t kConnectedTold =
    1U << 17;  ///< it has had on_connected, which may come turns later than the phase
}  // namespace tcp_flag

/// Fixed-size part. Plain data: comparable, copyable, no padding that carries meaning. Sequence numbers are 32 bit as on
/// the wire; the 64-bit positions count bytes of the application's since the connection opened and never wrap.
struct TcpState {
  Endpoint local;
  Endpoint remote;
  TcpPhase phase = TcpPhase::closed;
  std::uint8_t snd_scale = 0;  ///< shift of the windows that the peer announces
  std::uint8_t rcv_scale = 0;  ///< shift of the windows that we announce
  std::uint8_t ttl = 64;
  std::uint8_t tos = 0;
  std::uint8_t priority = 64;
  std::uint8_t retransmissions = 0;  ///< of the oldest unacknowledged segment
  std::uint8_t dupacks = 0;
  std::uint32_t flags = 0;  ///< tcp_flag
  std::uint32_t iss = 0;    ///< initial send sequence number
  std::uint32_t irs = 0;    ///< initial receive sequence number
  std::uint32_t snd_una = 0;
  std::uint32_t snd_nxt = 0;    ///< one past the highest sequence number that left, never behind what left
  std::uint32_t write_seq = 0;  ///< one past the last byte (or FIN) that the application has queued
  std::uint32_t snd_wnd = 0;    ///< bytes
  std::uint32_t snd_wnd_max = 0;
  std::uint32_t snd_wl1 = 0;
  std::uint32_t snd_wl2 = 0;
  std::uint32_t rcv_nxt = 0;
  std::uint32_t rcv_wnd = 0;         ///< bytes of room
  std::uint32_t rcv_right_edge = 0;  ///< highest right edge ever announced; never withdrawn
  std::uint32_t cwnd = 0;            ///< bytes
  std::uint32_t ssthresh = 0;        ///< bytes
  std::uint32_t rto_end = 0;         ///< recovery point after a timeout
  std::uint32_t ts_recent = 0;       ///< RFC 7323 TS.Recent
  std::uint32_t ts_last_ack_sent = 0;
  std::uint32_t keep_idle_ms = 0;
  std::uint32_t keep_interval_ms = 0;
  std::uint32_t keep_count = 0;
  std::int32_t srtt_ms = 0;    ///< RFC 6298, 0 = no sample yet
  std::int32_t rttvar_ms = 0;  ///< RFC 6298
  std::uint32_t rto_ms = 0;
  std::uint16_t mss = 0;  ///< effective send MSS, bytes
  std::uint8_t persist_backoff = 0;
  std::uint64_t bytes_written = 0;   ///< by the application
  std::uint64_t bytes_acked = 0;     ///< by the peer
  std::uint64_t bytes_received = 0;  ///< in order
  std::uint64_t bytes_consumed = 0;  ///< by the application
  /// Sequence numbers before snd_nxt that wait to be sent again (after a timeout, or a window probe's byte); else 0.
  std::uint32_t rexmit_bytes = 0;
  /// When the retransmission timer was (re)started and when the peer was last heard, milliseconds on the clock of
  /// StackOptions::now_ns modulo 2^32, so that no timer starts afresh at a takeover on one chassis. 0 = not running, unknown.
  std::uint32_t rtx_started_ms = 0;
  std::uint32_t last_heard_ms = 0;
  std::uint32_t ts_val = 0;  ///< highest RFC 7323 TSval that was sent; 0 = none yet

  bool operator==(const TcpState&) const = default;
};

/// Out-of-order data that was acknowledged selectively. The other stack must hold it, or the peer sees reneging.
struct OutOfOrderPiece {
  std::uint32_t seq = 0;
  bool fin = false;
  std::vector<std::uint8_t> bytes;
  bool operator==(const OutOfOrderPiece&) const = default;
};

/// A connection as a value: state and queues.
struct ConnectionImage {
  TcpState state;
  std::uint16_t service = 0;                ///< see Stack::define_service
  std::vector<std::uint8_t> send_queue;     ///< from snd_una (bytes_acked) to bytes_written
  std::vector<std::uint8_t> receive_queue;  ///< from bytes_consumed to bytes_received
  std::vector<OutOfOrderPiece> out_of_order;

  bool operator==(const ConnectionImage&) const = default;
};

/// Version of the layout that encode_* writes. Readers accept every version up to it.
inline constexpr std::uint16_t kTcpStateVersion = 1;

/// Appends `state` in a fixed little-endian layout with version and length in front.
void encode_tcp_state(const TcpState& state, std::vector<std::uint8_t>& out);
/// Bytes that encode_tcp_state writes in this version.
[[nodiscard]] std::size_t encoded_tcp_state_bytes();
/// Trusts nothing: a short, over-long, inconsistent or newer-and-mandatory layout gives nothing. `used` (may be null)
/// receives the bytes taken.
std::optional<TcpState> decode_tcp_state(Bytes in, std::size_t* used = nullptr);

/// The whole image, same rules.
void encode_connection(const ConnectionImage& image, std::vector<std::uint8_t>& out);
std::optional<ConnectionImage> decode_connection(Bytes in);

/// Why `state` cannot be a state of a TCP connection (sequence numbers out of order, queue lengths that do not fit, an
/// unknown phase, scale above 14, ...), or an empty text when it can. Used on every import and by the log's reader.
[[nodiscard]] std::string_view inconsistency(const TcpState& state);
/// The same for an image: its state, and queues whose lengths and places follow from it.
[[nodiscard]] std::string_view inconsistency(const ConnectionImage& image);

}  // namespace tandem
