// SPDX-License-Identifier: BSD-3-Clause
//
// A stack inside: lwIP's state, the interface, and who has something to do this turn.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "answer_bucket.hpp"
#include "connection_impl.hpp"
#include "dormant_list.hpp"
#include "lwip.hpp"
#include "neighbours.hpp"
#include "rx_frame_pool.hpp"
#include "send_queue.hpp"
#include "siphash.hpp"
#include "stack_scope.hpp"
#include "tandem/stack.hpp"
#include "tuple.hpp"

namespace tandem {

class LwipUdpEndpoint;

/// A service's listener; `pcb` exists only once the stack is prepared or alive.
struct Listener {
  Endpoint local;
  Replication replication = Replication::unreplicated;
  std::uint16_t service = 0;
  std::size_t backlog = 0;
  std::size_t half_open = 0;  ///< passive opens in SYN-RECEIVED
  tcp_pcb_listen* pcb = nullptr;
};

struct Stack::Impl {
  Impl(Stack& face, StackOptions options, LinkDevice& device);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Stack& face;
  StackOptions options;
  LinkDevice& device;
  ConnectionObserver* observer = nullptr;
  StackState state;
  bool dormant;
  bool prepared = false;         ///< dormant, with its interfaces up and its listeners open
  bool muted = false;            ///< packets are dropped instead of staged
  bool muted_for_input = false;  ///< what the frame that is being processed causes is dropped
  bool in_input = false;         ///< lwIP processes a packet
  bool in_timers = false;        ///< lwIP's timers run

  SipKey hash_key{};
  SipKey isn_key{};
  SipKey cookie_key{};
  void adopt_secret();
  SipKey random_key{};
  std::uint64_t random_counter = 0;
  [[nodiscard]] std::uint32_t random_value();

  // ---- Interface (interface.cpp). One netif for each IPv4 address, the first one has the IPv6 addresses too. ----
  std::deque<netif> netifs;
  SendChunkPool send_chunks;
  RxFramePool rx_frames;
  Neighbours neighbours;
  std::optional<MacAddress> input_from;  ///< who put the frame that is being processed on the link
  void make_interfaces();
  void bring_up();
  void announce_addresses();
  void add_zone(ip_addr_t& address);
  void input(RxFrame frame);
  err_t stage_packet(const pbuf& packet);
  /// A frame that no connection has to do with.
  void stage_frame(Bytes frame);
  /// Counts what can be seen on a packet as it leaves.
  void count_segment(Bytes frame);
  [[nodiscard]] netif& netif_for(const RxFrame& frame);
  [[nodiscard]] bool owns(const IpAddress& address) const;

  // ---- The link's life (link.cpp, path_mtu.cpp) ----
  LinkCapabilities link;  ///< as the device last said
  void link_changed();
  /// Segments of this connection become no larger than packets of `mtu` bytes hold. False when they were not.
  bool narrow(Connection::Impl& connection, std::uint32_t mtu);
  void packet_too_big(Bytes frame, bool v6);
  void repeat_what_is_lost();
  int announcements_left = 0;
  std::uint64_t announce_next_ns = 0;
  void announce();
  void announce_if_due();
  [[nodiscard]] std::uint64_t next_announcement_ns() const;
  /// What lwIP is to verify in this packet; counts checksums that were left unfinished.
  void choose_checksums(netif& interface, Bytes frame);
  void note_checksum_errors();
  std::uint64_t checksum_errors_seen = 0;
  int checksums_suspected = 0;  ///< packets that are looked at for a checksum that was left unfinished
  bool frame_is_unfinished = false;

