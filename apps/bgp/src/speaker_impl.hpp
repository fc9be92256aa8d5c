// SPDX-License-Identifier: BSD-3-Clause
// The inside of the speaker. Its functions stand in five files: peering.cpp (sessions and timers), prefix_limit.cpp, routing.cpp
// (messages and routes), twin.cpp (observation and promotion), snapshot.cpp (late joiners); speaker.cpp has the views and the way in.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "adj_rib_out.hpp"
#include "bgp/framer.hpp"
#include "bgp/speaker.hpp"
#include "little_endian.hpp"
#include "prefix_limit.hpp"
#include "rib.hpp"

namespace tandem::bgp {

/// One of the two connections that a neighbour may have, with its machine.
struct Session {
  // Beside the machine's own timers: when a machine that fell to Idle starts again.
  static constexpr std::size_t kIdleHold = kTimers;

  Fsm fsm;
  bool connecting = false;  // the transport was asked to connect and has not answered
  bool transport = false;   // a connection is bound and in use
  bool closing = false;     // given up: only `control` still goes out
  bool damped = false;      // fell because of an error of the protocol: not to be accepted again at once
  Endpoints endpoints;
  std::optional<Open> sent;
  std::optional<Open> received;
  // OPEN, KEEPALIVE, NOTIFICATION that are to be written, at most one of each kind in a row, so that it stays short.
  std::deque<std::vector<std::uint8_t>> control;
  // Beginnings of messages, on the twin only: the primary consumes and writes whole ones.
  std::vector<std::uint8_t> partial_received;
  std::vector<std::uint8_t> partial_written;
  std::array<std::optional<std::uint64_t>, kTimers + 1> deadline_ms;
};

struct Neighbor {
  Neighbor(NeighborConfiguration c, Rib& rib, std::uint32_t index, std::uint32_t own_as)
      : configuration(std::move(c)), external(configuration.as != own_as), out(rib, index, own_as) {
    limit.max = configuration.max_prefix;
  }

  NeighborConfiguration configuration;
  bool external;
  std::array<Session, 2> sessions;
  std::optional<Direction> established;
  std::uint64_t established_since_ms = 0;
  std::uint32_t backoff_ms = 0;
  AdjRibOut out;
  NeighborStatistics counters;  // only what is counted; the rest is filled in for a reader
  PrefixLimit limit;
  std::string reason;  // why the session is about to end
  // Reasons for which no session came up that were told since one was: each attempt fails for the same ones.
  static constexpr std::size_t kMaxToldFailures = 8;
  std::vector<std::string> told_failures;
  bool asleep = false;  // a promoted speaker has not come to it
};

class Speaker::Impl {
 public:
  Impl(Configuration configuration, Mode mode);

  // peering.cpp
  void start(std::uint64_t now_ms);
  void stop(std::uint64_t now_ms);
  std::optional<Link> accept(const Address& remote, std::uint64_t now_ms);
  void transport_connected(Link link, const Endpoints& endpoints, std::uint64_t now_ms);
  void transport_closed(Link link, std::uint64_t now_ms, std::string_view why);
  std::optional<std::uint64_t> next_deadline_ms();
  void tick(std::uint64_t now_ms);

  // routing.cpp
  std::size_t receive(Link link, ByteSpan unread, std::uint64_t now_ms);
  Pulled next_message(Link link, std::span<std::uint8_t> room, std::size_t& written_bytes);

  // twin.cpp
  void observe_connecting(Link link);
  void observe_opened(Link link, const Endpoints& endpoints, std::uint64_t now_ms);
  void observe_received(Link link, ByteSpan consumed, std::uint64_t now_ms);
  void observe_written(Link link, ByteSpan written, std::uint64_t now_ms);
  void observe_closed(Link link, std::uint64_t now_ms);
  void begin_promotion(std::uint64_t now_ms);
  /// Up to `count` more neighbours of a promoted speaker, in their order.
  void wake_some(std::uint32_t count);

