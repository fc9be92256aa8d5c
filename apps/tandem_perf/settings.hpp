// SPDX-License-Identifier: BSD-3-Clause
//
// What one run of tandem-perf does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tandem/address.hpp"
#include "tandem_cli/command_line.hpp"

namespace tandem::perf {

enum class Mode : std::uint8_t {
  echo,         ///< a random stream to an echo service and back, verified
  chargen,      ///< the character generator's stream, verified
  discard,      ///< a random stream into a discard service, hashed
  send,         ///< as discard, as fast as it goes, unverified
  receive,      ///< as chargen, as fast as it goes, unverified
  rr,           ///< requests to an echo service and their answers, one at a time on each connection
  connections,  ///< many connections, each mostly idle
  serve,        ///< echo, discard and chargen services
};

struct Settings {
  Mode mode = Mode::rr;
  bool kernel = false;  ///< the kernel's sockets instead of a node
  Endpoint peer;        ///< of a client
  std::uint16_t port_base = 0;
  std::size_t connections = 1;
  std::uint64_t time_ns = 0;   ///< traffic is generated for this long
  std::uint64_t limit_ns = 0;  ///< the run ends at the latest then, whatever happens
  std::size_t size = 0;        ///< of a request, or of the piece that is written at once
  std::uint64_t pace_ns = 0;   ///< between an answer and the next request
  std::uint64_t requests = 0;  ///< rr: then the connection is closed and a new one opened; 0 = never
  bool idle = false;           ///< one request at the beginning and one at the end
  std::uint64_t rate = 0;      ///< bytes a second and connection, 0 = as fast as it goes
  std::size_t in_flight = 0;   ///< bytes sent and not echoed, at most; 0 = as many as the queues take
  std::uint64_t seed = 1;
  bool spin = false;               ///< never sleep
  std::size_t socket_buffer = 0;   ///< SO_SNDBUF and SO_RCVBUF, 0 = the kernel's own choice
  std::string congestion_control;  ///< of a kernel socket, empty = what its namespace has
  std::uint64_t gap_floor_ns = 0;  ///< silences from this length are recorded
  std::uint64_t interval_ns = 0;   ///< of the record of bytes
  std::uint64_t report_ns = 0;     ///< between lines of progress, 0 = none
  bool json = false;

  [[nodiscard]] bool is_verifying() const {
    return mode == Mode::echo || mode == Mode::chargen || mode == Mode::discard;
  }
};

std::string_view to_string(Mode mode);
/// The service's well-known port.
std::uint16_t well_known_port(Mode mode);

void add_options(cli::CommandLine& command_line);
/// Throws cli::UsageError.
Settings make_settings(const cli::CommandLine& command_line);

}  // namespace tandem::perf
