// SPDX-License-Identifier: BSD-3-Clause
#include "bgp_run/peer.hpp"

#include <algorithm>

#include "kernel.hpp"

namespace tandem::sim {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint16_t kClientService = 30;
constexpr std::uint64_t kReconnect_ns = 50 * kMs;
/// Longer than a frame of a group that is lost is under way.
constexpr std::uint64_t kAfterLoss_ns = 100 * kMs;
/// A lazy reader takes so many messages at a time.
constexpr std::size_t kLazyMessages = 4;

std::string text_of(const BgpRoute* route) { return route == nullptr ? "nothing" : to_string(*route); }

}  // namespace

/// One connection. Which of them is a neighbour's session stands with the neighbour.
class BgpPeer::Session final : public Handler {
 public:
  Session(BgpPeer& peer, std::size_t index) : peer_(peer), index_(index) {}
  void on_connected(Connection& c) override { peer_.connected(index_, c); }
  void on_receive(Connection& c, Bytes unread) override {
    const std::size_t taken = peer_.take(index_, c, unread, false);
    if (taken != 0) c.consume(taken);
  }
  void on_writable(Connection&) override { peer_.pump(index_); }
  void on_eof(Connection& c) override {
    // One that reads slowly reads the rest now.
    for (std::size_t taken = 1; taken != 0 && !c.unread().empty();) {
      taken = peer_.take(index_, c, c.unread(), true);
      c.consume(taken);
    }
    peer_.gone(index_, c, "was closed");
    c.close();
  }
  void on_reset(Connection& c) override { peer_.gone(index_, c, "was reset"); }
  void on_closed(Connection& c) override { peer_.gone(index_, c, "was closed"); }

 private:
  BgpPeer& peer_;
  std::size_t index_;
};

BgpPeer::BgpPeer(Kernel& kernel, const BgpPlan& plan, const Script& script)
    : kernel_(kernel), plan_(plan), script_(script), prng_(script.seed, 9), neighbours_(plan.neighbours.size()) {
  for (std::size_t i = 0; i < neighbours_.size(); ++i) {
    for (const IpPrefix& prefix : plan_.neighbours[i].prefixes) histories_[prefix].owner = i;
    if (plan_.neighbours[i].passive) neighbours_[i].connect_at_ns = script_.begin_ns + prng_.skewed(20 * kMs);
  }
  if (script_.changes != 0) change_at_ns_ = script_.begin_ns;
  // Some routes are there before the session is.
  for (std::size_t i = 0; i < neighbours_.size(); ++i) {
    const auto& prefixes = plan_.neighbours[i].prefixes;
    for (std::size_t at = 0; at < prefixes.size();) {
      BgpUpdate update = plan_.draw_attributes(i, prng_);
      for (std::uint64_t count = prng_.between(1, 8); count > 0 && at < prefixes.size(); --count, ++at)
        update.announced.push_back(prefixes[at]);
      if (plan_.bulk || prng_.one_in(2)) announce(i, update);
    }
  }
}

void BgpPeer::happens() {
  ++happened_;
  happened_at_ns_ = kernel_.now_ns;
}

std::string BgpPeer::name(std::size_t index) const { return plan_.neighbours[index].address.address.to_string(); }

void BgpPeer::wrong(const char* rule, std::size_t neighbour, const std::string& text) {
  kernel_.director().violation(rule, "neighbour " + name(neighbour) + ": " + text);
}

void BgpPeer::set_up(Stack& stack) {
  stack_ = &stack;
  stack.define_service(kBgpPort, [this](Connection& connection) -> std::unique_ptr<Handler> {
    for (std::size_t i = 0; i < neighbours_.size(); ++i) {
      if (plan_.neighbours[i].address.address == connection.local().address && !neighbours_[i].silent)
        return std::make_unique<Session>(*this, i);
    }
    return nullptr;
  });
  stack.define_service(kClientService, [this](Connection&) { return std::make_unique<Session>(*this, opening_); });
  for (const BgpPlan::Neighbour& neighbour : plan_.neighbours)
    if (!neighbour.passive) stack.listen({neighbour.address.address, kBgpPort}, unreplicated, kBgpPort);
}

