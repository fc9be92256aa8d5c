// SPDX-License-Identifier: BSD-3-Clause
#include "bgp_run/program.hpp"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "bgp_run/peer.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

/// For each neighbour: its session, what it has announced and what it was told, by family; and for the best routes of each family.
constexpr std::size_t kWordsOfNeighbour = 10;

bgp::Prefix to_bgp(const IpPrefix& prefix) {
  return {prefix.address.is_v6() ? bgp::Family::ipv6 : bgp::Family::ipv4, prefix.length, prefix.address.octets};
}

IpPrefix from_bgp(const bgp::Prefix& prefix) {
  IpPrefix result;
  result.address.version = prefix.family == bgp::Family::ipv6 ? 6 : 4;
  result.address.octets = prefix.bytes;
  result.length = prefix.length;
  return result;
}

bgp::Configuration configuration_of(const BgpPlan& plan, std::uint64_t seed) {
  bgp::Configuration configuration;
  configuration.as = plan.as;
  configuration.router_id = plan.router_id;
  for (const BgpPlan::Neighbour& neighbour : plan.neighbours) {
    bgp::NeighborConfiguration& made = configuration.neighbors.emplace_back();
    made.address = bgpd::to_bgp(neighbour.address.address);
    made.as = neighbour.as;
    made.passive = neighbour.passive;
    made.hold_time_s = plan.hold_s;
    made.port = kBgpPort;
  }
  for (const IpPrefix& network : plan.networks) configuration.networks.push_back(to_bgp(network));
  configuration.export_all = true;
  configuration.seed = seed;
  return configuration;
}

std::uint64_t mixed(std::uint64_t value) {
  value ^= value >> 31;
  value *= 0x94d049bb133111ebULL;
  return value ^ value >> 29;
}

std::uint64_t hash_of(const bgp::Prefix& prefix) {
  std::uint64_t words[2];
  static_assert(sizeof words == sizeof prefix.bytes);
  std::memcpy(words, prefix.bytes.data(), sizeof words);
  return mixed(mixed(words[0] + prefix.length) + words[1]);
}

/// The same whatever the order.
class TableHash {
 public:
  /// Sets of attributes are shared, also between tables: each is looked at once.
  using Sets = std::unordered_map<const bgp::PathAttributes*, std::uint64_t>;
  explicit TableHash(Sets& sets) : sets_(sets) {}
  void add(const bgp::Prefix& prefix, const bgp::PathAttributes& attributes, std::uint64_t more = 0) {
    ++count_;
    const auto [at, is_new] = sets_.try_emplace(&attributes, 0);
    if (is_new) at->second = attributes.hash(1);
    sum_ += mixed(hash_of(prefix) + at->second + more);
  }
  void put_into(std::vector<std::uint64_t>& words) const {
    words.push_back(count_);
    words.push_back(sum_);
  }

 private:
  Sets& sets_;
  std::uint64_t count_ = 0, sum_ = 0;
};

/// In the peer's terms.
BgpRoute route_of(const bgp::Prefix& prefix, const bgp::PathAttributes& attributes) {
  // Everything is written for an internal neighbour.
  bgp::UpdateContext context;
  context.external = false;
  std::vector<std::uint8_t> bytes;
  bgp::encode_attributes(prefix.family, attributes, context, bytes);
  BgpRoute route = read_attributes({reinterpret_cast<const char*>(bytes.data()), bytes.size()}).value_or(BgpRoute{});
  const std::size_t octets = prefix.family == bgp::Family::ipv6 ? 16 : 4;
  put(route, {bgp_type::kTransitive,
              bgp_type::kNextHop,
              {reinterpret_cast<const char*>(attributes.next_hop.bytes.data()), octets}});
  return route;
}

std::string differing(const BgpPeer::Routes& ours, const BgpPeer::Routes& theirs) {
  const auto text = [](const BgpPeer::Routes& routes, const IpPrefix& prefix) {
    const auto at = routes.find(prefix);
    return at == routes.end() ? std::string("nothing") : to_string(at->second);
  };
  for (const BgpPeer::Routes* const routes : {&ours, &theirs}) {
    for (const auto& [prefix, route] : *routes) {
      const auto a = ours.find(prefix), b = theirs.find(prefix);
      if (a == ours.end() || b == theirs.end() || a->second != b->second)
        return prefix.to_string() + " is " + text(ours, prefix) + "; it ought to be " + text(theirs, prefix);
    }
  }
  return {};
}

}  // namespace

BgpProgram::BgpProgram(World& world, Process& process, const BgpPlan& plan)
    : world_(world),
      process_(process),
      plan_(plan),
      real_(configuration_of(plan, world.setup().seed + static_cast<std::uint64_t>(process.pid)), kBgpPort) {}

void BgpProgram::on_start(Node& node) {
  node_ = &node;
  ++restored_;
  real_.on_start(node);
}

bool BgpProgram::restore(Node& node, Bytes piece) {
  ++restored_;
  return real_.restore(node, piece);
}

