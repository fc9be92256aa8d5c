// SPDX-License-Identifier: BSD-3-Clause
//
// One TCP/IP stack: patched lwIP behind a C++ face. No I/O and no clock of its own, no HA. Everything happens inside calls
// of its owner, on the owner's thread; several stacks may live on one thread or on many, but a stack stays on the thread
// that made it.
//
// A turn, as its owner drives it (design.md section 3):
//   input(frame)...  ->  run_timers()  ->  run_handlers()  ->  end_turn()
// During a turn packets are only staged on the LinkDevice.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tandem/address.hpp"
#include "tandem/connection.hpp"
#include "tandem/handler.hpp"
#include "tandem/link_device.hpp"
#include "tandem/observer.hpp"
#include "tandem/tcp_state.hpp"
#include "tandem/udp.hpp"

namespace tandem {

struct StackOptions {
  std::vector<IpPrefix> addresses;
  std::vector<IpAddress> gateways;                          ///< at most one an IP version
  std::size_t send_queue_bytes = std::size_t{4} << 20;      ///< a connection
  std::size_t receive_window_bytes = std::size_t{4} << 20;  ///< a connection, at least 64 KiB
  std::size_t max_connections = 65536;                      ///< beyond it a SYN is not answered
  /// Monotonic, the same clock on primary and twin of one chassis (TSval continues from it). Nanoseconds.
  std::function<std::uint64_t()> now_ns;
  /// Secret of the ISN (RFC 6528) and of the demux hash. All zero = drawn from the kernel.
  std::array<std::uint8_t, 32> secret{};
  /// Dormant stacks (a twin's) emit nothing and take no input until activate().
  bool dormant = false;
};

/// Counters since the stack was made. Malformed input counts here, one counter a kind.
struct StackStatistics {
  std::uint64_t frames_in = 0, frames_out = 0, frames_out_dropped = 0;
  std::uint64_t ip_malformed = 0, tcp_malformed = 0, udp_malformed = 0, icmp_malformed = 0, arp_malformed = 0;
  std::uint64_t checksum_errors = 0;
  std::uint64_t segments_in = 0, segments_out = 0, retransmissions = 0, resets_sent = 0, resets_received = 0;
  std::uint64_t connections_opened = 0, connections_refused = 0;
};

class Stack {
 public:
  /// Throws std::invalid_argument on options that contradict themselves.
  Stack(StackOptions options, LinkDevice& device);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  void set_observer(ConnectionObserver* observer);

  // ---- Services: primary and twin define the same ones, before the first turn ----

  /// Names a factory. Connections carry the number, so that the twin makes the same handler. Numbers 0 to 65,535.
  void define_service(std::uint16_t service, HandlerFactory factory);
  /// Accepts on `local` (port required; the any address of a version, or one of ours). Throws std::runtime_error when the
  /// port is taken. On a dormant stack the listener comes to life with activate().
  void listen(const Endpoint& local, Replication replication, std::uint16_t service, int backlog = 4096);
  void unlisten(const Endpoint& local);

  // ---- Primary ----

  /// Actively opens (SYN leaves with this turn). Null when no local port, route or memory is left. A port of 0 in `local`
  /// picks one, the any address picks the outgoing one.
  Connection* connect(const Endpoint& local, const Endpoint& remote, Replication replication, std::uint16_t service);
  /// Throws std::runtime_error when the port is taken.
  std::unique_ptr<UdpEndpoint> open_udp(const Endpoint& local, UdpEndpoint::Receiver receiver);

  /// Feeds one frame. The device hears rx_done(frame.cookie) when the stack refers to it no longer: most often before this
  /// returns. The content may be changed in place (lwIP converts headers): whoever wants it unchanged keeps a copy.
  void input(RxFrame frame);
  /// Runs what is due.
  void run_timers();
  /// When run_timers wants to be called next; now_ns() scale.
  [[nodiscard]] std::uint64_t next_timer_ns() const;
  /// Offers unread bytes and room to the handlers that can use them, and lets TCP send what became sendable. Bounded: a
  /// handler that goes on making progress is resumed in the next turn. True when there is more to do.
  bool run_handlers();
  /// Bytes that handlers may write until this is called again: Connection::writable() is never larger than what is left, so
  /// that a turn fits into the room that was reserved for it in the log. Unlimited at first.
  void set_write_budget(std::size_t bytes);
  /// Shows every touched replicated connection to the observer (on_state) and every change of neighbours. Nothing may be
  /// staged between this and the turn's publication.
  void end_turn();