// ---- Sessions ----

void BgpPeer::connect(std::size_t index) {
  Neighbour& n = neighbours_[index];
  n.connect_at_ns = UINT64_MAX;
  opening_ = index;
  const IpAddress& own = plan_.neighbours[index].address.address;
  kernel_.trace("neighbour %s connects", name(index).c_str());
  n.connection = stack_->connect({own, 0}, {own.is_v6() ? plan_.v6.address : plan_.v4.address, kBgpPort}, unreplicated,
                                 kClientService);
  if (n.connection == nullptr) return wrong("set-up", index, "it cannot open a connection");
  n.state = State::connecting;
  n.may_break = n.lost = new_ones_may_break_;
}

void BgpPeer::connected(std::size_t index, Connection& connection) {
  Neighbour& n = neighbours_[index];
  if (Connection* const before = n.connection; before != nullptr && before != &connection) {
    if (n.state == State::established && !n.lost && !finishing_) {
      if (!has_broken_)
        wrong("no session ends", index, "a second connection is opened while its session is established");
      // RFC 4271 section 6.8. It is one that a group before had begun, and that is closed when its peer hears of it at last.
      return connection.abort();
    }
    has_broken_ = true;
    gone(index, *before, "has a successor");
    before->abort();
  }
  n.connection = &connection;
  n.connect_at_ns = UINT64_MAX;
  // It may have been begun by a group that is lost by now.
  n.may_break = new_ones_may_break_ || kernel_.now_ns < lost_at_ns_ + kAfterLoss_ns;
  n.lost = new_ones_may_break_;
  n.state = State::open_sent;
  n.hold_until_ns = kernel_.now_ns + plan_.hold_s * 1000 * kMs;
  connection.set_no_delay(true);
  const BgpPlan::Neighbour& self = plan_.neighbours[index];
  say(index, write_open({self.as, self.router_id, plan_.hold_s}));
}

void BgpPeer::gone(std::size_t index, Connection& connection, const char* how) {
  Neighbour& n = neighbours_[index];
  if (n.connection != &connection) return;
  happens();
  kernel_.trace("the session of neighbour %s %s", name(index).c_str(), how);
  if (!n.may_break && !n.restarts && !finishing_ && !n.silent)
    wrong("no session ends", index, std::string("its connection ") + how);
  has_broken_ = true;
  if (n.state == State::established)
    for (const auto& [prefix, route] : n.announced) remember(index, prefix, nullptr);
  n.connection = nullptr;
  n.state = State::idle;
  n.may_break = n.lost = false;
  n.told.clear();
  n.outgoing.clear();
  n.keepalive_at_ns = n.hold_until_ns = UINT64_MAX;
  if (plan_.neighbours[index].passive && !finishing_ && !n.silent) n.connect_at_ns = kernel_.now_ns + kReconnect_ns;
}

void BgpPeer::give_up(std::size_t index) {
  Connection* const connection = neighbours_[index].connection;
  gone(index, *connection, "is given up");
  connection->abort();
}

/// Neighbours that connect end their sessions, by FIN or by RST, at one and the same moment, and come again.
void BgpPeer::restart_some() {
  for (std::size_t i = 0; i < neighbours_.size(); ++i) {
    Neighbour& n = neighbours_[i];
    if (!plan_.neighbours[i].passive || n.state != State::established || n.silent || prng_.one_in(4)) continue;
    n.may_break = n.restarts = true;
    Connection* const connection = n.connection;
    gone(i, *connection, "is ended by the neighbour");
    if (prng_.one_in(2))
      connection->close();
    else
      connection->abort();
  }
}

void BgpPeer::may_break(bool also_new_ones) {
  has_broken_ = true;
  new_ones_may_break_ = also_new_ones;
  lost_at_ns_ = kernel_.now_ns;
  for (Neighbour& n : neighbours_) {
    if (n.state == State::idle) continue;
    n.may_break = n.lost = true;
    // A SYN that nobody has seen is not waited for.
    if (n.state == State::connecting) n.connect_at_ns = kernel_.now_ns + kReconnect_ns;
    // Whoever speaks learns soon that nobody is there any more.
    if (n.state == State::established && prng_.one_in(2)) n.keepalive_at_ns = kernel_.now_ns + prng_.below(50 * kMs);
  }
}

