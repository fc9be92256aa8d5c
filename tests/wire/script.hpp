// SPDX-License-Identifier: BSD-3-Clause
//
// Scripts as they stand in a file, and what runs them (README.md has the notation).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "segment.hpp"
#include "subject.hpp"

namespace tandem::wire {

struct Line {
  int number = 0;
  Words words;
  std::string text;
};

struct Script {
  std::string name;
  int line = 0;
  std::vector<Line> lines;
  std::vector<int> families{4, 6};
};

/// Throws ScriptError.
std::vector<Script> read_scripts(const std::string& file);

/// One run of one script over one IP version.
class Run {
 public:
  explicit Run(int family) : subject_(family), since_ns_(subject_.now_ns()) {}
  /// Throws ScriptError, with the line's number in front.
  void play(const Script& script);

 private:
  /// What both ends' numbers count from, and what was negotiated, for one port of the peer's.
  struct Numbers {
    std::uint32_t peer_isn = 0xfffffc18;  ///< the numbers pass 2^32 after a thousand bytes
    std::uint32_t stack_isn = 0;          ///< 0 until the stack has sent a SYN: its numbers are absolute then
    bool stack_isn_known = false;
    bool timestamps = false;
    std::uint32_t stack_ts_val = 0;
    std::uint32_t scale = 0;  ///< of the stack's windows
    std::uint32_t window = 65535;
    std::optional<std::uint32_t> peer_scale;
  };

  void step(const Words& words);
  void command(const Words& words);
  void set_peer(const Words& words);
  void application(const Words& words);
  void expect_application(const Words& words);
  void establish(const Words& words);
  void send(const Segment& segment);
  void send_many(const Words& words);
  void feed(std::uint32_t seq, std::uint32_t length);
  void expect(Words words);
  void compare(const Segment& expected, const Sent& actual);
  void compare_options(const Segment& expected, const Sent& actual);
  void nothing_left();
  fuzz::Octets options_of(const Segment& segment, const Numbers& numbers) const;
  [[nodiscard]] std::string text_of(const Sent& sent) const;
  Numbers& numbers_of(std::uint16_t port) { return numbers_[port == 0 ? kPeerPort : port]; }
  [[nodiscard]] std::uint32_t peer_clock() const;

  Subject subject_;
  std::map<std::uint16_t, Numbers> numbers_;
  std::uint64_t since_ns_;  ///< when the last line was done
};

}  // namespace tandem::wire
