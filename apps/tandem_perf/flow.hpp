// SPDX-License-Identifier: BSD-3-Clause
//
// A flow is what one connection does, as client or as server; a channel is what carries it: a socket of the kernel's or a
// connection of our stack. Flows know nothing of what carries them, so that both sides of a comparison do the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "meter.hpp"
#include "settings.hpp"
#include "tandem/address.hpp"

namespace tandem::perf {

class Channel {
 public:
  virtual ~Channel() = default;
  /// Takes as many of the first bytes as there is room for, and returns how many.
  virtual std::size_t write(Bytes bytes) = 0;
  /// Bytes taken since the connection opened.
  [[nodiscard]] virtual std::uint64_t written() const = 0;
  /// FIN behind what was written.
  virtual void close() = 0;
};

class Flow {
 public:
  virtual ~Flow() = default;
  virtual void connected(Channel&) {}
  /// Returns how many of the first bytes were taken; the others are offered again.
  virtual std::size_t receive(Channel&, Bytes bytes) = 0;
  /// There is room; called again as long as wants_to_write().
  virtual void writable(Channel&) {}
  [[nodiscard]] virtual bool wants_to_write() const { return false; }
  /// The peer has sent FIN and everything before it was taken.
  virtual void eof(Channel& channel) { channel.close(); }
  /// Reset, refused, timed out or cut off by the end of the run.
  virtual void failed(const std::string&) {}
  /// When tick wants to be called, UINT64_MAX for never.
  [[nodiscard]] virtual std::uint64_t next_ns() const { return UINT64_MAX; }
  virtual void tick(Channel&) {}
  /// Generate no more, and end in good order. Drivers say it again when a connection opens after the end.
  virtual void finish(Channel&) {}
  /// Nothing more is expected of this connection.
  [[nodiscard]] virtual bool is_done() const { return false; }
};

/// The flow of a client's connection number `index`.
std::unique_ptr<Flow> make_client_flow(const Settings& settings, Meter& meter, std::uint32_t index);
/// The flow of a connection to a well-known port: 7, 9 or 19.
std::unique_ptr<Flow> make_server_flow(std::uint16_t well_known, Meter& meter, std::uint32_t index);

}  // namespace tandem::perf
