// SPDX-License-Identifier: BSD-3-Clause
// A BGP speaker without I/O and without a clock. One object serves every role:
//
//   primary  bytes and timer ticks go in, actions and messages are pulled out;
//   twin     is shown the bytes that the primary consumed and wrote, and so holds the same sessions, the same Adj-RIB-In and
//            the same picture of what each peer was told. promote() turns it into a primary, which sends each peer the
//            difference between what it should know and what it was told, and nothing else.
//
// Times are milliseconds of any steady clock; only differences count. Not thread safe. Nothing here throws, except for
// memory that cannot be had.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bgp/attributes.hpp"
#include "bgp/codec.hpp"
#include "bgp/configuration.hpp"
#include "bgp/fsm.hpp"
#include "bgp/statistics.hpp"

namespace tandem::bgp {

/// Who opened a connection. A neighbour has at most one of each.
enum class Direction : std::uint8_t { outgoing = 0, incoming = 1 };

/// One connection with one neighbour; neighbours are counted as the configuration lists them.
struct Link {
  std::uint32_t neighbor = 0;
  Direction direction = Direction::outgoing;
  bool operator==(const Link&) const = default;
};

/// What the transport knows about a connection. A family whose own next hop is absent and does not follow from `local` is not
/// announced to external neighbours there, nor are own networks.
struct Endpoints {
  Address local;
  Address remote;
  std::optional<Address> next_hop_ipv4;
  std::optional<Address> next_hop_ipv6;
  std::optional<Address> link_local;  // RFC 2545: beside the global address, when both ends share the link
};

/// What the host has to do. `close`: pull messages from that link until it has none, write them as far as there is room, then
/// close the connection in an orderly way; the link is free for the next connection afterwards.
struct Action {
  enum class Kind : std::uint8_t {
    connect,
    close,
    session_up,
    session_down,
    attempt_failed,  // a session could not come up, for a reason that has not been told since the last one was up
    prefix_warning,  // the neighbour announces four fifths of what max_prefix allows; once a session and family
  };
  Kind kind = Kind::close;
  Link link;
  std::string reason;  // of session_down, attempt_failed and prefix_warning
};

enum class Pulled : std::uint8_t {
  message,  // one whole message; it must be written, for it counts as told
  idle,     // nothing to say
  no_room,  // something to say, and the room is too small for it
  busy      // this call's share of the table was looked through without result: pull again in a later turn
};

/// Where save() goes on. A fresh one starts at the beginning.
struct SaveCursor {
  std::uint32_t stage = 0;
  std::uint32_t neighbor = 0;
  std::uint32_t prefix = 0;

  /// As one number, 0 at the start, for hosts that carry it so.
  std::uint64_t packed() const { return std::uint64_t{stage} << 48 | std::uint64_t{neighbor} << 32 | prefix; }
  static SaveCursor unpacked(std::uint64_t number) {
    return {static_cast<std::uint32_t>(number >> 48), static_cast<std::uint32_t>(number >> 32 & 0xffff),
            static_cast<std::uint32_t>(number)};
  }
};

class Speaker {
 public:
  enum class Mode : std::uint8_t { active, observing };

  /// A configuration for which check() has a complaint is a programming error.
  Speaker(Configuration configuration, Mode mode);
  ~Speaker();
  Speaker(const Speaker&) = delete;
  Speaker& operator=(const Speaker&) = delete;

  const Configuration& configuration() const;
  Mode mode() const;

  // ---- Primary -------------------------------------------------------------------------------------------------------

  /// Starts all neighbours. (A promoted twin has started already.)
  void start(std::uint64_t now_ms);
  /// Ends all sessions with Cease/Administrative Shutdown; drain actions and messages afterwards.
  void stop(std::uint64_t now_ms);

  /// A connection from `remote` came in: the link that it may use, or nothing when it has to be refused. Execute the actions before the
  /// connection is bound to the link: an older connection on the same link may have been given up for it.
  std::optional<Link> accept(const Address& remote, std::uint64_t now_ms);
  void transport_connected(Link link, const Endpoints& endpoints, std::uint64_t now_ms);
  /// Attempt failed, end of stream, reset: all the same to BGP.
  /// `why`: a phrase for people.
  void transport_closed(Link link, std::uint64_t now_ms, std::string_view why = "the connection was closed");

  /// Takes whole messages off `unread` and returns how many bytes that were; the host leaves the rest in its queue. Give a part
  /// of a long queue to bound the time spent. Consume before writing what follows from it, so that a twin sees cause before effect.
  std::size_t receive(Link link, ByteSpan unread, std::uint64_t now_ms);

