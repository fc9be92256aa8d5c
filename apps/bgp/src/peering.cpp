// SPDX-License-Identifier: BSD-3-Clause
// Sessions: connections, machines, timers, collisions.
#include <algorithm>
#include <utility>

#include "speaker_impl.hpp"

namespace tandem::bgp {

namespace {

// RFC 4271 section 8.2.2: while an OPEN is awaited the hold timer has a large value, of which four minutes are suggested.
constexpr std::uint64_t kOpenHoldMs = 240'000;
// An attempt to connect is given at least this long before it is given up for the next.
constexpr std::uint32_t kConnectMs = 4'000;
// How many prefixes of an ended session are cleared away in one tick, and how many neighbours of a promoted speaker are woken.
constexpr std::size_t kSweepShare = 256;
constexpr std::uint32_t kWakeShare = 32;

constexpr Link other_of(Link link) {
  return {link.neighbor, link.direction == Direction::outgoing ? Direction::incoming : Direction::outgoing};
}

}  // namespace

void Speaker::Impl::start(std::uint64_t now_ms) {
  now_ms_ = now_ms;
  started_ = true;
  for (std::uint32_t i = 0; i < neighbors_.size(); ++i) {
    begin_machine({i, Direction::outgoing});
    begin_machine({i, Direction::incoming});
  }
}

void Speaker::Impl::stop(std::uint64_t now_ms) {
  now_ms_ = now_ms;
  wake_some(UINT32_MAX);
  started_ = false;
  for (std::uint32_t i = 0; i < neighbors_.size(); ++i) {
    for (const Direction d : {Direction::outgoing, Direction::incoming}) {
      for (auto& deadline : session({i, d}).deadline_ms) clear_deadline(deadline);
      neighbors_[i]->reason = "stopped by the operator";
      drive({i, d}, Event::manual_stop);
    }
  }
}

void Speaker::Impl::begin_machine(Link link) {
  auto& idle_until_ms = session(link).deadline_ms[Session::kIdleHold];
  clear_deadline(idle_until_ms);
  PrefixLimit& limit = neighbor(link).limit;
  if (limit.is_held(now_ms_)) {
    if (!limit.is_held_for_good()) set_deadline(idle_until_ms, *limit.held_until_ms);
    return;
  }
  limit.held_until_ms.reset();
  session(link).damped = false;
  if (link.direction == Direction::incoming)
    drive(link, Event::automatic_start_passive);
  else if (!neighbor(link).configuration.passive)
    drive(link, Event::automatic_start);
}

std::optional<Link> Speaker::Impl::accept(const Address& remote, std::uint64_t now_ms) {
  now_ms_ = now_ms;
  if (!active() || !started_) return std::nullopt;
  for (std::uint32_t i = 0; i < neighbors_.size(); ++i) {
    if (neighbors_[i]->configuration.address != remote) continue;
    wake(i);
    if (neighbors_[i]->established) return std::nullopt;
    const Link link{i, Direction::incoming};
    // A peer has no use for two connections of its own: it has forgotten the older one.
    if (session(link).transport) {
      neighbors_[i]->reason = "the peer opened a new connection";
      drive(link, Event::open_collision_dump);
    }
    if (session(link).fsm.state() != State::active) return std::nullopt;
    return link;
  }
  return std::nullopt;
}

void Speaker::Impl::bind(Link link, const Endpoints& endpoints) {
  Session& s = session(link);
  s.connecting = false;
  s.transport = true;
  s.closing = false;
  s.endpoints = endpoints;
  s.sent.reset();
  s.received.reset();
  s.control.clear();
  s.partial_received.clear();
  s.partial_written.clear();
  drive(link, link.direction == Direction::outgoing ? Event::tcp_cr_acked : Event::tcp_connection_confirmed);
}

void Speaker::Impl::transport_connected(Link link, const Endpoints& endpoints, std::uint64_t now_ms) {
  now_ms_ = now_ms;
  wake(link.neighbor);
  const State state = session(link).fsm.state();
  if (state != State::connect && state != State::active) {
    actions_.push_back({Action::Kind::close, link, {}});
    return;
  }
  bind(link, endpoints);
}

void Speaker::Impl::transport_closed(Link link, std::uint64_t now_ms, std::string_view why) {
  now_ms_ = now_ms;
  wake(link.neighbor);
  Session& s = session(link);
  s.closing = false;
  if (!s.transport && !s.connecting) return;
  s.transport = s.connecting = false;
  s.control.clear();
  neighbor(link).reason = why;
  if (!neighbor(link).established) {
    neighbor(link).counters.last_down = why;
    tell_failure(link);
  }
  drive(link, Event::tcp_connection_fails);
}

void Speaker::Impl::drive(Link link, Event event, const Notification* given) {
  // A connection that gives way to another one, or that an operator ends, has not failed.
  const bool fails =
      event != Event::open_collision_dump && event != Event::automatic_stop && event != Event::manual_stop;
  const bool telling = std::exchange(telling_, telling_ && fails);
  for (const FsmAction& action : session(link).fsm.handle(event)) execute(link, action, given);
  telling_ = telling;
  settle(link.neighbor);
}

void Speaker::Impl::execute(Link link, const FsmAction& action, const Notification* given) {
  using Kind = FsmAction::Kind;
  Neighbor& n = neighbor(link);
  Session& s = session(link);
  switch (action.kind) {
    case Kind::connect:
      if (!active()) break;
      s.connecting = true;
      // An attempt that was given up for this one says nothing more, and a twin is not to close this one for it.
      s.closing = false;
      actions_.push_back({Action::Kind::connect, link, {}});
      break;
    case Kind::send_open:
      s.sent = own_open(n);
      send_control(s, encode_open(*s.sent));
      break;
    case Kind::send_keepalive:
      send_control(s, encode_keepalive());
      break;
    case Kind::send_notification:
      s.damped = action.code == static_cast<std::uint8_t>(ErrorCode::fsm);
      // The machine knows that a session stops, who drives it may know why.
      send_notification(n, s, given != nullptr ? *given : Notification{action.code, action.subcode, {}});
      break;
    case Kind::send_given_notification:
      s.damped = true;
      if (given != nullptr) send_notification(n, s, *given);
      break;
    case Kind::close:
      release(link);
      break;
    case Kind::start_timer:
      start_timer(link, action.timer);
      break;
    case Kind::stop_timer:
      clear_deadline(s.deadline_ms[static_cast<std::size_t>(action.timer)]);
      break;
    case Kind::session_up:
      session_up(link);
      break;
    case Kind::session_down:
      session_down(link);
      break;
    case Kind::process_update:
      apply_update(link.neighbor);
      break;
    case Kind::process_route_refresh:
      for (const Family family : kAllFamilies) {
        if (refresh_.afi != afi_of(family) || !n.out.context().family[index_of(family)]) continue;
        rib_.tell_again(link.neighbor, family);
        if (active()) n.out.walk();
      }
      break;
  }
}

/// Gives the connection up. The link is free at once; what is in `control` still goes out.
void Speaker::Impl::release(Link link) {
  Session& s = session(link);
  if (!s.transport && !s.connecting) return;
  s.transport = s.connecting = false;
  s.closing = true;
  s.partial_received.clear();
  s.partial_written.clear();
  // Attempts that fail before a session is up have a reason worth knowing, too.
  if (!neighbor(link).established && !neighbor(link).reason.empty())
    neighbor(link).counters.last_down = neighbor(link).reason;
  if (active()) actions_.push_back({Action::Kind::close, link, {}});
  tell_failure(link);
}

void Speaker::Impl::tell_failure(Link link) {
  Neighbor& n = neighbor(link);
  if (!active() || !started_ || !telling_ || n.established || n.reason.empty()) return;
  std::vector<std::string>& told = n.told_failures;
  if (told.size() >= Neighbor::kMaxToldFailures || std::find(told.begin(), told.end(), n.reason) != told.end()) return;
  told.push_back(n.reason);
  actions_.push_back({Action::Kind::attempt_failed, link, n.reason});
}

void Speaker::Impl::send_control(Session& s, std::vector<std::uint8_t> message) {
  if (!s.control.empty() && s.control.back() == message) return;
  s.control.push_back(std::move(message));
}

void Speaker::Impl::send_notification(Neighbor& n, Session& s, const Notification& notification) {
  if (n.reason.empty() || notification.code != static_cast<std::uint8_t>(ErrorCode::cease))
    n.reason = "sent " + notification.to_string();
  send_control(s, encode_notification(notification));
}

/// After each event: a neighbour with a session needs no second connection, one without needs both machines running.
void Speaker::Impl::settle(std::uint32_t index) {
  Neighbor& n = *neighbors_[index];
  if (n.established) {
    const Link other = other_of({index, *n.established});
    clear_deadline(session(other).deadline_ms[Session::kIdleHold]);
    const State state = session(other).fsm.state();
    if (state == State::idle) return;
    drive(other, state >= State::open_sent ? Event::open_collision_dump : Event::automatic_stop);
    return;
  }
  if (!active() || !started_) return;
  for (const Direction d : {Direction::outgoing, Direction::incoming}) {
    Session& s = n.sessions[static_cast<std::size_t>(d)];
    auto& deadline = s.deadline_ms[Session::kIdleHold];
    if (s.fsm.state() != State::idle || deadline) continue;
    if (n.limit.is_held(now_ms_)) {
      begin_machine({index, d});
    } else if (d == Direction::outgoing) {
      if (!n.configuration.passive) set_deadline(deadline, now_ms_ + jittered(next_backoff(n)));
    } else if (s.damped) {
      set_deadline(deadline, now_ms_ + jittered(next_backoff(n)));
    } else {
      begin_machine({index, d});
    }
  }
}

void Speaker::Impl::start_timer(Link link, Timer timer) {
  if (!active()) return;
  Neighbor& n = neighbor(link);
  Session& s = session(link);
  auto& deadline = s.deadline_ms[static_cast<std::size_t>(timer)];
  clear_deadline(deadline);
  if (timer == Timer::connect_retry) {
    // The machine that accepts connections never opens one: the other does.
    if (link.direction == Direction::outgoing)
      set_deadline(deadline, now_ms_ + jittered(std::max(n.backoff_ms, kConnectMs)));
    return;
  }
  const auto agreed = negotiate(s);
  if (s.fsm.state() == State::open_sent || !agreed) {
    if (timer == Timer::hold) set_deadline(deadline, now_ms_ + kOpenHoldMs);
    return;
  }
  const std::uint64_t hold_ms = agreed->hold_time_s * std::uint64_t{1000};
  if (hold_ms == 0) return;  // RFC 4271 section 4.4: then there are neither
  set_deadline(deadline, now_ms_ + (timer == Timer::hold ? hold_ms : jittered(hold_ms / 3)));
}

void Speaker::Impl::set_deadline(std::optional<std::uint64_t>& deadline, std::uint64_t at_ms) {
  clear_deadline(deadline);
  deadline = at_ms;
  earliest_ms_ = std::min(earliest_ms_, at_ms);
}

void Speaker::Impl::clear_deadline(std::optional<std::uint64_t>& deadline) {
  if (deadline && *deadline <= earliest_ms_) earliest_is_exact_ = false;
  deadline.reset();
}

/// RFC 4271 section 10: less up to a quarter.
std::uint64_t Speaker::Impl::jittered(std::uint64_t interval_ms) {
  random_state_ += 0x9e3779b97f4a7c15ull;
  std::uint64_t r = random_state_;
  r = (r ^ (r >> 30)) * 0xbf58476d1ce4e5b9ull;
  r = (r ^ (r >> 27)) * 0x94d049bb133111ebull;
  r ^= r >> 31;
  return interval_ms - r % (interval_ms / 4 + 1);
}

std::uint64_t Speaker::Impl::next_backoff(Neighbor& n) {
  const std::uint32_t now = n.backoff_ms;
  n.backoff_ms =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{now} * 2, configuration_.connect_retry_max_ms));
  return now;
}