void BgpProgram::on_primary(Node& node, bool takeover) {
  world_.context(process_)->primary = true;
  real_.on_primary(node, takeover);
}

std::uint64_t BgpProgram::on_turn(Node& node, std::uint64_t now_ns) {
  World::Context* const context = world_.context(process_);
  if (context->switchover_wanted && node.request_switchover()) context->switchover_wanted = false;
  return real_.on_turn(node, now_ns);
}

Exchange::View BgpProgram::view(const Handler&) const { return {0, 0, 0, false, false}; }

std::vector<std::uint64_t> BgpProgram::state() const {
  // Tables change with what is read and written, with sessions, and by a snapshot. Looking through them takes long.
  std::uint64_t key = restored_;
  node_->stack().for_each_connection([&key](const Connection& connection) {
    key = mixed(mixed(key + connection.id()) + connection.bytes_consumed()) + connection.bytes_written();
  });
  for (std::uint32_t i = 0; i < speaker().neighbor_count(); ++i) {
    for (const bgp::Direction direction : {bgp::Direction::outgoing, bgp::Direction::incoming})
      key = mixed(key + static_cast<std::uint64_t>(speaker().state({i, direction})));
  }
  if (state_.empty() || key != state_key_) {
    state_ = read_state();
    state_key_ = key;
  }
  return state_;
}

std::vector<std::uint64_t> BgpProgram::read_state() const {
  std::vector<std::uint64_t> words;
  TableHash::Sets sets;
  const bgp::Speaker& at = speaker();
  for (std::uint32_t i = 0; i < at.neighbor_count(); ++i) {
    for (const bgp::Direction direction : {bgp::Direction::outgoing, bgp::Direction::incoming}) {
      // Before there is a connection a twin has no machine that runs.
      const bgp::State state = at.state({i, direction});
      words.push_back(state < bgp::State::open_sent ? 0 : static_cast<std::uint64_t>(state));
    }
    for (const bgp::Family family : bgp::kAllFamilies) {
      TableHash received(sets), told(sets);
      at.for_each_received(i, family, [&](const auto& prefix, const auto& set) { received.add(prefix, set); });
      at.for_each_told(i, family, [&](const auto& prefix, const auto& set) { told.add(prefix, set); });
      received.put_into(words);
      told.put_into(words);
    }
  }
  for (const bgp::Family family : bgp::kAllFamilies) {
    TableHash best(sets);
    at.for_each_best(family, [&](const auto& prefix, const auto& set, auto source) {
      best.add(prefix, set, source.value_or(UINT32_MAX));
    });
    best.put_into(words);
  }
  return words;
}

std::string BgpProgram::difference(const std::vector<std::uint64_t>& primary,
                                   const std::vector<std::uint64_t>& twin) const {
  static constexpr const char* kWhat[kWordsOfNeighbour] = {
      "the session that it opens",      "the session that the peer opens",
      "number of IPv4 routes received", "IPv4 routes received",
      "number of IPv4 routes told",     "IPv4 routes told",
      "number of IPv6 routes received", "IPv6 routes received",
      "number of IPv6 routes told",     "IPv6 routes told"};
  static constexpr const char* kBest[4] = {"number of best IPv4 routes", "best IPv4 routes",
                                           "number of best IPv6 routes", "best IPv6 routes"};
  std::string text = "primary / twin:";
  for (std::size_t i = 0; i < std::min(primary.size(), twin.size()); ++i) {
    if (primary[i] == twin[i]) continue;
    const std::size_t neighbour = i / kWordsOfNeighbour;
    const bool of_neighbour = neighbour < plan_.neighbours.size();
    text += of_neighbour ? " neighbour " + plan_.neighbours[neighbour].address.address.to_string() + ", " : " ";
    text += of_neighbour ? kWhat[i % kWordsOfNeighbour] : kBest[i - plan_.neighbours.size() * kWordsOfNeighbour];
    text += " " + std::to_string(primary[i]) + " / " + std::to_string(twin[i]);
  }
  return text;
}

std::string BgpProgram::wrong_tables(const BgpPeer& peer) const {
  const bgp::Speaker& at = speaker();
  for (std::uint32_t i = 0; i < at.neighbor_count(); ++i) {
    BgpPeer::Routes received, told, announced;
    for (const bgp::Family family : bgp::kAllFamilies) {
      at.for_each_received(i, family,
                           [&](const auto& p, const auto& set) { received[from_bgp(p)] = route_of(p, set); });
      at.for_each_told(i, family, [&](const auto& p, const auto& set) { told[from_bgp(p)] = route_of(p, set); });
    }
    if (peer.is_established(i))
      for (const auto& [prefix, route] : peer.announced(i)) announced[prefix] = plan_.received(i, route);
    const std::string who = "neighbour " + plan_.neighbours[i].address.address.to_string();
    if (const std::string text = differing(received, announced); !text.empty())
      return "of what " + who + " has announced, " + text;
    if (const std::string text = differing(told, peer.told(i)); !text.empty())
      return "of what " + who + " was told, " + text;
  }
  return {};
}

}  // namespace tandem::sim
