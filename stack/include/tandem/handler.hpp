// SPDX-License-Identifier: BSD-3-Clause
//
// What an application writes for one kind of connection (design.md section 5).
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tandem/address.hpp"

namespace tandem {

class Connection;

/// One object a connection, on the primary and on the twin. All calls come from the stack's own thread. A handler may call
/// every function of Connection from within every call that is marked "primary"; calls marked "twin" decide nothing.
class Handler {
 public:
  virtual ~Handler() = default;

  /// Primary. The connection is established (RFC 9293), actively or passively opened.
  virtual void on_connected(Connection&) {}
  /// Primary. All bytes received and not consumed so far. Offered again, in the same turn when progress was made and else
  /// when more arrives or room to write appears, until Connection::consume has taken them. Long work is cut in slices: whoever
  /// returns when Stack::out_of_time() (c.stack()) holds is offered the rest at the beginning of the next turn.
  virtual void on_receive(Connection&, Bytes unread);
  /// Primary. Room in the send queue has grown, or the connection has just been promoted. Called again in the next turn when it
  /// returned while Stack::out_of_time() held.
  virtual void on_writable(Connection&) {}
  /// Primary and twin, once. The peer has sent FIN (RFC 9293 section 3.6), and every byte before it has been consumed, or
  /// offered to on_receive when no more was to come: then `connection.unread()` is what the handler left, half a message most
  /// often, and it may still be consumed, now or later. A handler that was short of room to write (it asked for
  /// Connection::writable and there was less than the whole queue) is not told before it has had room. On the primary the
  /// default closes the connection, which leaves what is unread lying.
  virtual void on_eof(Connection&);
  /// Primary and twin. Reset, given up or aborted (Connection::end_reason says which); nothing more comes, and the object is
  /// destroyed after the call.
  virtual void on_reset(Connection&) {}
  /// Primary and twin. Closed in good order, the peer has acknowledged our FIN and sent its own; the object is destroyed
  /// after the call (TIME_WAIT goes on without it).
  virtual void on_closed(Connection&) {}

  // A twin's calls come in exactly the order in which the primary's handlers were called and did what they did, across all
  // connections and the application's own notes. What has no call on the twin (on_receive, on_writable, on_promote,
  // Application::on_turn) may change a state that is to survive only by what is seen: consuming, writing, noting, closing.

  /// Twin. The primary's connection appeared: fresh, or from a snapshot with its queues as they were, and then on_eof follows
  /// at once if it was told there.
  virtual void on_opened(Connection&) {}
  /// Twin. The primary's handler has on_connected now; what it writes and notes there follows.
  virtual void on_established(Connection&) {}
  /// Twin, only if wants_stream(). What the primary's handler consumed and wrote, in its order and pieces.
  virtual void on_consumed(Connection&, Bytes) {}
  virtual void on_written(Connection&, Bytes) {}
  /// Twin. An application note of this connection (Connection::note), ordered with the streams.
  virtual void on_note(Connection&, Bytes) {}
  /// The process has become primary; this connection is alive here now. Unread bytes are offered afterwards.
  virtual void on_promote(Connection&) {}

  /// Whether on_consumed and on_written are needed on the twin. When not, received bytes that the handler consumes at once
  /// need not be mirrored at all. Must give the same answer during the whole life of the connection.
  [[nodiscard]] virtual bool wants_stream() const { return false; }

  /// State of this handler that neither stream carries, for a late joiner (primary) and back (twin), whole. Empty = none. It may be
  /// as long as a note (Node): while one is longer no twin is taken in, and the log says so. What grows belongs into Application::save,
  /// which is asked for pieces.
  [[nodiscard]] virtual std::vector<std::uint8_t> save(const Connection&) const { return {}; }
  virtual void restore(Connection&, Bytes) {}
};

/// Makes the handler of a new connection. An empty pointer refuses the connection (it is reset).
using HandlerFactory = std::function<std::unique_ptr<Handler>(Connection&)>;

}  // namespace tandem
