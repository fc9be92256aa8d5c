// SPDX-License-Identifier: BSD-3-Clause
#include "settings.hpp"

#include <array>
#include <string>
#include <utility>

namespace tandem::perf {

namespace {

using cli::CommandLine;
using cli::UsageError;

constexpr std::array<std::pair<std::string_view, Mode>, 8> kModes{{
    {"echo", Mode::echo},
    {"chargen", Mode::chargen},
    {"discard", Mode::discard},
    {"send", Mode::send},
    {"receive", Mode::receive},
    {"rr", Mode::rr},
    {"connections", Mode::connections},
    {"serve", Mode::serve},
}};

constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kSecond = 1'000 * kMillisecond;

Mode parse_mode(const CommandLine& command_line) {
  if (command_line.words().empty()) {
    throw UsageError("a mode is missing: echo, chargen, discard, send, receive, rr, connections or serve");
  }
  for (const auto& [name, mode] : kModes) {
    if (name == command_line.words().front()) return mode;
  }
  throw UsageError("there is no mode '" + command_line.words().front() +
                   "'; there are echo, chargen, discard, send, receive, rr, connections and serve");
}

std::uint64_t seconds(const CommandLine& command_line, const std::string& option, double otherwise) {
  if (!command_line.has(option)) return static_cast<std::uint64_t>(otherwise * 1e9);
  return cli::parse_seconds("--" + option, command_line.text(option), 0, 86'400);
}

std::uint64_t bytes(const CommandLine& command_line, const std::string& option, std::uint64_t otherwise,
                    std::uint64_t least, std::uint64_t most) {
  if (!command_line.has(option)) return otherwise;
  return cli::parse_bytes("--" + option, command_line.text(option), least, most);
}

}  // namespace

std::string_view to_string(Mode mode) {
  for (const auto& [name, value] : kModes) {
    if (value == mode) return name;
  }
  return "?";
}

std::uint16_t well_known_port(Mode mode) {
  switch (mode) {
    case Mode::discard:
    case Mode::send:
      return 9;
    case Mode::chargen:
    case Mode::receive:
      return 19;
    default:
      return 7;
  }
}

void add_options(CommandLine& command_line) {
  using cli::flag_option;
  using cli::text_option;
  command_line.add_options()                                                                                  //
      ("kernel", flag_option(), "use the kernel's sockets; without it, the program is a node of its own")     //
      ("connect", text_option("ADDR"), "the server's address")                                                //
      ("port", text_option("N"), "the server's port (7, 9 or 19 by mode, plus --port-base)")                  //
      ("port-base", text_option("N"), "add N to the ports of the services (0)")                               //
      ("connections", text_option("N"), "open N connections (1)")                                             //
      ("time", text_option("S"), "generate traffic for S seconds (10; serve: 3600)")                          //
      ("limit", text_option("S"), "end with an error when not done after S seconds (30 more than --time)")    //
      ("size", text_option("BYTES"), "size of a request (64), or of a piece of a stream (64K)")               //
      ("pace", text_option("US"), "wait between an answer and the next request (0; connections: 1000000)")    //
      ("requests", text_option("N"), "rr: close a connection after N requests and open another (0 = never)")  //
      ("idle", flag_option(), "connections: one request at the beginning and one at the end")                 //
      ("rate", text_option("BYTES"), "bytes a second and connection (0 = as fast as it goes)")                //
      ("in-flight", text_option("BYTES"), "echo: bytes sent and not yet echoed, at most (0 = no bound)")      //
      ("seed", text_option("N"), "names the random streams (1)")                                              //
      ("socket-buffer", text_option("BYTES"), "send and receive buffer of a kernel socket")                   //
      ("congestion-control", text_option("NAME"), "of a kernel socket: cubic, reno, bbr, ...")                //
      ("gap-floor", text_option("US"), "record silences from this length (1000)")                             //
      ("interval", text_option("MS"), "record the bytes of every interval (10)")                              //
      ("report", text_option("MS"), "print a line of progress this often (0 = never)")                        //
      ("json", flag_option(), "print lines of JSON");
}

Settings make_settings(const CommandLine& command_line) {
  constexpr std::uint64_t kMiB = 1 << 20;
  Settings settings;
  settings.mode = parse_mode(command_line);
  const bool serves = settings.mode == Mode::serve;
  const bool asks = settings.mode == Mode::rr || settings.mode == Mode::connections;
  settings.kernel = command_line.flag("kernel");
  settings.port_base = static_cast<std::uint16_t>(command_line.number("port-base", 0, 0, 60'000));
  const std::uint64_t port = well_known_port(settings.mode) + settings.port_base;
  settings.peer.port = static_cast<std::uint16_t>(command_line.number("port", port, 1, 65'535));
  if (!serves) {
    if (!command_line.has("connect")) throw UsageError("--connect is missing: the server's address");
    const auto address = IpAddress::parse(command_line.text("connect"));
    if (!address) throw UsageError("--connect takes an address, not '" + command_line.text("connect") + "'");
    settings.peer.address = *address;
  }
  settings.connections = command_line.number("connections", 1, 1, 1'000'000);
  settings.time_ns = seconds(command_line, "time", serves ? 3600 : 10);
  settings.limit_ns = seconds(command_line, "limit", static_cast<double>(settings.time_ns) / 1e9 + 30);
  settings.size = bytes(command_line, "size", asks ? 64 : 65'536, 1, asks ? 64 * 1024 : kMiB);
  const std::uint64_t pace_us = settings.mode == Mode::connections ? 1'000'000 : 0;
  settings.pace_ns = command_line.number("pace", pace_us, 0, 3'600'000'000) * 1'000;
  settings.requests = command_line.number("requests", 0, 0, UINT32_MAX);
  settings.idle = command_line.flag("idle");
  settings.rate = bytes(command_line, "rate", 0, 0, std::uint64_t{1} << 40);
  settings.in_flight = bytes(command_line, "in-flight", 0, 0, std::uint64_t{1} << 30);
  settings.seed = command_line.number("seed", 1, 0, UINT64_MAX);
  settings.spin = command_line.flag("spin-always");
  settings.socket_buffer = bytes(command_line, "socket-buffer", 0, 0, std::uint64_t{1} << 30);
  settings.congestion_control = command_line.text("congestion-control");
  settings.gap_floor_ns = command_line.number("gap-floor", 1'000, 0, 60'000'000) * 1'000;
  settings.interval_ns = command_line.number("interval", 10, 1, 60'000) * kMillisecond;
  settings.report_ns = command_line.number("report", 0, 0, 3'600'000) * kMillisecond;
  settings.json = command_line.flag("json");
  if (settings.limit_ns < settings.time_ns) throw UsageError("--limit is shorter than --time");
  if (settings.limit_ns > 86'400 * kSecond) settings.limit_ns = 86'400 * kSecond;
  return settings;
}

}  // namespace tandem::perf