void BgpPeer::fall_silent(std::size_t neighbour) {
  has_broken_ = true;
  happens();
  kernel_.trace("neighbour %s says nothing any more", name(neighbour).c_str());
  neighbours_[neighbour].silent = true;
}

void BgpPeer::say(std::size_t index, std::string message) {
  Neighbour& n = neighbours_[index];
  if (n.silent) return;
  if (kernel_.tracing)
    kernel_.trace("BGP %s > us  %s", name(index).c_str(),
                  tell_message({reinterpret_cast<const std::uint8_t*>(message.data()), message.size()}).c_str());
  n.outgoing.push_back(std::move(message));
  if (n.state == State::established) n.keepalive_at_ns = kernel_.now_ns + plan_.hold_s * 1000 * kMs / 3;
  pump(index);
}

void BgpPeer::pump(std::size_t index) {
  Neighbour& n = neighbours_[index];
  while (n.connection != nullptr && n.state != State::connecting && !n.outgoing.empty()) {
    const std::string& message = n.outgoing.front();
    if (n.connection->writable() < message.size()) return;
    if (!n.connection->write({reinterpret_cast<const std::uint8_t*>(message.data()), message.size()})) return;
    n.outgoing.pop_front();
  }
}

std::size_t BgpPeer::take(std::size_t index, Connection& connection, Bytes unread, bool all) {
  Neighbour& n = neighbours_[index];
  if (n.connection != &connection) return unread.size();
  if (plan_.lazy && !all && !reading_ && n.state == State::established) return 0;
  std::size_t taken = 0;
  for (std::size_t messages = 0; n.connection == &connection; ++messages) {
    const Bytes rest = unread.subspan(taken);
    if (rest.size() < kBgpHeaderBytes || (plan_.lazy && !all && messages == kLazyMessages)) return taken;
    const std::size_t length = std::size_t{rest[16]} << 8 | rest[17];
    if (length < kBgpHeaderBytes || length > kBgpMostBytes ||
        std::any_of(rest.begin(), rest.begin() + 16, [](std::uint8_t octet) { return octet != 0xff; })) {
      wrong("well-formed messages", index, "a header has a wrong marker or length");
      return unread.size();
    }
    if (rest.size() < length) return taken;
    taken += length;
    take_message(index, rest.first(length));
  }
  return unread.size();
}

void BgpPeer::take_message(std::size_t index, Bytes message) {
  using namespace bgp_type;
  Neighbour& n = neighbours_[index];
  ++messages_;
  if (kernel_.tracing) kernel_.trace("BGP us > %s  %s", name(index).c_str(), tell_message(message).c_str());
  if (n.state >= State::open_confirm) n.hold_until_ns = kernel_.now_ns + plan_.hold_s * 1000 * kMs;
  const std::uint8_t type = message[kBgpHeaderBytes - 1];
  if (type == kOpen && n.state == State::open_sent) {
    const auto open = read_open(message);
    if (!open || open->as != plan_.as || open->router_id != plan_.router_id || open->hold_s != plan_.hold_s)
      return wrong("well-formed messages", index, "its OPEN is " + tell_message(message));
    n.state = State::open_confirm;
    n.hold_until_ns = kernel_.now_ns + plan_.hold_s * 1000 * kMs;
    say(index, write_message(kKeepalive, {}));
  } else if (type == kKeepalive && n.state == State::open_confirm) {
    establish(index);
  } else if (type == kUpdate && n.state == State::established) {
    const auto update = read_update(message);
    if (!update) return wrong("well-formed messages", index, "an UPDATE is malformed");
    take_update(index, *update);
  } else if (type == kNotification) {
    const bool expired = message.size() > kBgpHeaderBytes && message[kBgpHeaderBytes] == 4;
    if (n.silent && expired) n.noticed = true;
    if (!n.may_break && !finishing_ && !n.silent)
      wrong("no session ends", index, "it is sent a " + tell_message(message));
    Connection* const connection = n.connection;
    gone(index, *connection, "was ended by a NOTIFICATION");
    connection->close();
  } else if (type != kKeepalive || n.state != State::established) {
    wrong("well-formed messages", index, "out of place: " + tell_message(message));
  }
}

void BgpPeer::establish(std::size_t index) {
  Neighbour& n = neighbours_[index];
  n.state = State::established;
  n.restarts = false;
  happens();
  n.keepalive_at_ns = kernel_.now_ns;
  kernel_.trace("the session of neighbour %s is established", name(index).c_str());
  // Prefixes of one route go together.
  std::map<BgpRoute, BgpUpdate> updates;
  for (const auto& [prefix, route] : n.announced) {
    BgpUpdate& update = updates[route];
    update.announced.push_back(prefix);
    remember(index, prefix, &route);
  }
  for (auto& [route, update] : updates) {
    update.attributes = route;
    const std::string hop = find(route, bgp_type::kNextHop)->value;
    (hop.size() == 16 ? update.next_hop_v6 : update.next_hop_v4) = hop;
    drop(update.attributes, bgp_type::kNextHop);
    // Few of them at a time, so that no message becomes too long.
    constexpr std::size_t kTogether = 40;
    std::vector<IpPrefix> all = std::move(update.announced);
    for (std::size_t at = 0; at < all.size(); at += kTogether) {
      const auto from = all.begin() + static_cast<std::ptrdiff_t>(at);
      update.announced.assign(from, from + static_cast<std::ptrdiff_t>(std::min(kTogether, all.size() - at)));
      say(index, write_update(update));
    }
  }
}

// ---- What is said ----

void BgpPeer::remember(std::size_t index, const IpPrefix& prefix, const BgpRoute* route) {
  const auto at = histories_.find(prefix);
  if (at == histories_.end()) return;
  auto& versions = at->second.versions;
  const auto said = route == nullptr ? std::nullopt : std::optional<BgpRoute>(*route);
  if (at->second.owner == index && versions.back() != said) versions.push_back(said);
}

void BgpPeer::announce(std::size_t index, const BgpUpdate& update) {
  Neighbour& n = neighbours_[index];
  const bool now = n.state == State::established;
  happens();
  for (const IpPrefix& prefix : update.withdrawn) {
    n.announced.erase(prefix);
    if (now) remember(index, prefix, nullptr);
  }
  for (const IpPrefix& prefix : update.announced) {
    const BgpRoute& route = n.announced[prefix] = update.route_of(prefix);
    if (now) remember(index, prefix, &route);
  }
  if (now) say(index, write_update(update));
}

void BgpPeer::change() {
  if (script_.restarts && !hurries_ && prng_.one_in(8)) return restart_some();
  const std::size_t index = prng_.below(neighbours_.size());
  Neighbour& n = neighbours_[index];
  const auto& own = plan_.neighbours[index].prefixes;
  const auto some = [&]() -> const IpPrefix& {
    // What the group announces itself is the better one there, whatever is said of it.
    if (!plan_.networks.empty() && prng_.one_in(12)) return plan_.networks[prng_.below(plan_.networks.size())];
    if (!plan_.contested.empty() && prng_.one_in(3)) return plan_.contested[prng_.below(plan_.contested.size())];
    return own[prng_.below(own.size())];
  };
  BgpUpdate update = plan_.draw_attributes(index, prng_);
  const auto add = [&](std::vector<IpPrefix>& to, const IpPrefix& prefix) {
    const auto has = [&](const std::vector<IpPrefix>& list) {
      return std::find(list.begin(), list.end(), prefix) != list.end();
    };
    if (!has(update.announced) && !has(update.withdrawn)) to.push_back(prefix);
  };
  const std::uint64_t roll = prng_.below(20);
  if (roll == 0 && n.state == State::established) {
    // The whole table is told again.
    const bool v6 = prng_.one_in(2);
    return say(index, write_message(bgp_type::kRefresh,
                                    std::string("\x00", 1) + (v6 ? '\x02' : '\x01') + std::string("\x00\x01", 2)));
  }
  // One family alone most often, both now and then.
  const bool both = prng_.one_in(8);
  const bool v6 = prng_.one_in(2);
  const auto fits = [&](const IpPrefix& prefix) { return both || prefix.address.is_v6() == v6; };
  const bool withdraws = roll < 8, announces = roll >= 6;
  for (std::uint64_t count = 1 + prng_.skewed(plan_.bulk ? 100 : 6); count > 0; --count) {
    if (announces)
      if (const IpPrefix& prefix = some(); fits(prefix)) add(update.announced, prefix);
    if (withdraws)
      if (const IpPrefix& prefix = some(); fits(prefix)) add(update.withdrawn, prefix);
  }
  if (!update.announced.empty() || !update.withdrawn.empty()) announce(index, update);
}

std::uint64_t BgpPeer::on_turn(Stack&, std::uint64_t now_ns) {
  std::uint64_t next = UINT64_MAX;
  while (change_at_ns_ <= now_ns && script_.changes > 0) {
    --script_.changes;
    change_at_ns_ = now_ns + (hurries_ ? 50'000 : 1 + prng_.skewed(2 * script_.every_ns));
    if (!finishing_) change();
  }
  if (script_.changes > 0) next = std::min(next, change_at_ns_);
  for (std::size_t i = 0; i < neighbours_.size(); ++i) {
    Neighbour& n = neighbours_[i];
    if (finishing_) break;
    if (n.connect_at_ns <= now_ns && n.state == State::connecting) {
      give_up(i);
    } else if (n.connect_at_ns <= now_ns) {
      connect(i);
    }
    if (n.keepalive_at_ns <= now_ns) {
      n.keepalive_at_ns = UINT64_MAX;
      say(i, write_message(bgp_type::kKeepalive, {}));
    }
    if (n.hold_until_ns <= now_ns && !n.silent) {
      if (!n.may_break) wrong("keepalives", i, "it has heard nothing for as long as the hold time");
      give_up(i);
    }
    next = std::min({next, n.connect_at_ns, n.keepalive_at_ns, n.hold_until_ns});
  }
  return std::max(next, now_ns + 1000);
}

void BgpPeer::on_poke(Stack&) {
  if (!plan_.lazy) return;
  reading_ = true;
  for (std::size_t i = 0; i < neighbours_.size(); ++i) {
    // What was left unread is offered again only with more.
    Connection* const connection = neighbours_[i].connection;
    if (connection == nullptr || connection->unread().empty()) continue;
    const std::size_t taken = take(i, *connection, connection->unread(), false);
    if (taken != 0 && neighbours_[i].connection == connection) connection->consume(taken);
  }
  reading_ = false;
}

// ---- What is told ----

void BgpPeer::take_update(std::size_t index, const BgpUpdate& update) {
  Neighbour& n = neighbours_[index];
  happens();
  for (const IpPrefix& prefix : update.withdrawn) {
    n.told.erase(prefix);
    judge(index, prefix, nullptr);
  }
  for (const IpPrefix& prefix : update.announced) {
    const BgpRoute& route = n.told[prefix] = update.route_of(prefix);
    judge(index, prefix, &route);
  }
}

void BgpPeer::judge(std::size_t index, const IpPrefix& prefix, const BgpRoute* route) {
  const auto contains = [&prefix](const std::vector<IpPrefix>& list) {
    return std::find(list.begin(), list.end(), prefix) != list.end();
  };
  if (contains(plan_.contested)) return;
  const auto owned = histories_.find(prefix);
  // It ends one session after the other; or the routes' owner is not heard of any more.
  if (route == nullptr && (new_ones_may_break_ || finishing_)) return;
  if (route == nullptr && owned != histories_.end() && neighbours_[owned->second.owner].silent) return;
  const std::string told = prefix.to_string() + " is told as " + text_of(route);
  if (contains(plan_.networks)) {
    const BgpRoute own = plan_.own(index, prefix);
    if (route == nullptr || *route != own)
      wrong("routes as they were announced", index, told + ", and ought to be " + to_string(own));
    return;
  }
  if (owned == histories_.end() || (owned->second.owner == index && route != nullptr))
    return wrong("routes as they were announced", index, told + ", and it is no prefix that it may be told");
  History& history = owned->second;
  for (std::size_t i = history.told[index]; i < history.versions.size(); ++i) {
    const auto& version = history.versions[i];
    const auto due = version ? plan_.exported(history.owner, index, *version) : std::nullopt;
    if (due.has_value() != (route != nullptr) || (due && *due != *route)) continue;
    history.told[index] = i;
    return;
  }
  wrong("routes as they were announced", index,
        told + ", and neither what it heard last nor what neighbour " + name(history.owner) +
            " has announced since makes it so");
}

BgpPeer::Routes BgpPeer::expected(std::size_t to) const {
  Routes routes;
  for (const IpPrefix& prefix : plan_.networks) routes[prefix] = plan_.own(to, prefix);
  std::map<IpPrefix, std::map<std::size_t, const BgpRoute*>> all;
  for (std::size_t i = 0; i < neighbours_.size(); ++i) {
    if (neighbours_[i].state != State::established) continue;
    for (const auto& [prefix, route] : neighbours_[i].announced) all[prefix][i] = &route;
  }
  for (const auto& [prefix, candidates] : all) {
    if (routes.contains(prefix)) continue;
    const auto from = candidates.size() == 1 ? std::optional(candidates.begin()->first) : plan_.best(candidates);
    if (!from) continue;
    if (auto due = plan_.exported(*from, to, *candidates.at(*from))) routes[prefix] = std::move(*due);
  }
  return routes;
}

bool BgpPeer::is_settled(std::uint64_t quiet_ns) {
  // What was told may be right for a moment and on its way to what was right before.
  if (kernel_.now_ns < happened_at_ns_ + quiet_ns || !unsaid().empty()) return false;
  // Asked again and again while little happens.
  if (judged_at_ != happened_) {
    judged_at_ = happened_;
    told_right_ = mistold().empty();
  }
  return told_right_;
}

std::string BgpPeer::unsettled() const {
  std::string text = unsaid();
  return text.empty() ? mistold() : text;
}

std::string BgpPeer::amiss() const {
  for (std::size_t i = 0; i < neighbours_.size(); ++i)
    if (neighbours_[i].state != State::established && !neighbours_[i].silent)
      return "neighbour " + name(i) + " has no session";
  return mistold();
}

std::string BgpPeer::unsaid() const {
  if (script_.changes > 0) return std::to_string(script_.changes) + " changes of routes have not happened";
  for (std::size_t i = 0; i < neighbours_.size(); ++i) {
    const Neighbour& n = neighbours_[i];
    if (n.silent) continue;
    const std::string who = "neighbour " + name(i);
    if (n.state != State::established) return who + " has no session";
    if (n.lost) return who + " has the session of a group that is lost";
    if (!n.outgoing.empty() || n.connection->bytes_acked() != n.connection->bytes_written())
      return who + " has not said everything";
  }
  return {};
}

std::string BgpPeer::mistold() const {
  for (std::size_t i = 0; i < neighbours_.size(); ++i) {
    if (neighbours_[i].silent) continue;
    const Routes due = expected(i);
    const Routes& told = neighbours_[i].told;
    if (due == told) continue;
    const auto [at, other] = std::mismatch(due.begin(), due.end(), told.begin(), told.end());
    const IpPrefix& prefix = at == due.end()                                   ? other->first
                             : other == told.end() || at->first < other->first ? at->first
                                                                               : other->first;
    const auto of = [&prefix](const Routes& routes) {
      const auto found = routes.find(prefix);
      return text_of(found == routes.end() ? nullptr : &found->second);
    };
    return "neighbour " + name(i) + " was told of " + prefix.to_string() + ": " + of(told) + "; it ought to be " +
           of(due);
  }
  return {};
}

}  // namespace tandem::sim