std::optional<std::uint64_t> Speaker::Impl::next_deadline_ms() {
  if (rib_.has_leftovers() || (active() && next_to_wake_ < neighbors_.size())) return 0;
  if (!active() || earliest_ms_ == kNever) return std::nullopt;
  // One that was stopped since may have been the earliest. Asked each turn, so looked for only then.
  if (!earliest_is_exact_) {
    earliest_is_exact_ = true;
    earliest_ms_ = kNever;
    for (const auto& n : neighbors_)
      for (const Session& s : n->sessions)
        for (const auto& deadline : s.deadline_ms)
          if (deadline) earliest_ms_ = std::min(earliest_ms_, *deadline);
  }
  return earliest_ms_ == kNever ? std::nullopt : std::optional(earliest_ms_);
}

void Speaker::Impl::tick(std::uint64_t now_ms) {
  now_ms_ = now_ms;
  rib_.sweep(kSweepShare);
  if (!active()) return;
  wake_some(kWakeShare);
  if (earliest_ms_ > now_ms) return;
  constexpr std::array<Event, kTimers> kExpiry{Event::connect_retry_timer_expires, Event::hold_timer_expires,
                                               Event::keepalive_timer_expires};
  for (std::uint32_t i = 0; i < neighbors_.size(); ++i) {
    for (const Direction d : {Direction::outgoing, Direction::incoming}) {
      const Link link{i, d};
      for (std::size_t timer = 0; timer <= kTimers; ++timer) {
        auto& deadline = session(link).deadline_ms[timer];
        if (!deadline || *deadline > now_ms) continue;
        clear_deadline(deadline);
        if (timer == Session::kIdleHold) {
          begin_machine(link);
        } else {
          if (kExpiry[timer] == Event::hold_timer_expires) neighbor(link).reason = "the hold timer expired";
          if (kExpiry[timer] == Event::connect_retry_timer_expires && session(link).connecting)
            neighbor(link).reason = "it does not answer";
          drive(link, kExpiry[timer]);
        }
      }
    }
  }
}