  /// Messages are made when there is room for them: changes of a prefix that follow one another before that become one.
  Pulled next_message(Link link, std::span<std::uint8_t> room, std::size_t& written_bytes);
  /// In order; false: none left.
  bool next_action(Action& action);

  /// The earliest time at which tick() has something to do; nothing: never. 0 while work is left over from an ended session or
  /// a promotion: a share of it, some hundred routes or some tens of neighbours, is done by each call.
  std::optional<std::uint64_t> next_deadline_ms() const;
  /// Timers that are due, and a bounded share of left-over work. On the twin only the latter.
  void tick(std::uint64_t now_ms);

  // ---- Twin ----------------------------------------------------------------------------------------------------------

  /// The primary is connecting (the connection itself is mirrored before it is established).
  void observe_connecting(Link link);
  void observe_opened(Link link, const Endpoints& endpoints, std::uint64_t now_ms);
  /// Bytes that the primary consumed, in pieces of any size.
  void observe_received(Link link, ByteSpan consumed, std::uint64_t now_ms);
  /// Bytes that the primary wrote, in pieces of any size.
  void observe_written(Link link, ByteSpan written, std::uint64_t now_ms);
  void observe_closed(Link link, std::uint64_t now_ms);

  /// From now on this is the primary: timers start afresh, each live session gets a KEEPALIVE at once and is compared with what it
  /// was told, neighbours without a session are started. Takes time in the number of neighbours, not of routes.
  void promote(std::uint64_t now_ms);
  /// The same, put off: each neighbour comes to life when it is asked for something, and some with every tick().
  void begin_promotion(std::uint64_t now_ms);

  // ---- Late joiner ---------------------------------------------------------------------------------------------------

  /// No piece is longer than max_bytes, which must be at least this.
  static constexpr std::size_t kMinPieceBytes = 32768;

  /// The next piece of the whole state as it is now; false: the whole was given (and `piece` is empty). Between pieces the speaker goes on as always,
  /// provided that the joiner is shown what happens from the first piece on, in order with the pieces.
  /// `now_ms`: as elsewhere, so that a speaker to which nothing has happened for long does not give its times too young.
  bool save(SaveCursor& cursor, std::size_t max_bytes, std::vector<std::uint8_t>& piece,
            std::uint64_t now_ms = 0) const;
  /// The piece of one neighbour's sessions alone (parser state, negotiated parameters, what is owed), without routes: to travel
  /// with the snapshot of its connection.
  std::vector<std::uint8_t> save_neighbor(std::uint32_t neighbor, std::uint64_t now_ms = 0) const;
  /// On a fresh speaker in observing mode. The order of pieces does not matter while nothing happens between them. Empty: applied; else
  /// what is wrong with the piece, and the speaker is of no further use.
  std::string restore(ByteSpan piece, std::uint64_t now_ms);

  // ---- Views (both roles) --------------------------------------------------------------------------------------------

  std::size_t neighbor_count() const;
  std::optional<std::uint32_t> find_neighbor(const Address& remote) const;
  State state(Link link) const;
  /// The more advanced of the neighbour's two connections.
  State neighbor_state(std::uint32_t neighbor) const;
  /// What the session of this link has agreed on: nothing before OPENs were exchanged.
  struct Negotiated {
    std::uint32_t peer_router_id = 0;
    std::uint16_t hold_time_s = 0;
    bool four_octet_as = false;
    bool route_refresh = false;
    std::array<bool, kFamilies> family{};
    bool operator==(const Negotiated&) const = default;
  };
  std::optional<Negotiated> negotiated(Link link) const;

  Statistics statistics(std::uint64_t now_ms) const;

  using RouteVisitor = std::function<void(const Prefix&, const PathAttributes&)>;
  /// In no particular order.
  void for_each_received(std::uint32_t neighbor, Family family, const RouteVisitor& visit) const;
  void for_each_told(std::uint32_t neighbor, Family family, const RouteVisitor& visit) const;
  /// What the neighbour should be told, by policy; empty while its session is not Established.
  void for_each_wanted(std::uint32_t neighbor, Family family, const RouteVisitor& visit) const;
  /// `source` is the neighbour's number, or nothing for an own network.
  using BestVisitor = std::function<void(const Prefix&, const PathAttributes&, std::optional<std::uint32_t> source)>;
  void for_each_best(Family family, const BestVisitor& visit) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::bgp
