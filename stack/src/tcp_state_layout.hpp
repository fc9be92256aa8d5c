// SPDX-License-Identifier: BSD-3-Clause
//
// The layout of an encoded TcpState, version 1. All integers little-endian, no padding between fields.
// It grows at its end only, and keeps its version then: a reader leaves what stands behind the fields that it knows, and takes the
// defaults for those that the length does not reach. Another version is another layout, and is refused.
//
//   offset  bytes  field
//        0      2  version (1)
//        2      2  zero; a writer whose readers must know more than these fields sets it, and is refused by others
//        4      4  length of the whole, these eight bytes included
//        8      .  the fields below
//
// An endpoint is 20 bytes: IP version (4 or 6), a zero byte, port, 16 octets of the address in network order (IPv4: the first
// four, the others zero).
//
// New fields go to the end of the table, and raise kTcpStateBytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tandem::layout {

inline constexpr std::size_t kHeaderBytes = 8;
inline constexpr std::size_t kEndpointBytes = 20;

// F(offset, bytes, field)
#define TANDEM_TCP_STATE_FIELDS(F) \
  F(8, 20, local)                  \
  F(28, 20, remote)                \
  F(48, 1, phase)                  \
  F(49, 1, snd_scale)              \
  F(50, 1, rcv_scale)              \
  F(51, 1, ttl)                    \
  F(52, 1, tos)                    \
  F(53, 1, priority)               \
  F(54, 1, retransmissions)        \
  F(55, 1, dupacks)                \
  F(56, 4, flags)                  \
  F(60, 4, iss)                    \
  F(64, 4, irs)                    \
  F(68, 4, snd_una)                \
  F(72, 4, snd_nxt)                \
  F(76, 4, write_seq)              \
  F(80, 4, snd_wnd)                \
  F(84, 4, snd_wnd_max)            \
  F(88, 4, snd_wl1)                \
  F(92, 4, snd_wl2)                \
  F(96, 4, rcv_nxt)                \
  F(100, 4, rcv_wnd)               \
  F(104, 4, rcv_right_edge)        \
  F(108, 4, cwnd)                  \
  F(112, 4, ssthresh)              \
  F(116, 4, rto_end)               \
  F(120, 4, ts_recent)             \
  F(124, 4, ts_last_ack_sent)      \
  F(128, 4, keep_idle_ms)          \
  F(132, 4, keep_interval_ms)      \
  F(136, 4, keep_count)            \
  F(140, 4, srtt_ms)               \
  F(144, 4, rttvar_ms)             \
  F(148, 4, rto_ms)                \
  F(152, 2, mss)                   \
  F(154, 1, persist_backoff)       \
  F(155, 8, bytes_written)         \
  F(163, 8, bytes_acked)           \
  F(171, 8, bytes_received)        \
  F(179, 8, bytes_consumed)        \
  F(187, 4, rexmit_bytes)          \
  F(191, 4, rtx_started_ms)        \
  F(195, 4, last_heard_ms)         \
  F(199, 4, ts_val)

inline constexpr std::size_t kTcpStateBytes = 203;

// Each field begins where the one before it ends.
constexpr bool fields_are_contiguous() {
  std::size_t next = kHeaderBytes;
  bool contiguous = true;
#define TANDEM_CHECK_FIELD(offset, bytes, field) \
  contiguous = contiguous && next == (offset);   \
  next += (bytes);
  TANDEM_TCP_STATE_FIELDS(TANDEM_CHECK_FIELD)
#undef TANDEM_CHECK_FIELD
  return contiguous && next == kTcpStateBytes;
}
static_assert(fields_are_contiguous());

// An encoded ConnectionImage, version 1:
//
//   offset  bytes  field
//        0      2  version (1)
//        2      2  service
//        4      4  length of the whole, these eight bytes included
//        8      .  TcpState, as above
//               4  length of the send queue, then its bytes
//               4  length of the receive queue, then its bytes
//               4  number of out-of-order pieces, then for each:
//                    4  sequence number
//                    4  bit 31: FIN; bits 0 to 30: length, then its bytes
inline constexpr std::uint32_t kPieceFin = 1U << 31;

}  // namespace tandem::layout