Open Speaker::Impl::own_open(const Neighbor& n) const {
  Open open;
  open.as = configuration_.as;
  open.hold_time_s = n.configuration.hold_time_s;
  open.router_id = configuration_.router_id;
  open.family.fill(true);
  open.any_multiprotocol = true;
  open.four_octet_as = true;
  open.route_refresh = true;
  return open;
}

std::optional<Speaker::Negotiated> Speaker::Impl::negotiate(const Session& s) {
  if (!s.sent || !s.received) return std::nullopt;
  Negotiated agreed;
  agreed.peer_router_id = s.received->router_id;
  agreed.hold_time_s = std::min(s.sent->hold_time_s, s.received->hold_time_s);
  agreed.four_octet_as = s.sent->four_octet_as && s.received->four_octet_as;
  agreed.route_refresh = s.sent->route_refresh && s.received->route_refresh;
  for (const Family family : kAllFamilies) {
    // RFC 4760 section 8: who says nothing about families speaks IPv4 unicast.
    const bool theirs = s.received->any_multiprotocol ? s.received->family[index_of(family)] : family == Family::ipv4;
    agreed.family[index_of(family)] = s.sent->family[index_of(family)] && theirs;
  }
  return agreed;
}

UpdateContext Speaker::Impl::written_context(const Neighbor& n, const Negotiated& agreed) const {
  UpdateContext context;
  context.four_octet_as = agreed.four_octet_as;
  context.external = n.external;
  context.export_all = configuration_.export_all;
  context.family = agreed.family;
  context.check_meaning = false;
  return context;
}

