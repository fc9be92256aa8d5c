// SPDX-License-Identifier: BSD-3-Clause
//
// One line's segment: what a script says that is sent, or that it expects. Everything that is not said has its usual value when
// it is sent, and is not looked at when it is expected, but for the flags and the length.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "frames/packet.hpp"

namespace tandem::wire {

/// A script that cannot be read, or one whose expectation does not hold.
class ScriptError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using Words = std::vector<std::string>;

struct SackBlock {
  std::uint32_t begin = 0, end = 0;
};

struct Segment {
  std::uint8_t flags = 0;
  std::uint32_t length = 0;
  std::optional<std::uint32_t> seq, ack;
  std::optional<std::uint32_t> window;  ///< as in the header, unless `at_least` or scaled
  bool window_at_least = false;
  std::optional<std::uint32_t> mss, scale;
  bool sack_permitted = false;
  bool no_timestamps = false;
  std::optional<std::uint32_t> ts_val, ts_echo;
  std::vector<SackBlock> sack;
  std::optional<std::uint32_t> urgent;
  std::optional<std::uint32_t> peer_isn;  ///< a new incarnation of the peer's end
  std::uint16_t peer_port = 0;            ///< 0: the usual one
  fuzz::Octets raw_options;
  bool bad_checksum = false;
  bool old = false;  ///< its bytes are acknowledged already, and not compared
};

/// From the words behind ">" or "<".
Segment parse_segment(const Words& words);
std::uint32_t number(const std::string& word);

/// What is known of the options of a segment that the stack has sent.
struct Options {
  std::optional<std::uint32_t> mss, scale, ts_val, ts_echo;
  bool sack_permitted = false;
  std::vector<SackBlock> sack;
};
Options parse_options(const fuzz::Octets& options);

/// "SA", "PA", "R": in the order of the header, least first. "-" for none.
std::string flags_text(std::uint8_t flags);

}  // namespace tandem::wire