  // ---- Time (timers.cpp) ----
  /// One reading a turn: the first to ask after a turn has ended looks at the clock, and so does run_timers.
  [[nodiscard]] std::uint64_t now_ns() {
    if (clock_is_stale) {
      clock_ns = options.now_ns();
      clock_is_stale = false;
    }
    return clock_ns;
  }
  std::uint64_t clock_ns = 0;
  bool clock_is_stale = true;
  [[nodiscard]] std::uint32_t now_ms() { return static_cast<std::uint32_t>(now_ns() / 1'000'000); }
  std::uint64_t tcp_tick_ns = 0;   ///< next multiple of TCP_FAST_INTERVAL
  std::uint64_t slow_tick_ns = 0;  ///< next second
  std::uint64_t mld_tick_ns = 0;
  void start_timers();
  /// Before anything is taken in or begun in a turn: lwIP's tick is that of now, and not that of the last timer.
  void catch_up();
  void run_timers();
  [[nodiscard]] std::uint64_t next_timer_ns();

  // ---- Services and listeners (listener.cpp) ----
  std::unordered_map<std::uint16_t, HandlerFactory> services;
  std::vector<std::unique_ptr<Listener>> listeners;
  void listen(const Endpoint& local, Replication replication, std::uint16_t service, int backlog);
  void unlisten(const Endpoint& local);
  /// False when the port is taken or memory is short.
  bool open_listener(Listener& listener);
  [[nodiscard]] Listener* find_listener(const Endpoint& local);
  [[nodiscard]] tcp_pcb_listen* listener_pcb_for(const Endpoint& local);
  [[nodiscard]] tandem_tcp_admission admit(const Listener& listener);
  bool accept_syn(tcp_pcb& pcb, Listener& listener);
  /// The handshake is complete: false when the service refuses the connection.
  bool accept(Connection::Impl& connection);
  void count_half_open(Connection::Impl& connection, Listener* listener);
  void uncount_half_open(Connection::Impl& connection);
  /// Until when cookies may be about that this process or the one before has sent.
  std::uint64_t cookies_until_ns = 0;
  [[nodiscard]] std::uint64_t cookie_period_ns() const;
  void expect_cookies();
  /// Whether cookies are being sent, or were seconds ago: a client's first ACK may have been lost, and who it is cannot be told from
  /// what follows that.
  [[nodiscard]] bool is_flooded();
  std::uint64_t flooded_until_ns = 0;
  /// Null when the service is unknown or its factory refuses.
  [[nodiscard]] bool make_handler(Connection::Impl& connection);

  // ---- Connections (connections.cpp) ----
  std::uint8_t ext_arg_id = 0;
  std::unordered_map<ConnectionId, std::unique_ptr<Connection::Impl>> connections;
  struct Named {
    ConnectionId id;
    Connection::Impl* connection;
  };
  std::vector<Named> everyone;  ///< of `connections`, in no order: all names at once without a look at each connection
  std::unordered_map<Tuple, Connection::Impl*, TupleHash> by_tuple;
  std::vector<std::unique_ptr<Connection::Impl>> graveyard;  ///< gone; freed when the turn ends
  ConnectionId next_id = 1;
  void renumber();
  std::size_t time_wait_count = 0;
  [[nodiscard]] bool is_full() const { return connections.size() - time_wait_count >= options.max_connections; }
  /// The packet that is being processed begins a new incarnation of a connection: its numbers begin behind the old one's.
  std::optional<std::uint32_t> least_iss;
  bool end_time_wait(Connection::Impl& connection);
  void evict_time_wait();
  std::size_t unsettled_count = 0;  ///< mirrored connections with bytes that their state does not count yet
  Connection::Impl& add_connection(ConnectionId id, std::uint16_t service, Replication replication,
                                   const Endpoint& local, const Endpoint& remote);
  void attach(Connection::Impl& connection, tcp_pcb& pcb);
  void announce(Connection::Impl& connection);
  void forget(Connection::Impl& connection);
  void note_time_wait(Connection::Impl& connection, bool in_time_wait);
  /// A live connection's neighbour is not forgotten in favour of a stranger.
  void note_live(Connection::Impl& connection, bool live);
  void note_unsettled(Connection::Impl& connection, bool unsettled);
  /// Null with `why` set when it cannot begin.
  Connection::Impl* connect(const Endpoint& local, const Endpoint& remote, Replication replication,
                            std::uint16_t service, EndReason& why);
  [[nodiscard]] bool is_on_link(const IpAddress& address) const;
  /// Of this node's gateways, the one of that IP version.
  [[nodiscard]] const IpAddress* gateway_for(const IpAddress& address) const;
  /// Whether the address to which packets for `remote` go on the link is resolved.
  [[nodiscard]] bool next_hop_answers(const IpAddress& remote);
  [[nodiscard]] std::uint16_t pick_port(const IpAddress& local, const Endpoint& remote);