  [[nodiscard]] std::size_t connection_count() const;  ///< all but TIME_WAIT
  [[nodiscard]] Connection* find(ConnectionId id);
  void for_each_connection(const std::function<void(Connection&)>& visit);
  /// The names of all connections, in no order. Cheaper than a visit to each, which takes a look at each one's memory.
  [[nodiscard]] std::vector<ConnectionId> connection_ids() const;
  [[nodiscard]] std::vector<Neighbour> neighbours() const;
  [[nodiscard]] const StackStatistics& statistics() const;
  [[nodiscard]] const StackOptions& options() const;
  /// Clamps every announced window (a twin's buffers run short); the right edge is never shrunk. 0 = no clamp.
  void clamp_windows(std::size_t bytes);

  /// Brings a connection to life from a value, without any HA. Null with `why` set when the image is inconsistent, its
  /// service is not defined, or its tuple exists.
  Connection* import_connection(const ConnectionImage& image, Replication replication, std::string* why = nullptr);

  // ---- Twin: a dormant stack is told what the primary's observer saw ----

  /// A connection of the primary's, as it is at this transaction: fresh ones have empty queues, those of a snapshot or tagged
  /// late come with theirs, which the handler is not shown as on_written / on_consumed. Handler::on_opened is called with the
  /// queues in place. Fails (null) on a duplicate id, an unknown service or an inconsistent image.
  Connection* mirror_open(ConnectionId id, const ConnectionImage& image);
  /// Each false: unknown to this connection's position (the log is corrupt); the connection is unchanged then.
  bool mirror_received(Connection& connection, Bytes bytes);
  bool mirror_skipped(Connection& connection, std::uint64_t count);
  bool mirror_out_of_order(Connection& connection, std::uint32_t seq, Bytes bytes, bool fin);
  bool mirror_written(Connection& connection, Bytes bytes);
  bool mirror_consumed(Connection& connection, std::uint64_t count);
  bool mirror_note(Connection& connection, Bytes bytes);
  bool mirror_state(Connection& connection, const TcpState& state);
  void mirror_close(Connection& connection, bool reset);
  /// Whether each byte that was mirrored has been followed by the state that counts it, as it is when a turn ends. What is not
  /// must not be activated: the peer would be asked for bytes again that the application has.
  [[nodiscard]] bool mirror_is_settled() const;
  void mirror_neighbour(const Neighbour& neighbour);
  /// Forgets every dormant connection and neighbour (a new snapshot begins). Handlers get no call.
  void mirror_clear();

  /// How the wire was taken over (design.md section 6, steps 5 to 7).
  /// On a dormant stack, when it likes: does what of activate() needs nothing to be known. Nothing is emitted or taken in.
  void prepare();
  enum class Adoption : std::uint8_t {
    exact,   ///< same rings, nothing lost: go on as if nothing had happened, no ARP, no kicks
    kicked,  ///< something may be missing: gratuitous ARP / unsolicited NA, and every connection is kicked
    fresh,   ///< not a takeover: the process starts as primary
  };
  /// Dormant to alive. Listeners open, neighbours are put in place, connections are linked: at once those with something
  /// outstanding, the others on their first packet or paced over later turns (run_timers), so that the time to the first
  /// packet does not grow with their number. Handlers get on_promote as they are linked.
  void activate(Adoption adoption);
  [[nodiscard]] bool is_dormant() const;
  /// Connections that activate() has not linked yet.
  [[nodiscard]] std::size_t unlinked_count() const;
  /// Links up to `count` more of them now; true when some are left.
  bool link_some(std::size_t count);

  struct Impl;

 private:
  friend class Connection;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem
