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
  /// Writes what the speaker has to say, as far as there is room. True when there may be more in a later turn without any
  /// event of the connection's.
  bool pump();
  /// The speaker is done with the connection: says what is left to say, closes.
  void finish();

 private:
  enum class Note : std::uint8_t { opened = 1, detached = 2 };

  void open(Connection& connection);
  void send_note(Connection& connection, Note note);
  /// The connection is lost or given up; the speaker hears of it once.
  void detach(Connection& connection);

  BgpApplication& application_;
  bgp::Direction direction_;
  Connection* connection_ = nullptr;
  std::optional<bgp::Link> link_;
  bool opened_ = false;  ///< the speaker knows the connection as established
};

}  // namespace tandem::bgpd
