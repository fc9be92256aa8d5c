// SPDX-License-Identifier: BSD-3-Clause
#include "rib.hpp"

#include "tandem/work.hpp"

namespace tandem::bgp {

namespace {

/// Of places that hold nothing so many count as one that does.
constexpr std::size_t kEmptyPlaces = 64;

}  // namespace

void AdjRib::settle_page_of(std::size_t id) {
  const std::size_t page = id / routes.page_items();
  if (page >= tagged_pages.size() || !tagged_pages[page]) return;
  tagged_pages[page] = false;
  const std::size_t first = page * routes.page_items();
  for (std::size_t i = first; i < first + routes.page_items(); ++i)
    if (AttributeId& route = routes.at(i); route != kNoRoute) route |= kAttributeTag;
}

Rib::Rib(const Configuration& configuration)
    : as_(configuration.as),
      router_id_(configuration.router_id),
      attributes_(configuration.seed),
      families_{PerFamily(configuration.seed + 1), PerFamily(configuration.seed + 2)} {
  for (const auto& neighbor : configuration.neighbors)
    ranks_.push_back({neighbor.as != configuration.as, 0, neighbor.address});
  for (const Family family : kAllFamilies) {
    PerFamily& f = of(family);
    f.received.resize(ranks_.size());
    f.told.resize(ranks_.size());
    PathAttributes own;
    own.origin = Origin::igp;
    own.next_hop.family = family;  // unspecified: whoever is told hears our own address
    f.own_attributes = attributes_.intern(own);
  }
  for (const Prefix& network : configuration.networks) {
    PerFamily& f = of(network.family);
    const PrefixId id = f.prefixes.obtain(network);
    f.prefixes.ref(id);
    f.own.at(id) = 1;
    decide(network.family, id, kOwnNetwork);
  }
}

bool Rib::may_be_used(const PathAttributes& a) const {
  return !a.as_path.contains(as_) && a.originator_id != router_id_;
}

void Rib::set_rank(std::uint32_t neighbor, bool external, std::uint32_t router_id) {
  Rank& rank = ranks_[neighbor];
  if (rank.external == external && rank.router_id == router_id) return;
  rank.external = external;
  rank.router_id = router_id;
  for (const Family family : kAllFamilies) {
    const AdjRib& received = of(family).received[neighbor];
    if (received.count == 0) continue;
    for (PrefixId id = 0; id < received.routes.limit(); ++id)
      if (received.routes.get(id) != kNoRoute) decide(family, id, neighbor);
  }
}

void Rib::announce(std::uint32_t neighbor, const Prefix& prefix, AttributeId attributes) {
  PerFamily& f = of(prefix.family);
  const PrefixId id = f.prefixes.obtain(prefix);
  AdjRib& received = f.received[neighbor];
  AttributeId& route = received.routes.at(id);
  if (untagged(route) == attributes) return;
  attributes_.ref(attributes);
  if (route == kNoRoute) {
    f.prefixes.ref(id);
    ++received.count;
  } else {
    attributes_.unref(untagged(route));
  }
  route = attributes | (may_be_used(attributes_.get(attributes)) ? 0 : kAttributeTag);
  decide(prefix.family, id, neighbor);
}

void Rib::withdraw(std::uint32_t neighbor, const Prefix& prefix) {
  PerFamily& f = of(prefix.family);
  const auto id = f.prefixes.find(prefix);
  AdjRib& received = f.received[neighbor];
  if (!id || received.routes.get(*id) == kNoRoute) return;
  AttributeId& route = received.routes.at(*id);
  const AttributeId old = untagged(route);
  route = kNoRoute;
  --received.count;
  decide(prefix.family, *id, neighbor);
  attributes_.unref(old);
  f.prefixes.unref(*id);
}

void Rib::set_told(std::uint32_t neighbor, Family family, PrefixId id, AttributeId attributes) {
  PerFamily& f = of(family);
  TANDEM_WORK(route);
  AdjRib& told = f.told[neighbor];
  told.settle_page_of(id);
  const AttributeId old = told.routes.get(id);
  if (old == attributes) return;
  if (attributes != kNoRoute) attributes_.ref(attributes);
  told.routes.at(id) = attributes;
  if (old == kNoRoute) {
    ++told.count;
    f.prefixes.ref(id);
    return;
  }
  attributes_.unref(untagged(old));
  if (attributes == kNoRoute) {
    --told.count;
    f.prefixes.unref(id);
  }
}

void Rib::set_told(std::uint32_t neighbor, const Prefix& prefix, AttributeId attributes) {
  PrefixTable& prefixes = of(prefix.family).prefixes;
  if (attributes == kNoRoute) {
    if (const auto id = prefixes.find(prefix)) set_told(neighbor, prefix.family, *id, kNoRoute);
    return;
  }
  set_told(neighbor, prefix.family, prefixes.obtain(prefix), attributes);
}

void Rib::tell_again(std::uint32_t neighbor, Family family) {
  AdjRib& told = of(family).told[neighbor];
  const Paged<AttributeId>& routes = told.routes;
  told.tagged_pages.assign(routes.limit() / routes.page_items(), false);
  for (std::size_t id = 0; id < routes.limit(); id += routes.page_items())
    told.tagged_pages[id / routes.page_items()] = routes.has_page_of(id);
}

void Rib::tell_again(std::uint32_t neighbor, const Prefix& prefix) {
  const auto id = of(prefix.family).prefixes.find(prefix);
  if (!id || told(neighbor, prefix.family, *id) == kNoRoute) return;
  of(prefix.family).told[neighbor].routes.at(*id) |= kAttributeTag;
}

void Rib::detach(std::uint32_t neighbor) {
  for (const Family family : kAllFamilies) {
    PerFamily& f = of(family);
    const auto put_aside = [&](AdjRib& rib, bool received) {
      if (rib.count > 0)
        leftovers_.push_back({received ? Leftover::Kind::received : Leftover::Kind::told,
                              family,
                              neighbor,
                              std::move(rib.routes),
                              {},
                              0});
      rib = AdjRib{};
    };
    put_aside(f.received[neighbor], true);
    put_aside(f.told[neighbor], false);
  }
}

void Rib::put_aside(Paged<AttributeId> exported) {
  if (exported.limit() != 0)
    leftovers_.push_back({Leftover::Kind::exported, Family::ipv4, 0, std::move(exported), {}, 0});
}

void Rib::put_aside(Family family, std::deque<PrefixId> queued) {
  if (!queued.empty()) leftovers_.push_back({Leftover::Kind::queued, family, 0, {}, std::move(queued), 0});
}

bool Rib::sweep(std::size_t budget) {
  while (!leftovers_.empty()) {
    if (!sweep_one(leftovers_.front(), budget)) return true;
    leftovers_.pop_front();
  }
  return false;
}

/// False: the budget is spent before it.
bool Rib::sweep_one(Leftover& left, std::size_t& budget) {
  PrefixTable& prefixes = of(left.family).prefixes;
  for (; !left.queued.empty(); left.queued.pop_front()) {
    if (budget == 0) return false;
    --budget;
    prefixes.unref(left.queued.front());
  }
  const std::size_t limit = left.routes.limit();
  std::size_t empty = 0;
  while (left.cursor < limit) {
    if (budget == 0) return false;
    if (!left.routes.has_page_of(left.cursor)) {
      left.cursor += left.routes.page_items();
      --budget;
      continue;
    }
    const auto id = static_cast<PrefixId>(left.cursor++);
    const AttributeId route = left.routes.peek(id);
    if (route == kNoRoute || (left.kind == Leftover::Kind::exported && route == kWithheldRoute)) {
      if (++empty % kEmptyPlaces == 0) --budget;
      continue;
    }
    --budget;
    TANDEM_WORK(route);
    if (left.kind == Leftover::Kind::received) decide(left.family, id, left.neighbor);
    attributes_.unref(left.kind == Leftover::Kind::exported ? route : untagged(route));
    if (left.kind != Leftover::Kind::exported) prefixes.unref(id);
  }
  return true;
}

Rib::Chosen Rib::best(Family family, PrefixId id) {
  PerFamily& f = of(family);
  const auto route_of = [&](std::uint16_t source) {
    if (source == kNoSource) return kNoRoute;
    if (source == kOwnNetwork) return f.own_attributes;
    const AttributeId route = f.received[source].routes.get(id);
    return (route & kAttributeTag) != 0 ? kNoRoute : route;
  };
  Chosen chosen{kNoRoute, f.best.get(id).source};
  chosen.attributes = route_of(chosen.source);
  if (chosen.attributes == kNoRoute && chosen.source != kNoSource) {
    decide(family, id, chosen.source);
    chosen.source = f.best.get(id).source;
    chosen.attributes = route_of(chosen.source);
  }
  return chosen;
}

void Rib::decide(Family family, PrefixId id, std::uint32_t touched) {
  TANDEM_WORK(route);
  PerFamily& f = of(family);
  const std::uint16_t old = f.best.get(id).source;
  std::uint16_t best = kNoSource;
  if (f.own.get(id) != 0) {
    best = kOwnNetwork;
  } else {
    candidates_.clear();
    for (std::uint32_t n = 0; n < ranks_.size(); ++n) {
      const AttributeId route = f.received[n].routes.get(id);
      if (route == kNoRoute || (route & kAttributeTag) != 0) continue;
      const auto& e = attributes_.entry(route);
      candidates_.push_back(
          {&e.attributes, e.path_length, e.neighbor_as, ranks_[n].external, ranks_[n].router_id, ranks_[n].address, n});
    }
    if (!candidates_.empty()) best = static_cast<std::uint16_t>(select_best(candidates_));
  }
  if (old != best) {
    if (old == kNoSource) ++best_count_;
    if (best == kNoSource) --best_count_;
    f.best.at(id).source = best;
  } else if (best != touched) {
    return;
  }
  if (on_change_) on_change_(family, id);
}

}  // namespace tandem::bgp
