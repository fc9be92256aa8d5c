// SPDX-License-Identifier: BSD-3-Clause
//
// One TCP connection as an application sees it (design.md section 5). Handles are owned by the Stack and stay valid until
// the handler's on_closed / on_reset has returned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "tandem/address.hpp"
#include "tandem/end_reason.hpp"
#include "tandem/handler.hpp"
#include "tandem/tcp_state.hpp"

namespace tandem {

class Stack;

/// Names a connection in the log; unique in a group's life, never reused.
using ConnectionId = std::uint64_t;

/// Whether a connection is mirrored to the twin.
enum class Replication : std::uint8_t { unreplicated = 0, replicated = 1 };
inline constexpr Replication replicated = Replication::replicated;
inline constexpr Replication unreplicated = Replication::unreplicated;

class Connection {
 public:
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] ConnectionId id() const;
  [[nodiscard]] Endpoint local() const;
  [[nodiscard]] Endpoint remote() const;
  [[nodiscard]] std::uint16_t service() const;
  [[nodiscard]] bool is_replicated() const;
  [[nodiscard]] TcpPhase phase() const;
  /// All sequence state and figures in the field's names. Either role; O(1), no side effect.
  [[nodiscard]] TcpState state() const;
  /// Why it ended: in Handler::on_reset and on_closed; `none` before. Either role.
  [[nodiscard]] EndReason end_reason() const;
  /// None yet while a passive open waits for the peer's ACK, and none any more in TIME-WAIT.
  [[nodiscard]] Handler* handler() const;
  [[nodiscard]] Stack& stack() const;

  /// Bytes that write() would take now: free room in the send queue, 0 once closed, and 0 while a takeover finds no memory for
  /// the connection; Handler::on_writable() follows. Primary.
  [[nodiscard]] std::size_t writable() const;
  /// Queues all of `bytes` behind what was written before, or nothing: false when writable() < bytes.size() or the
  /// connection is closing. The bytes are copied; nothing leaves before the turn is committed. Primary.
  bool write(Bytes bytes);
  /// Bytes received in order and not consumed.
  [[nodiscard]] Bytes unread() const;
  /// Takes the first `count` (<= unread().size()) unread bytes for good; opens the window. Primary.
  void consume(std::size_t count);
  /// 64-bit stream positions: bytes written, acknowledged, received and consumed since the connection opened.
  [[nodiscard]] std::uint64_t bytes_written() const;
  [[nodiscard]] std::uint64_t bytes_acked() const;
  [[nodiscard]] std::uint64_t bytes_received() const;
  [[nodiscard]] std::uint64_t bytes_consumed() const;

  /// An opaque note to the same handler on the twin, ordered with both streams, which gets it whole. Primary, replicated; else
  /// ignored. False: it does not fit into the log (Node's notes say how long one may be). Then nothing of this turn reaches the twin,
  /// which is removed, and comes back with a snapshot: what was to be noted has to be in Handler::save() by then.
  bool note(Bytes bytes);
  /// Sends FIN behind what was written. What the peer still sends is offered as before, but whoever stays silent is not waited
  /// for without end: StackLimits::fin_wait_2_ms, then on_reset. Idempotent. Primary.
  void close();
  /// The same, and reads on for as long as the peer wants (RFC 9293 section 3.6, a half close); close() ends that. Primary.
  void half_close();
  /// Sends RST and forgets the connection; on_reset follows. Primary.
  void abort();
  void set_no_delay(bool on);
  /// RFC 9293 section 3.8.4 keepalives; 0 ms turns them off.
  void set_keepalive(std::uint32_t idle_ms, std::uint32_t interval_ms, std::uint32_t count);
  /// Tags an unreplicated connection for replication from now on (design.md section 4): both its queues go into the log in this turn.
  /// Who tags many connections that are full takes some a turn, so that all fit (see Node's notes on what does not). Primary.
  void replicate();

  /// The send queue's bytes from stream position `from` (>= bytes_acked) to `to` (<= bytes_written), in pieces, in order.
  void visit_send_queue(std::uint64_t from, std::uint64_t to, const std::function<void(Bytes)>& visit) const;
  /// What was received out of order and not yet delivered.
  [[nodiscard]] std::vector<OutOfOrderPiece> out_of_order() const;

  /// State and queues as a value, at a turn's boundary; the connection itself is not changed.
  [[nodiscard]] ConnectionImage export_connection() const;

  struct Impl;

 private:
  friend class Stack;
  explicit Connection(Impl& impl) : impl_(&impl) {}
  ~Connection() = default;
  Impl* impl_;
};

}  // namespace tandem
