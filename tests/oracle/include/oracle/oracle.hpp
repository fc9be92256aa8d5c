// SPDX-License-Identifier: BSD-3-Clause
//
// The wire oracle: watches both directions of a link and judges each packet of the hosts it is told to judge as a strict
// host, in particular Linux, would. It shares no code with the stack. What each rule says stands in tests/oracle/README.md.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::oracle {

using Frame = std::span<const std::uint8_t>;
using Mac = std::array<std::uint8_t, 6>;

/// An IPv4 or IPv6 address; IPv4 stands in the last four of the sixteen bytes, behind ten of zero and two of 0xff.
struct Host {
  std::array<std::uint8_t, 16> bytes{};

  static Host v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d);
  static Host v6(const std::array<std::uint8_t, 16>& bytes) { return Host{bytes}; }
  /// From its text; false when it is no address.
  static bool parse(const std::string& text, Host& host);
  bool is_v4() const;
  std::string text() const;
  friend bool operator==(const Host&, const Host&) = default;
};

/// Where the frames are seen that are given to observe().
enum class Vantage {
  /// At the judged host: it has sent every frame of its own that is seen and no other, and every frame that is seen on the
  /// way to it has arrived. `Options::arrivals` takes the second half away.
  at_judged,
  /// At the other end or on the way: a frame of the judged host may be lost before it is seen, one to it after.
  elsewhere,
};

/// An end of a connection that a judged host announces, for Options::may_end.
struct Ending {
  enum class Kind { fin, reset };
  Kind kind = Kind::fin;
  std::uint64_t time_ns = 0;
  Host host, other;
  std::uint16_t port = 0, other_port = 0;
};

struct Options {
  /// Whose packets are judged; empty: everybody's.
  std::vector<Host> judged;
  /// The judged hosts' link addresses. When given, their frames come from no other, and nothing that comes from these
  /// claims an address that is neither in `judged` nor in `also`.
  std::vector<Mac> macs;
  /// Addresses of others on those link addresses (the machine's own kernel).
  std::vector<Host> also;

  Vantage vantage = Vantage::at_judged;
  /// The caller says with arrived() what reached its destination.
  bool arrivals = false;
  /// The judged hosts' frames pass the vantage point in the order in which they were sent.
  bool in_order = true;
  /// Frames may be missing in what is observed although they were on the wire (a capture that could not keep up).
  bool gaps = false;
  /// Judged hosts may answer a SYN without keeping anything of it (SYN cookies, RFC 4987 section 3.6): another answer to the same
  /// SYN may have another sequence number, as long as the peer has not taken one.
  bool stateless_answers = false;
  /// False where the sender leaves checksums to its hardware.
  bool judge_checksums = true;
  /// False: a frame of a host that is not judged counts although its checksum is wrong.
  bool check_peer_checksums = true;

  /// Asked at the first FIN and at each RST of a judged host; false makes it a violation. Without it all are allowed.
  std::function<bool(const Ending&)> may_end;
  /// Violations that are kept with their words; those beyond are only counted.
  std::size_t violations_kept = 1000;
};

struct Violation {
  std::uint64_t time_ns = 0;
  std::string connection;  ///< "address:port > address:port", the judged host first; or whose frame it was
  std::string rule;        ///< its name in README.md
  std::string words;
};

struct Counts {
  std::uint64_t frames = 0;
  std::uint64_t tcp_packets = 0;
  std::uint64_t connections = 0;
  std::uint64_t violations = 0;
};

class Oracle {
 public:
  explicit Oracle(Options options);
  ~Oracle();
  Oracle(const Oracle&) = delete;
  Oracle& operator=(const Oracle&) = delete;

  /// A frame as it passes the vantage point. `wire_length` is its length on the wire if less of it was captured.
  /// The time never runs backwards.
  void observe(std::uint64_t time_ns, Frame frame, std::size_t wire_length = 0);
  /// With Options::arrivals: a frame that was observed, or what has become of it on the way, is now in its receiver's hands.
  void arrived(std::uint64_t time_ns, Frame frame);

  const std::vector<Violation>& violations() const;
  const Counts& counts() const;
  /// Forgets all connections, violations and counts, but keeps its memory: for the next run of a simulator.
  void clear();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::oracle
