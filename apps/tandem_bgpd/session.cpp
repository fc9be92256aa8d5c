// SPDX-License-Identifier: BSD-3-Clause
#include "session.hpp"

#include <algorithm>
#include <array>

#include "tandem/planted.hpp"

namespace tandem::bgpd {
namespace {

/// RFC 4271 section 4: no message is longer.
constexpr std::size_t kMaxMessageBytes = 4096;
/// Bounds what one call takes, a message or some short ones: between two calls the stack looks at the time.
constexpr std::size_t kReceivePieceBytes = kMaxMessageBytes;
/// Bounds how long the others wait for one to whom much is said.
constexpr int kMessagesPerPump = 16;
/// A session whose hold time is 0 says nothing for days. That its peer has gone is found out by TCP (RFC 9293 section 3.8.4).
constexpr std::uint32_t kSilentIdle_ms = 60'000, kSilentInterval_ms = 10'000, kSilentProbes = 6;
/// When a peer is to show that it still has the connection it is asked so often.
constexpr std::uint32_t kProbeInterval_ms = 1'000;
/// Never reached: the application decides when the peer has been asked often enough.
constexpr std::uint32_t kProbes = 200;

bool is_twin(const Connection& connection) { return connection.stack().is_dormant(); }

}  // namespace

Session::~Session() {
  application_.stop_waiting(*this);
  if (link_) application_.unbind(*link_, *this);
}

void Session::send_note(Connection& connection, Note note) {
  const std::array<std::uint8_t, 5> bytes = {static_cast<std::uint8_t>(note), static_cast<std::uint8_t>(direction_),
                                             static_cast<std::uint8_t>(link_->neighbor),
                                             static_cast<std::uint8_t>(link_->neighbor >> 8),
                                             static_cast<std::uint8_t>(link_->neighbor >> 16)};
  connection.note(bytes);
}

void Session::begin(Connection& connection, bgp::Link link) {
  connection_ = &connection;
  link_ = link;
  application_.bind(link, *this);
}

void Session::open(Connection& connection) {
  bgp::Speaker& speaker = application_.speaker();
  const std::uint64_t now_ms = application_.now_ms();
  connection_ = &connection;
  if (direction_ == bgp::Direction::incoming) {
    const auto link = speaker.accept(to_bgp(connection.remote().address), now_ms);
    // An older connection may have been given up for this one: it goes first.
    application_.run_actions();
    if (!link) {
      // The peer has a session. Who comes again may have forgotten it (RFC 4271 section 6.8, for Established).
      if (!application_.wait_for_place(*this)) connection.abort();
      return;
    }
    link_ = *link;
    application_.bind(*link_, *this);
  }
  if (!link_) return;
  opened_ = true;
  send_note(connection, Note::opened);
  connection.set_no_delay(true);
  speaker.transport_connected(*link_, application_.endpoints_of(connection), now_ms);
  application_.touch();
}

void Session::on_connected(Connection& connection) {
  connected_ = true;
  open(connection);
}

void Session::on_established(Connection&) { connected_ = true; }

void Session::on_receive(Connection& connection, Bytes unread) {
  if (!opened_) return;
  const std::size_t taken = application_.speaker().receive(
      *link_, unread.first(std::min(unread.size(), kReceivePieceBytes)), application_.now_ms());
  if (taken == 0) return;
  connection.consume(taken);
  application_.touch();
}

void Session::on_writable(Connection&) {
  if (opened_) application_.touch();
}

void Session::retry() {
  open(*connection_);
  // What has come meanwhile was offered and left.
  has_left_ = opened_;
}

void Session::go_on_receiving() {
  has_left_ = false;
  for (std::size_t left = 0; opened_ && left != connection_->unread().size();) {
    left = connection_->unread().size();
    if (left != 0) on_receive(*connection_, connection_->unread());
  }
}

void Session::refuse() { connection_->abort(); }

void Session::is_up() {
  if (connection_ != nullptr && link_) keep_alive(*connection_);
}

void Session::keep_alive(Connection& connection) {
  const auto agreed = application_.speaker().negotiated(*link_);
  if (agreed && agreed->hold_time_s == 0)
    connection.set_keepalive(kSilentIdle_ms, kSilentInterval_ms, kSilentProbes);
  else if ((connection.state().flags & tcp_flag::kKeepalive) != 0)
    connection.set_keepalive(0, 0, 0);
}

std::uint64_t Session::heard() const {
  return std::uint64_t{connection_->state().last_heard_ms} << 32 | (connection_->bytes_received() & UINT32_MAX);
}

void Session::ask() {
  const auto silent_ms = static_cast<std::uint32_t>(application_.now_ms()) - connection_->state().last_heard_ms;
  connection_->set_keepalive(silent_ms + 1, kProbeInterval_ms, kProbes);
}

bool Session::is_asked() const {
  const TcpState state = connection_->state();
  return (state.flags & tcp_flag::kKeepalive) != 0 && state.keep_interval_ms == kProbeInterval_ms;
}

void Session::stop_asking() {
  if (connection_ != nullptr && link_) keep_alive(*connection_);
}

void Session::give_up() { connection_->abort(); }

bool Session::pump(Pumping how) {
  if (has_left_ && opened_) go_on_receiving();
  if (!opened_ || connection_ == nullptr) return false;
  std::array<std::uint8_t, kMaxMessageBytes> room;
  for (int messages = 0; messages < kMessagesPerPump && opened_; ++messages) {
    if (TANDEM_PLANTED(bgp_turn_unbounded)) messages = 0;
    if (messages != 0 && how == Pumping::in_time && connection_->stack().out_of_time()) return true;
    const std::size_t writable = std::min(connection_->writable(), room.size());
    std::size_t written = 0;
    switch (application_.speaker().next_message(*link_, std::span(room).first(writable), written)) {
      case bgp::Pulled::message:
        connection_->write(std::span(room).first(written));
        break;
      case bgp::Pulled::idle:
      case bgp::Pulled::no_room:
        return false;
      case bgp::Pulled::busy:
        break;
    }
  }
  return opened_;
}

void Session::finish() {
  has_left_ = false;
  if (connection_ == nullptr) return;
  Connection& connection = *connection_;
  while (pump(Pumping::to_the_end)) {
  }
  if (opened_) {
    opened_ = false;
    send_note(connection, Note::detached);
  }
  if (link_) application_.unbind(*link_, *this);
  link_.reset();
  connection_ = nullptr;
  connection.close();
}

void Session::detach(Connection& connection) {
  application_.stop_waiting(*this);
  if (!link_) return;
  const bgp::Link link = *link_;
  const bool held = application_.unbind(link, *this);
  link_.reset();
  connection_ = nullptr;
  opened_ = false;
  // An attempt that was given up may end after the next one has begun, which its end does not concern.
  if (!held) return;
  if (is_twin(connection)) {
    application_.speaker().observe_closed(link, application_.now_ms());
  } else {
    const EndReason why = connection.end_reason();
    application_.speaker().transport_closed(
        link, application_.now_ms(), why == EndReason::none ? "the neighbor closed the connection" : to_string(why));
    application_.touch();
  }
}

void Session::on_eof(Connection& connection) {
  detach(connection);
  if (!is_twin(connection)) connection.close();
}

void Session::on_reset(Connection& connection) { detach(connection); }
void Session::on_closed(Connection& connection) { detach(connection); }

void Session::on_opened(Connection& connection) {
  connection_ = &connection;
  connected_ = connection.phase() == TcpPhase::established;
  // One that is further has its link from a note, or from the snapshot; or it has none any more and is only being closed.
  if (direction_ == bgp::Direction::incoming || connection.phase() != TcpPhase::syn_sent) return;
  const auto neighbor = application_.speaker().find_neighbor(to_bgp(connection.remote().address));
  if (!neighbor) return;
  link_ = bgp::Link{*neighbor, direction_};
  application_.bind(*link_, *this);
  if (is_twin(connection)) application_.speaker().observe_connecting(*link_);
}

void Session::on_note(Connection& connection, Bytes bytes) {
  if (bytes.size() != 5) return;
  const auto note = static_cast<Note>(bytes[0]);
  const bgp::Link link{static_cast<std::uint32_t>(bytes[2] | bytes[3] << 8 | bytes[4] << 16),
                       static_cast<bgp::Direction>(bytes[1])};
  if (link.neighbor >= application_.speaker().neighbor_count() || link.direction != direction_) return;
  if (note == Note::opened) {
    link_ = link;
    opened_ = true;
    connection_ = &connection;
    application_.bind(link, *this);
    application_.speaker().observe_opened(link, application_.endpoints_of(connection), application_.now_ms());
  } else if (note == Note::detached) {
    detach(connection);
  }
}

void Session::on_consumed(Connection&, Bytes bytes) {
  if (!opened_) return;
  application_.speaker().observe_received(*link_, bytes, application_.now_ms());
  application_.sweep();
}

void Session::on_written(Connection&, Bytes bytes) {
  if (opened_) application_.speaker().observe_written(*link_, bytes, application_.now_ms());
}

void Session::on_promote(Connection& connection) {
  connection_ = &connection;
  application_.touch();
  if (link_) {
    keep_alive(connection);
  } else if (connected_ && direction_ == bgp::Direction::incoming && connection.phase() == TcpPhase::established &&
             (connection.state().flags & (tcp_flag::kCloseRequested | tcp_flag::kAbortRequested)) == 0) {
    // It waited for a place with the predecessor, of which nothing is mirrored.
    open(connection);
  }
}

std::vector<std::uint8_t> Session::save(const Connection&) const {
  if (!link_ || !opened_) return {};
  std::vector<std::uint8_t> bytes = {static_cast<std::uint8_t>(link_->neighbor),
                                     static_cast<std::uint8_t>(link_->neighbor >> 8),
                                     static_cast<std::uint8_t>(link_->neighbor >> 16)};
  const std::vector<std::uint8_t> piece = application_.speaker().save_neighbor(link_->neighbor, application_.now_ms());
  bytes.insert(bytes.end(), piece.begin(), piece.end());
  return bytes;
}

void Session::restore(Connection& connection, Bytes bytes) {
  if (bytes.size() < 3) return;
  const bgp::Link link{static_cast<std::uint32_t>(bytes[0] | bytes[1] << 8 | bytes[2] << 16), direction_};
  if (link.neighbor >= application_.speaker().neighbor_count()) return;
  link_ = link;
  opened_ = true;
  connection_ = &connection;
  application_.bind(link, *this);
  application_.restore_piece(bytes.subspan(3));
}

}  // namespace tandem::bgpd
