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
#include <optional>
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

/// Somebody else on the link claims an address of ours (RFC 5227 section 2.4, RFC 4862 section 5.4.4). We keep it.
struct AddressConflict {
  IpAddress address;
  MacAddress claimed_by;          ///< the last one who did
  std::uint64_t count = 0;        ///< claims so far
  std::uint64_t answered_ns = 0;  ///< when we last announced the address against it; now_ns() scale
};

/// A bucket of answers: `at_once` of them, and one more each `interval_ns`.
struct AnswerRate {
  std::uint32_t at_once = 0;
  std::uint64_t interval_ns = 0;
};

/// What one peer, or a crowd of them, may make a stack keep or say. Each limit that was reached counts in StackStatistics.
struct StackLimits {
  /// Passive opens whose SYN-ACK is not answered yet, of all listeners together. Beyond them, or beyond a listener's backlog,
  /// a SYN is answered by a cookie (RFC 4987 section 3.6) and nothing is kept.
  std::size_t half_open = 256;
  /// Connections in TIME-WAIT. They count against no other limit; beyond them the oldest goes.
  std::size_t time_wait = 32768;
  std::uint32_t time_wait_ms = 60'000;   ///< how long TIME-WAIT lasts (RFC 9293 section 3.4.2 has twice a guessed MSL)
  std::uint32_t fin_wait_2_ms = 60'000;  ///< how long a closed connection waits for the FIN of a silent peer
  /// How long a connection that the application has closed waits for the ACK of a silent peer (FIN-WAIT-1, CLOSING, LAST-ACK).
  std::uint32_t unanswered_close_ms = 120'000;
  /// Challenge ACKs and other answers to what is not acceptable (RFC 5961 sections 7 and 10), of a connection and of the stack.
  AnswerRate challenge_acks{10, 500'000'000};
  AnswerRate all_challenge_acks{1000, 1'000'000};
  AnswerRate resets{200, 5'000'000};       ///< RSTs that answer a segment; those of an abort are not counted
  AnswerRate icmp_errors{50, 10'000'000};  ///< ICMP and ICMPv6 errors together (RFC 1812 4.3.2.8, RFC 4443 2.4)
};

using Secret = std::array<std::uint8_t, 32>;

struct StackOptions {
  std::vector<IpPrefix> addresses;                          ///< at most kMaxAddresses an IP version (addressing.hpp)
  std::vector<IpAddress> gateways;                          ///< at most one an IP version, on one of our links
  std::size_t send_queue_bytes = std::size_t{4} << 20;      ///< a connection
  std::size_t receive_window_bytes = std::size_t{4} << 20;  ///< a connection, at least 64 KiB
  std::size_t max_connections = 65536;  ///< without those in TIME-WAIT; beyond it a SYN is not answered
  StackLimits limits;
  /// Monotonic, the same clock on primary and twin of one chassis (TSval continues from it). Nanoseconds.
  std::function<std::uint64_t()> now_ns;
  /// Of the ISN (RFC 6528), of SYN cookies (RFC 4987) and of the demux hash. All zero = drawn from the kernel.
  Secret secret{};
  /// Hosts on the link whose link addresses are remembered (ARP and ND together), 16 to 1,048,576. Some 100 bytes each, once used.
  /// Beyond it strangers make room for one another; gateways and who has a live connection stay.
  std::size_t max_neighbours = 4096;
  /// Called when a conflict is answered, at most every ten seconds an address. Must not call into the stack.
  std::function<void(const AddressConflict&)> on_address_conflict;
  /// Dormant stacks (a twin's) emit nothing and take no input until activate().
  bool dormant = false;
};

