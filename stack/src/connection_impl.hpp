// SPDX-License-Identifier: BSD-3-Clause
//
// A connection inside. It is in one of these conditions:
//
//   linked    pcb != null: lwIP runs it
//   dormant   pcb == null, !gone: a twin's, or a promoted process's that no packet has reached yet. `shown` is its state.
//   gone      its pcb was freed; the observer and the handler know, the object goes when the turn ends
//
// The two streams, as 64-bit positions:
//
//   send      acked <= fed <= send.end()        fed: what lwIP's segments cover; the rest waits in our queue
//   receive   consumed <= received              between them: `direct` (a frame that is being offered) or `receive`
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "answer_bucket.hpp"
#include "out_of_order_queue.hpp"
#include "receive_queue.hpp"
#include "send_queue.hpp"
#include "tandem/connection.hpp"
#include "tandem/observer.hpp"
#include "tandem/stack.hpp"

struct tcp_pcb;
struct pbuf;

namespace tandem {

struct Listener;

/// Whether a handler's turn is cut when the stack's deadline has come.
enum class Serving : std::uint8_t { in_time, to_the_end };

struct Connection::Impl {
  Impl(Stack::Impl& stack, ConnectionId id, std::uint16_t service, Replication replication);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Connection handle;
  Stack::Impl& stack;
  const ConnectionId id;
  std::size_t place = 0;  ///< in stack.everyone
  const std::uint16_t service;
  Endpoint local;
  Endpoint remote;
  std::unique_ptr<Handler> handler;
  tcp_pcb* pcb = nullptr;

  SendQueue send;
  ReceiveQueue receive;
  Bytes direct;                  ///< unread bytes of the frame that is being offered; then `receive` is empty
  OutOfOrderQueue out_of_order;  ///< dormant only: a linked connection has them in lwIP

  std::uint64_t acked = 0;
  std::uint64_t fed = 0;
  std::uint64_t received = 0;
  std::uint64_t consumed = 0;

  std::uint32_t iss = 0;
  std::uint32_t irs = 0;
  EndReason end_reason = EndReason::none;
  std::uint64_t may_answer_ns = 0;  ///< an ACK outside of the window
  AnswerBucket challenges;
  std::uint32_t ts_offset = 0;  ///< added to the stack's clock, so that TSval never goes back (RFC 7323 section 5.4)
  std::uint32_t ts_val = 0;

  /// Linked: what the observer was shown last. Dormant: the mirrored state.
  TcpState shown;

  bool replicated : 1;
  bool wants_stream : 1 = false;
  bool active_open : 1 = false;
  bool connected : 1 = false;  ///< on_connected was called, here or on another stack
  bool fin_received : 1 = false;
  bool eof_delivered : 1 = false;
  bool closed_delivered : 1 = false;  ///< in TIME_WAIT; then there is no handler any more
  bool close_requested : 1 = false;
  bool half_closed : 1 = false;  ///< with `close_requested`: the peer may take as long as it likes
  bool reset : 1 = false;        ///< how it went, once `gone`
  bool gone : 1 = false;
  bool abort_requested : 1 = false;
  bool unsettled : 1 = false;      ///< bytes were mirrored that the state does not count yet
  bool announced : 1 = false;      ///< replicated, and the observer knows it (on_open)
  bool state_unshown : 1 = false;  ///< on_state is due whatever the state is
  bool in_touched : 1 = false;
  bool in_work : 1 = false;
  bool in_starved : 1 = false;
  bool in_time_wait : 1 = false;
  bool live : 1 = false;        ///< established, and not over yet
  bool in_closing : 1 = false;  ///< of stack.closing
  bool promote_due : 1 = false;
  bool connect_due : 1 = false;
  bool offer_due : 1 = false;
  bool room_due : 1 = false;
  bool room_was_short : 1 = false;  ///< in the last offer the handler asked for room and there was less than all
  bool kick_hold : 1 = false;       ///< data waits for the answer to a kick
  bool kick_answered : 1 = false;

  // ---- Kick (kick.cpp) ----
  std::uint64_t kick_next_ns = 0;
  std::uint8_t kicks_sent = 0;
  Listener* half_open_at = nullptr;  ///< counts it in its backlog
  std::size_t closing_place = 0;     ///< in stack.closing, if it is there

  // ---- Place in the stack's list of dormant connections (dormant_list.hpp) ----
  Impl* older = nullptr;
  Impl* newer = nullptr;
  bool urgent = false;
  bool listed = false;

  [[nodiscard]] Bytes unread() const { return direct.empty() ? receive.unread() : direct; }
  [[nodiscard]] std::uint32_t seq_of_position(std::uint64_t position) const {
    return iss + 1 + static_cast<std::uint32_t>(position);
  }

  // ---- Sending (send_path.cpp) ----
  bool write(Bytes bytes);
  [[nodiscard]] std::size_t send_room() const;
  /// Takes note of what the peer has acknowledged, and frees it.
  void update_acked();
  /// Gives lwIP as much as TCP can use soon, and the FIN behind the last byte.
  void feed();
  /// feed(), then everything leaves that may.
  void flush();
  void request_close(bool half);

  // ---- Receiving (receive_path.cpp) ----
  /// Takes over lwIP's reference. False when the connection was aborted meanwhile.
  bool take_data(pbuf* data);
  void take_fin();
  void consume(std::size_t count);

  // ---- Handler (serve.cpp) ----
  /// Runs what is due for the handler. True when it wants to go on in the next turn.
  bool serve(Serving how);
  void begin_serving();
  /// Twin. The handler of a passive open is made when the handshake is complete; false when the service refuses it.
  bool ensure_handler();
  /// A passive open whose peer has not answered our SYN-ACK: it has no handler yet, and nothing can be written to it.
  [[nodiscard]] bool is_half_open() const;
  /// The one place from which a handler is told what a twin's is told too. Either role.
  void tell(Told what);
  void deliver_eof();
  void deliver_closed();
  void finish(bool was_reset);

  // ---- Twin (mirror.cpp) ----
  [[nodiscard]] bool is_mirrored() const;
  bool mirror_received(Bytes bytes);
  bool mirror_skipped(std::uint64_t count);
  bool mirror_out_of_order(std::uint32_t seq, Bytes bytes, bool fin);
  bool mirror_written(Bytes bytes);
  bool mirror_consumed(std::uint64_t count);
  bool mirror_note(Bytes bytes);
  bool mirror_told(Told what);
  bool mirror_state(const TcpState& state);

  // ---- State (pcb_state.cpp) ----
  [[nodiscard]] TcpState state() const;
  /// What the application has asked for and what it was told, as tcp_flag.
  [[nodiscard]] std::uint32_t requests() const;
  [[nodiscard]] std::vector<OutOfOrderPiece> out_of_order_pieces() const;
  [[nodiscard]] ConnectionImage image() const;
  /// Takes positions and flags from `state`; the queues are the caller's.
  void adopt_state(const TcpState& state);
  /// Makes a pcb from `shown` and the queues, and links it. False when memory is short.
  bool link(Stack::Adoption adoption);
  bool ensure_linked();

 private:
  /// Both are false when memory is short.
  bool import_send_side(const TcpState& state, bool exact);
  bool import_out_of_order();
};

}  // namespace tandem
