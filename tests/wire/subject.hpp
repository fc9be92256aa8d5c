// SPDX-License-Identifier: BSD-3-Clause
//
// The stack under test, seen from outside: its public interface, a link in memory, a clock that stands until it is moved.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "frames/packet.hpp"
#include "tandem/stack.hpp"

namespace tandem::wire {

inline constexpr std::uint64_t kMs = 1'000'000;
inline constexpr std::uint16_t kStackPort = 80, kPeerPort = 40000;

/// What the application of one connection has seen, and whether it reads.
struct Seen {
  std::uint64_t received = 0;
  std::uint64_t written = 0;
  int connected = 0, eof = 0, reset = 0, closed = 0;
  bool reads = true;
  bool as_written = true;  ///< every byte received was the one that belongs to its position
};

/// The byte at a position of either stream.
std::uint8_t pattern(std::uint64_t position);

/// A segment that the stack has sent.
struct Sent {
  std::uint64_t time_ns = 0;
  std::uint16_t peer_port = 0;
  fuzz::TcpFields tcp;
};

class Subject {
 public:
  explicit Subject(int family);
  ~Subject();

  void listen();
  void connect(std::uint16_t peer_port);
  void write(std::uint16_t peer_port, std::uint32_t bytes);
  /// The connection with the peer's port; null when there is none.
  Connection* find(std::uint16_t peer_port);
  Seen& seen(std::uint16_t peer_port) { return seen_[peer_port]; }
  [[nodiscard]] std::size_t connections() const { return stack_->connection_count(); }

  /// A segment of the peer's, as one turn of the stack.
  void send(const fuzz::TcpFields& tcp, bool bad_checksum);
  /// Turns until there is nothing to do at this moment.
  void settle();
  /// Segments of the peer's wait from now on, and then come in one turn.
  void hold() { holds_ = true; }
  void release() {
    holds_ = false;
    settle();
  }
  /// Lets time pass up to `end_ns`, or until the stack has sent a segment.
  void advance(std::uint64_t end_ns, bool stop_at_segment);
  /// Time passes in which the stack does not run at all.
  void sleep(std::uint64_t ns) {
    now_ns_ += ns;
    settle();
  }
  /// The link has no room for anything that is to be sent.
  void fill_link(bool full);
  /// The link becomes narrower, or wider again.
  void set_mtu(std::uint32_t bytes);
  void take_over(Stack::Adoption adoption);

  [[nodiscard]] std::uint64_t now_ns() const { return now_ns_; }
  [[nodiscard]] int family() const { return local_.version; }
  std::deque<Sent> sent;  ///< not looked at yet

 private:
  class Link;
  class Application;
  void turn();
  void answer_neighbour_requests(const fuzz::Sent& packet);
  void put_in(std::uint16_t type, Bytes packet);
  std::unique_ptr<Stack> make_stack(bool dormant);

  std::uint64_t now_ns_;
  bool listening_ = false;
  bool holds_ = false;
  IpAddress local_, peer_;
  std::map<std::uint16_t, Seen> seen_;
  std::unique_ptr<Link> link_;
  std::deque<fuzz::Octets> inbox_;
  std::unique_ptr<Stack> stack_;
};

}  // namespace tandem::wire