/// Counters since the stack was made. Malformed input counts here, one counter a kind.
struct StackStatistics {
  std::uint64_t frames_in = 0, frames_out = 0, frames_out_dropped = 0;
  std::uint64_t ip_malformed = 0, tcp_malformed = 0, udp_malformed = 0, icmp_malformed = 0, arp_malformed = 0;
  std::uint64_t checksum_errors = 0;
  std::uint64_t unfinished_checksums = 0;  ///< left to hardware that a virtual link does not have; taken as right there
  std::uint64_t unfinished_refused = 0;    ///< the same on a link of hardware: errors, as those above
  std::uint64_t mss_lowered = 0;           ///< connections whose link or path became narrower
  std::uint64_t segments_in = 0, segments_out = 0, retransmissions = 0, resets_sent = 0, resets_received = 0;
  std::uint64_t connections_opened = 0, connections_refused = 0;
  std::uint64_t address_conflicts = 0;                           ///< claims of others to addresses of ours
  std::uint64_t neighbours = 0;                                  ///< in the table now
  std::uint64_t neighbours_evicted = 0, neighbours_refused = 0;  ///< the table was full
  std::uint64_t neighbours_unreachable = 0;                      ///< gave no answer to repeated questions
  std::uint64_t packets_unresolved = 0;                          ///< given up while they waited for a neighbour
  std::uint64_t half_open = 0, time_wait = 0;                    ///< now
  std::uint64_t syn_cookies_sent = 0, syn_cookies_accepted = 0;
  std::uint64_t time_wait_evicted = 0;  ///< before their time, for want of room
  std::uint64_t time_wait_reused = 0;   ///< by a new connection between the same ends
  std::uint64_t closes_given_up = 0;    ///< a closed connection whose peer had gone silent
  /// Answers that a limit has held back.
  std::uint64_t challenge_acks_limited = 0, resets_limited = 0, icmp_errors_limited = 0;
  std::uint64_t tcp_steps =
      0;  ///< segments and connections that had to be looked at to find the right one: a measure of work
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
  Connection* connect(const Endpoint& local, const Endpoint& remote, Replication replication, std::uint16_t service,
                      EndReason* why = nullptr);
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
  /// Until when the handlers of this turn may work, on StackOptions::now_ns' scale; without an end at first. Behind it nobody is
  /// offered bytes any more: run_handlers serves one connection a call, so that all come round, and leaves the others, in their
  /// order, to the next turn.
  void set_turn_deadline(std::uint64_t deadline_ns);
  [[nodiscard]] std::uint64_t turn_deadline_ns() const;
  /// Whether that time has come. A handler with much to do asks now and then and returns: unread bytes that it has left are
  /// offered again in the next turn, which comes at once. Cheap: one reading of the clock.
  [[nodiscard]] bool out_of_time();
  /// Shows every touched replicated connection to the observer (on_state) and every change of neighbours. Nothing may be
  /// staged between this and the turn's publication.
  void end_turn();

  /// The device's capabilities or its MAC address are others now. A link that is not up stops TCP's timers, so that no connection
  /// ends for want of it; when it is up again what was lost is repeated, and the addresses are announced. Connections adapt to a
  /// smaller MTU and keep it when it grows again. Any role, between two turns.
  void link_changed();
  /// Says where our addresses are (gratuitous ARP, RFC 5227 section 2.3; unsolicited NA, RFC 4861 section 7.2.6; MLD reports): in the
  /// next turn and twice more, a second apart. Primary.
  void announce();

  [[nodiscard]] std::size_t connection_count() const;  ///< all but TIME_WAIT
  [[nodiscard]] Connection* find(ConnectionId id);
  void for_each_connection(const std::function<void(Connection&)>& visit);
  /// The names of all connections, in no order. Cheaper than a visit to each, which takes a look at each one's memory.
  [[nodiscard]] std::vector<ConnectionId> connection_ids() const;
  [[nodiscard]] std::vector<Neighbour> neighbours() const;
  /// Whether the link address is known to which packets for `remote` go: its own, or its gateway's. Primary.
  [[nodiscard]] bool neighbour_answers(const IpAddress& remote) const;
  /// Nothing when it is not known, or not any more.
  [[nodiscard]] std::optional<Neighbour> neighbour(const IpAddress& address) const;
  /// One for each address of ours that somebody else has claimed.
  [[nodiscard]] const std::vector<AddressConflict>& address_conflicts() const;
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
  bool mirror_told(Connection& connection, Told what);
  bool mirror_state(Connection& connection, const TcpState& state);
  void mirror_close(Connection& connection, bool reset, EndReason why = EndReason::unknown);
  /// Whether each byte that was mirrored has been followed by the state that counts it, as it is when a turn ends. What is not
  /// must not be activated: the peer would be asked for bytes again that the application has.
  [[nodiscard]] bool mirror_is_settled() const;
  void mirror_neighbour(const Neighbour& neighbour);
  /// The primary's secret: initial sequence numbers go on growing, and what it has sent in SYN cookies can be read.
  void mirror_secret(const Secret& secret);
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
