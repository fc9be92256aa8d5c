// SPDX-License-Identifier: BSD-3-Clause
//
// What the stack tells about its replicated connections, in the order in which it happens. ha/ implements it with the
// transaction log (design.md sections 3 and 4); the stack includes nothing of ha/. Only replicated connections are shown,
// except where said.
#pragma once

#include <cstdint>

#include "tandem/address.hpp"
#include "tandem/tcp_state.hpp"

namespace tandem {

class Connection;

/// A resolved ARP (RFC 826) or ND (RFC 4861) entry.
struct Neighbour {
  IpAddress address;
  MacAddress mac;
  auto operator<=>(const Neighbour&) const = default;
};

/// What a handler is told, on the primary when it happens and on the twin in the same place of the order. Numbers of the log.
enum class Told : std::uint8_t {
  connected = 1,  ///< Handler::on_connected, on the twin Handler::on_established
  eof = 2,        ///< Handler::on_eof
  closed = 3,     ///< Handler::on_closed, while the connection stays in TIME_WAIT without a handler
};

class ConnectionObserver {
 public:
  virtual ~ConnectionObserver() = default;

  /// The connection exists from now on: SYN_SENT, SYN_RCVD, or later when it is tagged late (Connection::replicate); then the
  /// observer reads the queues from the connection itself, they are not shown again.
  virtual void on_open(Connection& connection) = 0;
  /// `bytes` came in order, behind all earlier ones, and are unread.
  virtual void on_received(Connection& connection, Bytes bytes) = 0;
  /// `count` bytes came in order and were consumed at once, and nobody needs to see them (Handler::wants_stream).
  virtual void on_skipped(Connection& connection, std::uint64_t count) = 0;
  virtual void on_out_of_order(Connection& connection, std::uint32_t seq, Bytes bytes, bool fin) = 0;
  virtual void on_written(Connection& connection, Bytes bytes) = 0;
  virtual void on_consumed(Connection& connection, std::uint64_t count) = 0;
  virtual bool on_note(Connection& connection, Bytes bytes) = 0;
  /// The handler is about to be told; what it does about that is shown next.
  virtual void on_told(Connection& connection, Told what) = 0;
  /// Once a turn, from Stack::end_turn, for each connection whose state a packet or a call has touched.
  virtual void on_state(Connection& connection, const TcpState& state) = 0;
  /// The connection is gone (closed, reset, aborted, TIME_WAIT over). `reset` tells how. If it still has a handler that is told
  /// next: on_reset or on_closed.
  virtual void on_close(Connection& connection, bool reset) = 0;
  /// A neighbour entry is new or has changed (shown whether or not a replicated connection uses it).
  virtual void on_neighbour(const Neighbour& neighbour) = 0;
};

}  // namespace tandem