  // snapshot.cpp
  bool save(SaveCursor& cursor, std::size_t max_bytes, std::vector<std::uint8_t>& piece, std::uint64_t now_ms) const;
  std::vector<std::uint8_t> save_neighbor(std::uint32_t index, std::uint64_t now_ms) const;
  std::string restore(ByteSpan piece, std::uint64_t now_ms);

  Neighbor& neighbor(Link link) { return *neighbors_[link.neighbor]; }
  Session& session(Link link) { return neighbor(link).sessions[static_cast<std::size_t>(link.direction)]; }
  const Session& session(Link link) const {
    return neighbors_[link.neighbor]->sessions[static_cast<std::size_t>(link.direction)];
  }
  static std::optional<Negotiated> negotiate(const Session& s);

  Configuration configuration_;
  Mode mode_;
  bool started_ = false;
  bool telling_ = true;       // whether what ends now is worth a word to the operator
  std::uint64_t now_ms_ = 0;  // the latest that was told
  Rib rib_;
  std::vector<std::unique_ptr<Neighbor>> neighbors_;
  std::deque<Action> actions_;

 private:
  bool active() const { return mode_ == Mode::active; }

  // peering.cpp
  void drive(Link link, Event event, const Notification* given = nullptr);
  void execute(Link link, const FsmAction& action, const Notification* given);
  void settle(std::uint32_t index);
  void begin_machine(Link link);
  void bind(Link link, const Endpoints& endpoints);
  void release(Link link);
  void tell_failure(Link link);
  void send_control(Session& s, std::vector<std::uint8_t> message);
  void send_notification(Neighbor& n, Session& s, const Notification& notification);
  void start_timer(Link link, Timer timer);
  void set_deadline(std::optional<std::uint64_t>& deadline, std::uint64_t at_ms);
  void clear_deadline(std::optional<std::uint64_t>& deadline);
  std::uint64_t jittered(std::uint64_t interval_ms);
  std::uint64_t next_backoff(Neighbor& n);
  bool loses_collision(Link link, const Open& open);
  void session_up(Link link);
  void session_down(Link link);
  Open own_open(const Neighbor& n) const;
  UpdateContext written_context(const Neighbor& n, const Negotiated& negotiated) const;

  // prefix_limit.cpp
  void check_prefix_limit(Link link);
  void hold_down(Neighbor& n);

  // routing.cpp
  bool take(Link link, const Frame& frame);
  void take_open(Link link, ByteSpan message);
  void take_update(Link link, ByteSpan message);
  void take_refresh(Link link, ByteSpan message);
  void apply_update(std::uint32_t index);
  void announce(std::uint32_t index, const std::vector<Prefix>& prefixes);

  // twin.cpp
  /// A promoted neighbour's sessions come to life; nothing where that has been done.
  void wake(std::uint32_t index);
  void take_written(Link link, const Frame& frame);
  void take_written_update(Link link, ByteSpan message);
  template <class Take>
  void cut(std::vector<std::uint8_t>& partial, ByteSpan bytes, MalformationCounters& counters, Take&& take);

  // snapshot.cpp
  using AttributeNumbers = std::unordered_map<std::uint32_t, AttributeId>;
  std::string restore_neighbor(PieceReader& record);
  std::string restore_attributes(PieceReader& record, AttributeNumbers& sets);
  std::string restore_route(PieceReader& record, const AttributeNumbers& sets);

  static constexpr std::uint64_t kNever = UINT64_MAX;
  std::uint64_t earliest_ms_ = kNever;       // no deadline is earlier
  bool earliest_is_exact_ = true;            // else it may have been stopped
  std::uint32_t next_to_wake_ = UINT32_MAX;  // of a promoted speaker; all before it were
  std::uint64_t random_state_;
  Update update_;  // kept for its memory
  RouteRefresh refresh_;
};

}  // namespace tandem::bgp
