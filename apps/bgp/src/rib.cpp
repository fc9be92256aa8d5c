// SPDX-License-Identifier: BSD-3-Clause
#include "rib.hpp"

namespace tandem::bgp {

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
  AdjRib& told = f.told[neighbor];
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
  Paged<AttributeId>& routes = of(family).told[neighbor].routes;
  for (std::size_t id = 0; id < routes.limit(); id += routes.page_items()) {
    if (!routes.has_page_of(id)) continue;
    for (std::size_t i = id; i < id + routes.page_items(); ++i)
      if (AttributeId& route = routes.at(i); route != kNoRoute) route |= kAttributeTag;
  }
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
      if (rib.count > 0) leftovers_.push_back({family, neighbor, received, std::move(rib.routes), 0});
      rib = AdjRib{};
    };
    put_aside(f.received[neighbor], true);
    put_aside(f.told[neighbor], false);
  }
}

bool Rib::sweep(std::size_t budget) {
  while (!leftovers_.empty()) {
    Leftover& left = leftovers_.front();
    PrefixTable& prefixes = of(left.family).prefixes;
    const std::size_t limit = left.routes.limit();
    for (; left.cursor < limit; ++left.cursor) {
      const AttributeId route = left.routes.get(left.cursor);
      if (route == kNoRoute) continue;
      if (budget == 0) return true;
      --budget;
      const auto id = static_cast<PrefixId>(left.cursor);
      if (left.received) decide(left.family, id, left.neighbor);
      attributes_.unref(untagged(route));
      prefixes.unref(id);
    }
    leftovers_.pop_front();
  }
  return false;
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
