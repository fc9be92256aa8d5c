// SPDX-License-Identifier: BSD-3-Clause
// A speaker among puppets: peers of which every byte is made by the test. Any number of twins watch.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "bgp/codec.hpp"
#include "bgp/framer.hpp"
#include "bgp/speaker.hpp"

namespace tandem::bgp::test {

using Octets = std::vector<std::uint8_t>;

inline Address address(const std::string& text) { return Address::parse(text).value(); }
inline Prefix prefix(const std::string& text) { return Prefix::parse(text).value(); }

inline Octets hex(const std::string& text) {
  Octets out;
  std::string digits;
  for (const char c : text) {
    if (std::isxdigit(static_cast<unsigned char>(c)) == 0) continue;
    digits += c;
    if (digits.size() == 2) {
      out.push_back(static_cast<std::uint8_t>(std::stoul(digits, nullptr, 16)));
      digits.clear();
    }
  }
  return out;
}

inline Octets operator+(Octets a, const Octets& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// A message around `body`.
inline Octets message(MessageType type, const Octets& body) {
  const std::size_t size = kHeaderBytes + body.size();
  Octets out(16, 0xff);
  out.push_back(static_cast<std::uint8_t>(size >> 8));
  out.push_back(static_cast<std::uint8_t>(size));
  out.push_back(static_cast<std::uint8_t>(type));
  return out + body;
}

/// UPDATEs that announce `prefixes`, of one family, or withdraw them when there are no attributes.
inline std::vector<Octets> updates(const std::vector<Prefix>& prefixes, const PathAttributes* attributes,
                                   const UpdateContext& context) {
  std::vector<Octets> out;
  if (prefixes.empty()) return out;
  const Family family = prefixes.front().family;
  Octets encoded;
  if (attributes != nullptr) encode_attributes(family, *attributes, context, encoded);
  for (std::size_t i = 0; i < prefixes.size();) {
    Octets room(kMaxMessageBytes);
    UpdateBuilder builder(room);
    REQUIRE((attributes != nullptr ? builder.begin_announce(family, *attributes, encoded)
                                   : builder.begin_withdraw(family)));
    while (i < prefixes.size() && builder.add(prefixes[i])) ++i;
    room.resize(builder.finish());
    out.push_back(room);
  }
  return out;
}

inline PathAttributes route(std::vector<std::uint32_t> path, const std::string& next_hop) {
  PathAttributes a;
  a.origin = Origin::igp;
  if (!path.empty()) a.as_path.add_segment(AsPath::kSequence, path);
  a.next_hop = address(next_hop);
  return a;
}

inline std::string text_of(const PathAttributes& a) {
  std::string t = "origin " + std::to_string(static_cast<int>(a.origin)) + " path [" + a.as_path.to_string() +
                  "] via " + a.next_hop.to_string();
  if (a.next_hop_link_local) t += "," + Address{Family::ipv6, *a.next_hop_link_local}.to_string();
  if (a.med) t += " med " + std::to_string(*a.med);
  if (a.local_pref) t += " pref " + std::to_string(*a.local_pref);
  if (a.atomic_aggregate) t += " atomic";
  if (a.aggregator)
    t += " aggregator " + std::to_string(a.aggregator->as) + "/" + std::to_string(a.aggregator->router_id);
  if (a.originator_id) t += " originator " + std::to_string(*a.originator_id);
  for (const auto c : a.communities) t += " c" + std::to_string(c);
  for (const auto c : a.cluster_list) t += " cl" + std::to_string(c);
  for (const auto& c : a.extended_communities) t += " e" + std::to_string(c[0]) + "." + std::to_string(c[7]);
  for (const auto& c : a.large_communities)
    t += " l" + std::to_string(c[0]) + ":" + std::to_string(c[1]) + ":" + std::to_string(c[2]);
  for (const auto& u : a.unknown)
    t += " u" + std::to_string(u.type) + "/" + std::to_string(u.flags) + "x" + std::to_string(u.value.size());
  return t;
}

using Table = std::map<Prefix, std::string>;

inline Table received_by(const Speaker& s, std::uint32_t n) {
  Table table;
  for (const Family f : kAllFamilies)
    s.for_each_received(n, f, [&](const Prefix& p, const PathAttributes& a) { table[p] = text_of(a); });
  return table;
}
inline Table told_by(const Speaker& s, std::uint32_t n) {
  Table table;
  for (const Family f : kAllFamilies)
    s.for_each_told(n, f, [&](const Prefix& p, const PathAttributes& a) { table[p] = text_of(a); });
  return table;
}
inline Table wanted_by(const Speaker& s, std::uint32_t n) {
  Table table;
  for (const Family f : kAllFamilies)
    s.for_each_wanted(n, f, [&](const Prefix& p, const PathAttributes& a) { table[p] = text_of(a); });
  return table;
}
inline Table best_of(const Speaker& s) {
  Table table;
  for (const Family f : kAllFamilies)
    s.for_each_best(f, [&](const Prefix& p, const PathAttributes& a, std::optional<std::uint32_t> source) {
      table[p] = (source ? "from " + std::to_string(*source) : std::string("own")) + " " + text_of(a);
    });
  return table;
}

/// Everything that primary and twin must agree on, of one neighbour or of all. States without a connection are one to a twin.
inline std::map<std::string, std::string> mirrored_state(const Speaker& s, std::optional<std::uint32_t> only = {}) {
  std::map<std::string, std::string> out;
  for (std::uint32_t n = 0; n < s.neighbor_count(); ++n) {
    if (only && n != *only) continue;
    const std::string name = "neighbor " + std::to_string(n);
    for (const Direction d : {Direction::outgoing, Direction::incoming}) {
      const std::string link = name + (d == Direction::outgoing ? " outgoing " : " incoming ");
      const State state = s.state({n, d});
      out[link + "state"] = state < State::open_sent ? "none" : std::string(name_of(state));
      if (state < State::open_confirm) continue;
      const auto agreed = s.negotiated({n, d}).value();
      out[link + "agreed"] = std::to_string(agreed.peer_router_id) + " " + std::to_string(agreed.hold_time_s) + " " +
                             std::to_string(agreed.four_octet_as) + std::to_string(agreed.route_refresh) +
                             std::to_string(agreed.family[0]) + std::to_string(agreed.family[1]);
    }
    for (const auto& [p, text] : received_by(s, n)) out[name + " received " + p.to_string()] = text;
    for (const auto& [p, text] : told_by(s, n)) out[name + " told " + p.to_string()] = text;
  }
  return out;
}

struct Puppet {
  Open open;
  Octets to_speaker;    // arrived, not consumed
  Octets from_speaker;  // not read by the puppet
  Link link;
  bool connected = false;
  bool closed_by_speaker = false;
  // What it has read.
  Table view;
  std::map<Prefix, PathAttributes> routes;
  std::array<int, kFamilies> end_of_rib{};
  std::vector<Notification> notifications;
  std::vector<Open> opens;
  std::size_t keepalives = 0;
  std::size_t updates = 0;
  std::size_t announced = 0;
  std::size_t withdrawn = 0;

  UpdateContext context;  // of the session, the same both ways

  void send(const Octets& bytes) { to_speaker.insert(to_speaker.end(), bytes.begin(), bytes.end()); }
  void send(const std::vector<Octets>& messages) {
    for (const auto& m : messages) send(m);
  }

  void read() {
    MalformationCounters counters{};
    std::size_t at = 0;
    while (true) {
      const Frame frame = next_frame(ByteSpan(from_speaker).subspan(at), counters);
      if (frame.kind == Frame::Kind::incomplete) break;
      REQUIRE(frame.kind == Frame::Kind::message);
      at += frame.consumed;
      Notification error;
      switch (frame.type) {
        case MessageType::open:
          opens.push_back(decode_open(frame.bytes, counters, error).value());
          break;
        case MessageType::keepalive:
          ++keepalives;
          break;
        case MessageType::notification:
          notifications.push_back(decode_notification(frame.bytes, counters).value());
          break;
        case MessageType::route_refresh:
          break;
        case MessageType::update: {
          Update u;
          decode_update(frame.bytes, context, counters, u);
          REQUIRE(u.handling == ErrorHandling::none);
          ++updates;
          for (const Family f : kAllFamilies) end_of_rib[index_of(f)] += u.end_of_rib[index_of(f)] ? 1 : 0;
          const auto take = [&](const std::vector<Prefix>& prefixes) {
            for (const auto& p : prefixes) {
              view[p] = text_of(u.attributes);
              routes[p] = u.attributes;
              ++announced;
            }
          };
          for (const auto& p : u.withdrawn) {
            view.erase(p);
            routes.erase(p);
            ++withdrawn;
          }
          take(u.announced_ipv4);
          u.attributes.next_hop = u.next_hop_ipv6;
          u.attributes.next_hop_link_local = u.next_hop_link_local;
          take(u.announced_ipv6);
          break;
        }
      }
    }
    from_speaker.erase(from_speaker.begin(), from_speaker.begin() + static_cast<std::ptrdiff_t>(at));
    for (const auto c : counters) REQUIRE(c == 0);
  }
};

/// A twin, and what it is shown.
struct Watcher {
  Speaker* speaker = nullptr;
  bool cut = true;          // show bytes in random pieces
  bool sees_writes = true;  // false: what is written from now on is lost with the primary
};

class World {
 public:
  explicit World(Configuration configuration, std::uint64_t seed = 1)
      : random(seed),
        primary(std::make_unique<Speaker>(configuration, Speaker::Mode::active)),
        puppets(configuration.neighbors.size()) {
    for (std::size_t i = 0; i < puppets.size(); ++i) {
      Puppet& p = puppets[i];
      const auto& n = configuration.neighbors[i];
      p.open.as = n.as;
      p.open.hold_time_s = 90;
      p.open.router_id = 0x0a000001 + static_cast<std::uint32_t>(i);
      p.open.family.fill(true);
      p.open.any_multiprotocol = true;
      p.open.four_octet_as = true;
      p.open.route_refresh = true;
      p.context.external = n.as != configuration.as;
      p.context.check_meaning = false;
    }
    primary->start(now);
    act();
  }

  Speaker& twin(Configuration configuration) {
    twins.push_back(std::make_unique<Speaker>(std::move(configuration), Speaker::Mode::observing));
    watchers.push_back({twins.back().get(), true, true});
    return *twins.back();
  }

  Endpoints endpoints(std::size_t i) const {
    Endpoints e;
    e.remote = primary->configuration().neighbors[i].address;
    e.local = e.remote.family == Family::ipv4 ? address("192.0.2.1") : address("2001:db8::1");
    e.next_hop_ipv4 = address("192.0.2.1");
    e.next_hop_ipv6 = address("2001:db8::1");
    return e;
  }

  void show(const std::function<void(Speaker&)>& f) {
    for (auto& w : watchers) f(*w.speaker);
  }

  /// The puppet connects. False: refused.
  bool connect(std::size_t i) {
    const auto link = primary->accept(primary->configuration().neighbors[i].address, now);
    act();
    if (!link) return false;
    attach(i, *link);
    return true;
  }

  void attach(std::size_t i, Link link) {
    Puppet& p = puppets[i];
    p.link = link;
    p.connected = true;
    p.closed_by_speaker = false;
    p.to_speaker.clear();
    p.from_speaker.clear();
    p.view.clear();
    p.routes.clear();
    p.end_of_rib = {};
    p.context.four_octet_as = p.open.four_octet_as;
    for (const Family f : kAllFamilies)
      p.context.family[index_of(f)] = p.open.any_multiprotocol ? p.open.family[index_of(f)] : f == Family::ipv4;
    primary->transport_connected(link, endpoints(i), now);
    show([&](Speaker& s) { s.observe_opened(link, endpoints(i), now); });
    act();
  }

  void disconnect(std::size_t i) {
    Puppet& p = puppets[i];
    if (!p.connected) return;
    p.connected = false;
    primary->transport_closed(p.link, now);
    show([&](Speaker& s) { s.observe_closed(p.link, now); });
    act();
  }

  /// Shows `bytes` in pieces cut at random.
  void show_bytes(ByteSpan bytes, const std::function<void(Speaker&, ByteSpan)>& f, bool written) {
    for (auto& w : watchers) {
      if (written && !w.sees_writes) continue;
      for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t most = bytes.size() - at;
        const std::size_t n = w.cut ? std::min<std::size_t>(most, 1 + random() % (random() % 4 == 0 ? 8 : 600)) : most;
        f(*w.speaker, bytes.subspan(at, n));
        at += n;
      }
    }
  }

  /// Lets the speaker consume what has arrived, as far as `limit` bytes are offered.
  bool receive(std::size_t i, std::size_t limit = SIZE_MAX) {
    Puppet& p = puppets[i];
    if (!p.connected) return false;
    const Octets offered(p.to_speaker.begin(),
                         p.to_speaker.begin() + static_cast<std::ptrdiff_t>(std::min(limit, p.to_speaker.size())));
    const std::size_t n = primary->receive(p.link, offered, now);
    REQUIRE(n <= offered.size());
    show_bytes(
        ByteSpan(offered).first(n), [&](Speaker& s, ByteSpan b) { s.observe_received(p.link, b, now); }, false);
    p.to_speaker.erase(p.to_speaker.begin(), p.to_speaker.begin() + static_cast<std::ptrdiff_t>(n));
    act();
    return n > 0;
  }

  /// Pulls one message. False: there was none.
  bool pull(std::size_t i, std::size_t room_bytes = kMaxMessageBytes) {
    Puppet& p = puppets[i];
    if (!p.connected) return false;
    Octets room(room_bytes, 0xee);
    std::size_t n = 0;
    for (int patience = 0; patience < 10000; ++patience) {
      const Pulled pulled = primary->next_message(p.link, room, n);
      if (pulled == Pulled::busy) continue;
      if (pulled != Pulled::message) return false;
      REQUIRE(n >= kHeaderBytes);
      REQUIRE(n <= room.size());
      const ByteSpan bytes = ByteSpan(room).first(n);
      p.from_speaker.insert(p.from_speaker.end(), bytes.begin(), bytes.end());
      show_bytes(
          bytes, [&](Speaker& s, ByteSpan b) { s.observe_written(p.link, b, now); }, true);
      act();
      return true;
    }
    FAIL("the speaker is busy for ever");
    return false;
  }

  /// Executes what the speaker asks for; attempts to connect stay unanswered unless a test looks for them.
  void act() {
    for (Action a; primary->next_action(a);) {
      if (a.kind == Action::Kind::connect) connects.push_back(a.link);
      if (a.kind == Action::Kind::session_up) ++ups;
      if (a.kind == Action::Kind::prefix_warning) warnings.push_back(a.reason);
      if (a.kind == Action::Kind::session_down) downs.push_back(a.reason);
      if (a.kind != Action::Kind::close) continue;
      for (std::size_t i = 0; i < puppets.size(); ++i) {
        Puppet& p = puppets[i];
        if (!p.connected || !(p.link == a.link)) continue;
        while (pull(i)) {
        }
        p.connected = false;
        p.closed_by_speaker = true;
        show([&](Speaker& s) { s.observe_closed(p.link, now); });
      }
    }
  }

  /// Until nobody has anything to say.
  void run() {
    for (bool busy = true; busy;) {
      busy = false;
      for (std::size_t i = 0; i < puppets.size(); ++i) {
        busy = receive(i) || busy;
        while (pull(i)) busy = true;
        puppets[i].read();
      }
      // What an ended session left over.
      while (primary->next_deadline_ms() == std::uint64_t{0}) {
        primary->tick(now);
        busy = true;
      }
    }
  }

  /// Brings the session of a puppet up.
  void establish(std::size_t i) {
    REQUIRE(connect(i));
    handshake(i);
  }
  void handshake(std::size_t i) {
    puppets[i].send(encode_open(puppets[i].open));
    puppets[i].send(encode_keepalive());
    run();
    REQUIRE(primary->neighbor_state(static_cast<std::uint32_t>(i)) == State::established);
  }

  void announce(std::size_t i, const std::vector<Prefix>& prefixes, const PathAttributes& attributes) {
    puppets[i].send(updates(prefixes, &attributes, puppets[i].context));
  }
  void withdraw(std::size_t i, const std::vector<Prefix>& prefixes) {
    puppets[i].send(updates(prefixes, nullptr, puppets[i].context));
  }

  /// The primary dies; the twin takes its place.
  void take_over(std::size_t watcher) {
    retired.push_back(std::move(primary));
    for (auto& t : twins)
      if (t.get() == watchers[watcher].speaker) primary = std::move(t);
    watchers.erase(watchers.begin() + static_cast<std::ptrdiff_t>(watcher));
    primary->promote(now);
    act();
  }

  std::mt19937_64 random;
  std::uint64_t now = 1'000'000;
  std::unique_ptr<Speaker> primary;
  std::vector<Puppet> puppets;
  std::vector<std::unique_ptr<Speaker>> twins;
  std::vector<std::unique_ptr<Speaker>> retired;
  std::vector<Watcher> watchers;
  std::vector<Link> connects;
  std::vector<std::string> downs;
  std::vector<std::string> warnings;
  int ups = 0;
};

inline PathAttributes random_route(std::mt19937_64& random, std::uint32_t first_as, bool external, Family family) {
  PathAttributes a;
  a.origin = static_cast<Origin>(random() % 3);
  std::vector<std::uint32_t> path;
  if (external) path.push_back(first_as);
  for (auto n = random() % 4; n > 0; --n)
    path.push_back(random() % 5 == 0 ? 4200000000u + static_cast<std::uint32_t>(random() % 9)
                                     : 100 + static_cast<std::uint32_t>(random() % 9));
  if (random() % 20 == 0) path.push_back(65000);  // a loop, if that is us
  if (!path.empty()) a.as_path.add_segment(AsPath::kSequence, path);
  if (random() % 8 == 0) a.as_path.add_segment(AsPath::kSet, std::vector<std::uint32_t>{7, 4200000001});
  const auto last = std::to_string(2 + random() % 3);
  a.next_hop = address((family == Family::ipv4 ? "192.0.2." : "2001:db8::") + last);
  if (family == Family::ipv6 && random() % 2 == 0) a.next_hop_link_local = address("fe80::" + last).bytes;
  if (random() % 3 == 0) a.med = random() % 3;
  if (!external) a.local_pref = 99 + random() % 3;
  if (random() % 6 == 0) a.atomic_aggregate = true;
  if (random() % 6 == 0) a.aggregator = Aggregator{random() % 2 == 0 ? 77u : 4200000005u, 5};
  if (random() % 4 == 0) a.communities = {static_cast<std::uint32_t>(random() % 3)};
  if (random() % 12 == 0) a.communities.push_back(random() % 2 == 0 ? kNoExport : kNoAdvertise);
  if (!external && random() % 4 == 0) a.originator_id = random() % 4;
  if (!external && random() % 4 == 0) a.cluster_list = {1, 2};
  if (random() % 8 == 0) a.extended_communities = {{0, 2, 0, 1, 0, 0, 0, 9}};
  if (random() % 8 == 0) a.large_communities = {{1, 2, static_cast<std::uint32_t>(random() % 2)}};
  if (random() % 10 == 0) a.unknown = {{0xc0, 99, {1, 2}}, {0xe0, 120, {}}};
  return a;
}

inline std::vector<Prefix> random_prefixes(std::mt19937_64& random, Family family, std::uint32_t space,
                                           std::size_t most) {
  std::vector<Prefix> out;
  for (auto n = 1 + random() % most; n > 0; --n) {
    const auto i = static_cast<std::uint32_t>(random() % space);
    if (family == Family::ipv4) {
      out.push_back(Prefix::of(Address::from_ipv4(0x0a000000 + (i << 8)), static_cast<std::uint8_t>(20 + i % 13)));
    } else {
      Address a = address("2001:db8::");
      a.bytes[4] = static_cast<std::uint8_t>(i >> 8);
      a.bytes[5] = static_cast<std::uint8_t>(i);
      out.push_back(Prefix::of(a, static_cast<std::uint8_t>(48 + i % 17)));
    }
  }
  return out;
}

/// A puppet says something at random, well formed.
inline void say_something(World& world, std::size_t i, std::uint32_t space) {
  Puppet& p = world.puppets[i];
  auto& random = world.random;
  const Family family = p.context.family[1] && random() % 2 == 0 ? Family::ipv6 : Family::ipv4;
  switch (random() % 12) {
    case 0:
      p.send(encode_keepalive());
      break;
    case 1:
      p.send(encode_end_of_rib(family));
      break;
    case 2:
      if (random() % 4 == 0) p.send(encode_route_refresh(family));
      break;
    case 3:
    case 4:
    case 5:
      world.withdraw(i, random_prefixes(random, family, space, 40));
      break;
    default:
      world.announce(i, random_prefixes(random, family, space, 40),
                     random_route(random, p.open.as, p.context.external, family));
  }
}

inline Configuration configuration(std::uint32_t as, const std::vector<std::string>& neighbors,
                                   const std::vector<std::string>& networks = {}) {
  Configuration c;
  c.as = as;
  c.router_id = 0xc0000201;
  for (const auto& text : neighbors) c.neighbors.push_back(std::get<NeighborConfiguration>(parse_neighbor(text)));
  for (const auto& text : networks) c.networks.push_back(prefix(text));
  c.export_all = true;
  return c;
}

inline std::uint64_t malformed(const Speaker& s, std::uint32_t n, Malformation m) {
  return s.statistics(0).neighbors[n].malformations[static_cast<std::size_t>(m)];
}

}  // namespace tandem::bgp::test