  // ---- Closed, and not yet gone (closing.cpp) ----
  std::vector<Connection::Impl*> closing;  ///< closed by their application, and not in TIME-WAIT
  std::size_t closing_next = 0;            ///< whose turn it is
  void watch_closing(Connection::Impl& connection);
  void unwatch_closing(Connection::Impl& connection);
  void give_up_silent_closes();

  // ---- Answers to strangers (answers.cpp) ----
  AnswerBucket challenges, resets, icmp_errors;
  bool may_answer(AnswerBucket& bucket, const AnswerRate& rate, std::uint64_t& limited);

  // ---- Who has something to do ----
  Connection::Impl* last_touched = nullptr;  ///< whose segment leaves next, if one does
  std::vector<Connection::Impl*> touched;    ///< on_state is looked at when the turn ends
  std::vector<Connection::Impl*> work;       ///< run_handlers comes by
  std::vector<Connection::Impl*> starved;    ///< the turn's write budget was too small for them
  std::vector<Connection::Impl*> lost;       ///< their pcb is gone, or is to be aborted
  std::vector<Connection::Impl*> kicking;    ///< wait for the answer to a kick
  std::size_t turn_write_budget = std::numeric_limits<std::size_t>::max();  ///< when the turn began
  std::size_t write_budget = turn_write_budget;                             ///< what is left of it
  std::uint64_t turn_deadline_ns = std::numeric_limits<std::uint64_t>::max();
  bool late = false;  ///< the deadline was seen to have come
  [[nodiscard]] bool out_of_time() {
    late =
        late || (turn_deadline_ns != std::numeric_limits<std::uint64_t>::max() && options.now_ns() >= turn_deadline_ns);
    return late;
  }
  /// What an observer's record of a write takes beside its bytes.
  static constexpr std::size_t kWriteCostBytes = 32;
  [[nodiscard]] std::size_t write_budget_left() const { return write_budget - std::min(write_budget, kWriteCostBytes); }
  void touch(Connection::Impl& connection);
  void give_work(Connection::Impl& connection);
  void starve(Connection::Impl& connection);
  /// Buries what has gone and aborts what is to be aborted. Never from within lwIP.
  void settle();
  bool run_handlers();
  void end_turn();

  // ---- Twin (mirror.cpp) and promotion (activate.cpp, kick.cpp) ----
  DormantList urgent;           ///< dormant, with something outstanding or owed
  bool linked_at_once = false;  ///< by activate(): the turn behind it links no more
  DormantList idle;             ///< dormant, the others
  Adoption adoption = Adoption::fresh;
  Connection::Impl* add_image(ConnectionId id, const ConnectionImage& image, Replication replication,
                              std::string_view* why);
  Connection::Impl* import_connection(const ConnectionImage& image, Replication replication, std::string_view& why);
  Connection::Impl* mirror_open(ConnectionId id, const ConnectionImage& image);
  void mirror_close(Connection::Impl& connection, bool reset);
  void mirror_clear();
  void list_dormant(Connection::Impl& connection);
  void unlist_dormant(Connection::Impl& connection);
  void prepare();
  void activate(Adoption how);
  bool bring_to_life(Connection::Impl& connection);
  bool link_some(std::size_t count);
  /// Links as much as a turn has time for.
  void link_for_a_turn();
  void kick(Connection::Impl& connection);
  void run_kicks();
  [[nodiscard]] std::uint64_t next_kick_ns() const;

  // ---- UDP (udp.cpp) ----
  std::vector<LwipUdpEndpoint*> udp_endpoints;

  std::size_t window_clamp = 0;
  void apply_window_clamp(tcp_pcb& pcb) const;

  StackStatistics counters;
  void read_counters();
};

}  // namespace tandem
