// SPDX-License-Identifier: BSD-3-Clause
//
// What every TCP connection's state satisfies. A state that does not comes from a corrupt log or a hostile export.
#include <algorithm>

#include "tandem/tcp_state.hpp"

namespace tandem {

namespace {

constexpr std::uint32_t kMaxWindow = 0xffffU << 14;  // RFC 7323 section 2.3
constexpr std::uint8_t kMaxScale = 14;
constexpr std::uint64_t kMaxQueueBytes = 1U << 30;
constexpr std::uint32_t kKnownFlags = (tcp_flag::kConnectedTold << 1) - 1;
constexpr std::size_t kMaxPieces = 1U << 16;

/// Sequence numbers from `from` to `to`, as a distance that is negative when `to` lies behind.
std::int32_t distance(std::uint32_t from, std::uint32_t to) { return static_cast<std::int32_t>(to - from); }

bool has_sent_fin(TcpPhase phase) {
  switch (phase) {
    case TcpPhase::fin_wait_1:
    case TcpPhase::fin_wait_2:
    case TcpPhase::closing:
    case TcpPhase::last_ack:
    case TcpPhase::time_wait:
      return true;
    default:
      return false;
  }
}

bool has_received_fin(TcpPhase phase) {
  switch (phase) {
    case TcpPhase::close_wait:
    case TcpPhase::closing:
    case TcpPhase::last_ack:
    case TcpPhase::time_wait:
      return true;
    default:
      return false;
  }
}

bool is_opening(TcpPhase phase) { return phase == TcpPhase::syn_sent || phase == TcpPhase::syn_rcvd; }

bool is_valid_address(const IpAddress& address) {
  if (address.version == 4) {
    return std::all_of(address.octets.begin() + 4, address.octets.end(), [](std::uint8_t octet) { return octet == 0; });
  }
  return address.version == 6;
}

std::string_view tuple_inconsistency(const TcpState& state) {
  if (!is_valid_address(state.local.address) || !is_valid_address(state.remote.address)) {
    return "an address is of no known IP version";
  }
  if (state.local.address.version != state.remote.address.version) {
    return "the two addresses are of different IP versions";
  }
  if (state.local.address.is_any() || state.remote.address.is_any()) {
    return "an address is unspecified";
  }
  if (state.local.port == 0 || state.remote.port == 0) {
    return "a port is zero";
  }
  return {};
}

std::string_view send_inconsistency(const TcpState& state) {
  const bool fin = (state.flags & tcp_flag::kFinQueued) != 0;
  if (state.bytes_acked > state.bytes_written) {
    return "more is acknowledged than was written";
  }
  if (state.bytes_written - state.bytes_acked > kMaxQueueBytes) {
    return "the send queue is longer than any";
  }
  if (state.write_seq != state.iss + 1 + static_cast<std::uint32_t>(state.bytes_written) + (fin ? 1U : 0U)) {
    return "write_seq does not follow from iss and the bytes written";
  }
  const auto una_of_bytes = state.iss + 1 + static_cast<std::uint32_t>(state.bytes_acked);
  if (is_opening(state.phase)) {
    if (state.snd_una != state.iss || state.bytes_acked != 0) {
      return "something is acknowledged before the connection is established";
    }
    const auto sent = distance(state.iss, state.snd_nxt);
    if (sent < 0 || sent > 1) {
      return "something but a SYN was sent before the connection is established";
    }
  } else {
    const bool fin_acked = fin && state.bytes_acked == state.bytes_written && state.snd_una == una_of_bytes + 1;
    if (state.snd_una != una_of_bytes && !fin_acked) {
      return "snd_una does not follow from iss and the bytes acknowledged";
    }
    if ((state.phase == TcpPhase::fin_wait_2 || state.phase == TcpPhase::time_wait) && !fin_acked) {
      return "the phase says that our FIN is acknowledged, snd_una does not";
    }
    if (distance(state.snd_una, state.snd_nxt) < 0 || distance(state.snd_nxt, state.write_seq) < 0) {
      return "snd_una, snd_nxt and write_seq are out of order";
    }
  }
  if (state.rexmit_bytes > static_cast<std::uint32_t>(distance(state.snd_una, state.snd_nxt))) {
    return "more waits to be sent again than is outstanding";
  }
  if (state.snd_wnd > kMaxWindow || state.snd_wnd_max > kMaxWindow) {
    return "the send window is larger than any";
  }
  if (state.mss == 0) {
    return "the MSS is zero";
  }
  return {};
}

std::string_view receive_inconsistency(const TcpState& state) {
  const bool fin = (state.flags & tcp_flag::kFinReceived) != 0;
  if (state.bytes_consumed > state.bytes_received) {
    return "more is consumed than was received";
  }
  if (state.bytes_received - state.bytes_consumed > kMaxQueueBytes) {
    return "the receive queue is longer than any";
  }
  if (state.rcv_wnd > kMaxWindow) {
    return "the receive window is larger than any";
  }
  if (is_opening(state.phase) && state.bytes_received != 0) {
    return "something was received before the connection is established";
  }
  if (state.phase == TcpPhase::syn_sent) {
    return {};
  }
  if (state.rcv_nxt != state.irs + 1 + static_cast<std::uint32_t>(state.bytes_received) + (fin ? 1U : 0U)) {
    return "rcv_nxt does not follow from irs and the bytes received";
  }
  if (distance(state.rcv_nxt, state.rcv_right_edge) > static_cast<std::int32_t>(kMaxWindow) ||
      distance(state.rcv_right_edge, state.rcv_nxt) > static_cast<std::int32_t>(kMaxWindow)) {
    return "the right edge of the receive window is far from rcv_nxt";
  }
  return {};
}

}  // namespace

std::string_view inconsistency(const TcpState& state) {
  if (state.phase <= TcpPhase::listen || state.phase > TcpPhase::time_wait) {
    return "the phase is not that of a connection";
  }
  if ((state.flags & ~kKnownFlags) != 0) {
    return "an unknown flag is set";
  }
  if (state.snd_scale > kMaxScale || state.rcv_scale > kMaxScale) {
    return "a window scale is above 14";
  }
  if (((state.flags & tcp_flag::kFinQueued) != 0) != has_sent_fin(state.phase)) {
    return "the phase and our FIN contradict each other";
  }
  if (((state.flags & tcp_flag::kFinReceived) != 0) != has_received_fin(state.phase)) {
    return "the phase and the peer's FIN contradict each other";
  }
  if ((state.flags & tcp_flag::kEofTold) != 0 && (state.flags & tcp_flag::kFinReceived) == 0) {
    return "the handler was told of a FIN that was not received";
  }
  if ((state.flags & tcp_flag::kClosedTold) != 0 &&
      (state.phase != TcpPhase::time_wait || (state.flags & tcp_flag::kEofTold) == 0)) {
    return "the handler was told of an end that has not come";
  }
  for (const auto part : {tuple_inconsistency, send_inconsistency, receive_inconsistency}) {
    if (const auto why = part(state); !why.empty()) {
      return why;
    }
  }
  return {};
}

std::string_view inconsistency(const ConnectionImage& image) {
  const TcpState& state = image.state;
  if (const auto why = inconsistency(state); !why.empty()) {
    return why;
  }
  if (image.send_queue.size() != state.bytes_written - state.bytes_acked) {
    return "the send queue's length is not what the state says";
  }
  if (image.receive_queue.size() != state.bytes_received - state.bytes_consumed) {
    return "the receive queue's length is not what the state says";
  }
  if (image.out_of_order.size() > kMaxPieces) {
    return "there are more out-of-order pieces than any window holds";
  }
  for (const auto& piece : image.out_of_order) {
    if (state.phase == TcpPhase::syn_sent || piece.bytes.size() > kMaxWindow ||
        distance(state.rcv_nxt, piece.seq) < 0 ||
        distance(state.rcv_nxt, piece.seq) > static_cast<std::int32_t>(kMaxWindow)) {
      return "an out-of-order piece lies outside of the receive window";
    }
  }
  return {};
}

}  // namespace tandem
