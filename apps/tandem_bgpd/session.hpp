// SPDX-License-Identifier: BSD-3-Clause
//
// One TCP connection of the speaker's. What the twin cannot see in the two streams, when a connection is given to the speaker and
// when it is taken away again, travels as notes, in order with them.
#pragma once

#include <optional>

#include "bgp_application.hpp"

namespace tandem::bgpd {

class Session final : public Handler {
 public:
  Session(BgpApplication& application, bgp::Direction direction) : application_(application), direction_(direction) {}
  ~Session() override;

  // Primary.
  void on_connected(Connection& connection) override;
  void on_receive(Connection& connection, Bytes unread) override;
  void on_writable(Connection& connection) override;
  void on_promote(Connection& connection) override;

  // Twin.
  void on_opened(Connection& connection) override;
  void on_established(Connection& connection) override;
  void on_consumed(Connection& connection, Bytes bytes) override;
  void on_written(Connection& connection, Bytes bytes) override;
  void on_note(Connection& connection, Bytes bytes) override;
  [[nodiscard]] bool wants_stream() const override { return true; }

  // Both.
  void on_eof(Connection& connection) override;
  void on_reset(Connection& connection) override;
  void on_closed(Connection& connection) override;
  [[nodiscard]] std::vector<std::uint8_t> save(const Connection& connection) const override;
  void restore(Connection& connection, Bytes bytes) override;

  /// Primary: the connection that this end opens for `link`.
  void begin(Connection& connection, bgp::Link link);
  /// Writes what the speaker has to say, as far as there is room and time. True when there may be more in a later turn without
  /// any event of the connection's.
  enum class Pumping : std::uint8_t { in_time, to_the_end };
  bool pump(Pumping how = Pumping::in_time);
  /// The speaker is done with the connection: says what is left to say, closes.
  void finish();
  /// Its session is Established.
  void is_up();

  // Whoever comes while its neighbour has a session waits, until that one's peer has shown whether it still has it.
  /// The place may be free now.
  void retry();
  /// It is not.
  void refuse();
  /// The one that has the place: what was heard of its peer; asks it to answer, and stops that; gives the connection up.
  [[nodiscard]] std::uint64_t heard() const;
  void ask();
  [[nodiscard]] bool is_asked() const;
  void stop_asking();
  void give_up();
  [[nodiscard]] Connection* connection() const { return connection_; }

 private:
  enum class Note : std::uint8_t { opened = 1, detached = 2 };

  void open(Connection& connection);
  void keep_alive(Connection& connection);
  void go_on_receiving();
  void send_note(Connection& connection, Note note);
  /// The connection is lost or given up; the speaker hears of it once.
  void detach(Connection& connection);

  BgpApplication& application_;
  bgp::Direction direction_;
  Connection* connection_ = nullptr;
  std::optional<bgp::Link> link_;
  bool connected_ = false;  ///< on_connected was called, here or on the primary
  bool has_left_ = false;   ///< unread what came before it had its place
  bool opened_ = false;     ///< the speaker knows the connection as established
};

}  // namespace tandem::bgpd
