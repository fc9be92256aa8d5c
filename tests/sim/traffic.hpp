// SPDX-License-Identifier: BSD-3-Clause
//
// What the applications on both ends say to each other. Each connection is an exchange: its opener (the client) sends a header
// that says how many bytes go each way and how it ends, then its bytes; the server sends its own. Every byte follows from the
// exchange's number, its direction and its position, so each end checks what it gets, to the byte, and the twin what it is shown.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tandem/connection.hpp"
#include "tandem/handler.hpp"

namespace tandem::sim {

/// Ports of the server, and numbers of its service.
inline constexpr std::uint16_t kStreamPort = 9;     ///< the twin's handler wants both streams
inline constexpr std::uint16_t kNotePort = 11;      ///< it learns the header from a note
inline constexpr std::uint16_t kStreamClient = 20;  ///< services of connections that we open
inline constexpr std::uint16_t kNoteClient = 21;

/// The bytes of one direction of one exchange.
void fill_stream(std::uint32_t number, bool from_client, std::uint64_t position, std::span<std::uint8_t> out);
/// Position of the first wrong byte, or nothing.
std::optional<std::uint64_t> find_wrong(std::uint32_t number, bool from_client, std::uint64_t position, Bytes bytes);

namespace exchange_flag {
inline constexpr std::uint8_t kServerCloses = 1;      ///< first, when everything has gone both ways
inline constexpr std::uint8_t kClientHalfCloses = 2;  ///< as soon as it has sent everything
inline constexpr std::uint8_t kPaced = 4;             ///< the server answers in proportion to what it has read
inline constexpr std::uint8_t kLazyServer = 8;        ///< reads only now and then, so that the window closes
inline constexpr std::uint8_t kLazyClient = 16;
inline constexpr std::uint8_t kClientAborts = 32;  ///< resets instead of closing
inline constexpr std::uint8_t kServerAborts = 64;
inline constexpr std::uint8_t kBothClose = 128;  ///< neither closes before a certain time, then both do
}  // namespace exchange_flag

struct Plan {
  std::uint32_t magic = kMagic;
  std::uint32_t number = 0;
  std::uint32_t client_bytes = 0;  ///< behind the header
  std::uint32_t server_bytes = 0;
  std::uint32_t piece = 0;  ///< the client writes so much at a time
  std::uint8_t flags = 0;
  std::uint8_t lingers = 0;  ///< not 0: the client never closes, whatever the server does
  std::uint8_t zero[2] = {};
  static constexpr std::uint32_t kMagic = 0x6d697374;
  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] std::uint64_t client_stream() const { return sizeof(Plan) + client_bytes; }
};
static_assert(sizeof(Plan) == 24);

/// What the ends report. It lives outside of every process.
class TrafficObserver {
 public:
  virtual ~TrafficObserver() = default;
  virtual void wrong(std::string text) = 0;
  /// The server knows of the exchange.
  virtual void met(std::uint32_t number) = 0;
  /// The end called `where` has everything that it is to get, and has seen the other's FIN.
  virtual void received_all(std::uint32_t number, bool at_client) = 0;
  /// The other end has closed before it sent everything.
  virtual void ended_early(std::uint32_t number, std::string text) = 0;
  virtual void was_reset(std::uint32_t number, bool at_client) = 0;
  virtual void was_closed(std::uint32_t number, bool at_client) = 0;
  /// How many bytes the client of this exchange may have written by now.
  virtual std::uint64_t client_may_write(std::uint32_t number) = 0;
  /// Whether an end that waits for the time to close may do so now.
  virtual bool may_close(std::uint32_t number) = 0;
  /// Told by whoever resets a connection on purpose.
  virtual void resets(std::uint32_t number) = 0;
  /// Node::now_ns() of the process that runs, by which what is saved counts its times.
  [[nodiscard]] virtual std::uint64_t log_time_ns() = 0;
  /// It was saved at this time and is restored in the process that runs.
  virtual void restored(std::uint64_t saved_ns) = 0;
};

/// One end of an exchange, on the peer, on the primary and on the twin.
class Exchange final : public Handler {
 public:
  /// A client knows its plan, and whoever opens it tells the twin by a note; a server learns it.
  Exchange(TrafficObserver& observer, bool client, bool wants_stream, const Plan* plan);

  void on_connected(Connection& c) override;
  void on_receive(Connection& c, Bytes unread) override;
  void on_writable(Connection& c) override { pump(c); }
  void on_eof(Connection& c) override;
  void on_reset(Connection& c) override;
  void on_closed(Connection& c) override;
  void on_opened(Connection& c) override;
  void on_consumed(Connection& c, Bytes bytes) override;
  void on_written(Connection& c, Bytes bytes) override;
  void on_note(Connection& c, Bytes bytes) override;
  void on_promote(Connection& c) override;
  [[nodiscard]] bool wants_stream() const override { return wants_stream_; }
  [[nodiscard]] std::vector<std::uint8_t> save(const Connection& c) const override;
  void restore(Connection& c, Bytes bytes) override;

  /// Now and then, from the application: reads if it is lazy, writes what may be written by now.
  void poke(Connection& c, std::size_t lazy_bytes);

  [[nodiscard]] bool knows_plan() const { return plan_.number != 0; }
  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] bool is_client() const { return client_; }
  /// What primary and twin must have in common.
  struct View {
    std::uint64_t consumed, written;
    std::uint32_t number;
    bool eof;
    bool sees_streams;  ///< else a twin knows no positions
    bool operator==(const View&) const = default;
  };
  [[nodiscard]] View view() const { return {consumed_, written_, plan_.number, eof_, wants_stream_}; }

 private:
  void pump(Connection& c);
  void take(Connection& c, Bytes bytes);
  void check_incoming(Bytes bytes);
  void learn(Bytes header);
  void settle(Connection& c);
  void conclude(Connection& c);
  [[nodiscard]] std::uint64_t to_write() const;
  [[nodiscard]] std::uint64_t to_read() const;
  [[nodiscard]] bool is_lazy() const {
    return plan_.has(client_ ? exchange_flag::kLazyClient : exchange_flag::kLazyServer);
  }

  TrafficObserver& observer_;
  Plan plan_;
  std::uint64_t consumed_ = 0, written_ = 0;
  std::array<std::uint8_t, sizeof(Plan)> header_{};  ///< as far as it has been seen
  bool client_;
  bool wants_stream_;
  bool eof_ = false;
  bool concluded_ = false;  ///< and everything before it was read
  bool closed_ = false;
  bool follows_ = false;  ///< a twin's, and not yet promoted
};

}  // namespace tandem::sim