/// RFC 4271 section 6.8, with RFC 6286 for equal identifiers. True: this connection is the one to close.
bool Speaker::Impl::loses_collision(Link link, const Open& open) {
  const State other = session(other_of(link)).fsm.state();
  if (other == State::established) return true;
  if (other != State::open_confirm) return false;
  const bool ours_survives = configuration_.router_id != open.router_id ? configuration_.router_id > open.router_id
                                                                        : configuration_.as > open.as;
  const Direction survivor = ours_survives ? Direction::outgoing : Direction::incoming;
  if (link.direction != survivor) return true;
  drive(other_of(link), Event::open_collision_dump);
  return false;
}

void Speaker::Impl::session_up(Link link) {
  Neighbor& n = neighbor(link);
  Session& s = session(link);
  const auto agreed = negotiate(s);
  if (!agreed) return;
  n.established = link.direction;
  n.established_since_ms = now_ms_;
  n.reason.clear();
  n.told_failures.clear();
  n.limit.warned = {};
  n.limit.held_until_ms.reset();
  ++n.counters.times_established;
  rib_.set_rank(link.neighbor, n.external, agreed->peer_router_id);
  n.out.begin(written_context(n, *agreed), s.endpoints);
  if (active()) {
    n.out.walk();
    actions_.push_back({Action::Kind::session_up, link, {}});
  }
}

void Speaker::Impl::session_down(Link link) {
  Neighbor& n = neighbor(link);
  if (n.established != link.direction) return;
  n.established.reset();
  // A session that has lasted is no oscillation.
  if (now_ms_ - n.established_since_ms >= 2ull * n.backoff_ms) n.backoff_ms = configuration_.connect_retry_min_ms;
  n.counters.last_down = n.reason.empty() ? "closed" : n.reason;
  n.reason.clear();
  rib_.detach(link.neighbor);
  n.out.end();
  if (active()) actions_.push_back({Action::Kind::session_down, link, n.counters.last_down});
}

}  // namespace tandem::bgp
