// SPDX-License-Identifier: BSD-3-Clause
#include "decision.hpp"

#include <algorithm>
#include <cassert>

namespace tandem::bgp {

namespace {

/// Keeps those for which `key` is smallest.
template <class Key>
void keep_least(std::vector<Candidate>& candidates, Key&& key) {
  if (candidates.size() < 2) return;
  auto least = key(candidates[0]);
  for (const auto& c : candidates) least = std::min(least, key(c));
  std::erase_if(candidates, [&](const Candidate& c) { return least < key(c); });
}

std::uint32_t preference(const Candidate& c) {
  return c.external ? kDefaultLocalPref : c.attributes->local_pref.value_or(kDefaultLocalPref);
}

std::uint32_t med(const Candidate& c) { return c.attributes->med.value_or(0); }

/// MULTI_EXIT_DISC is comparable only between routes from the same neighbouring AS.
void drop_higher_med(std::vector<Candidate>& candidates) {
  if (candidates.size() < 2) return;
  std::vector<Candidate> kept;
  for (const auto& c : candidates) {
    const bool beaten = std::any_of(candidates.begin(), candidates.end(), [&](const Candidate& other) {
      return other.neighbor_as == c.neighbor_as && med(other) < med(c);
    });
    if (!beaten) kept.push_back(c);
  }
  candidates.swap(kept);
}

}  // namespace

std::uint32_t select_best(std::vector<Candidate>& candidates) {
  assert(!candidates.empty());
  keep_least(candidates, [](const Candidate& c) { return ~preference(c); });
  keep_least(candidates, [](const Candidate& c) { return c.path_length; });
  keep_least(candidates, [](const Candidate& c) { return c.attributes->origin; });
  drop_higher_med(candidates);
  keep_least(candidates, [](const Candidate& c) { return !c.external; });
  // The cost to the next hop comes here; without an IGP it is the same for all.
  keep_least(candidates, [](const Candidate& c) { return c.attributes->originator_id.value_or(c.router_id); });
  keep_least(candidates, [](const Candidate& c) { return c.attributes->cluster_list.size(); });  // RFC 4456 section 9
  keep_least(candidates, [](const Candidate& c) { return c.address; });
  return candidates.front().source;
}

}  // namespace tandem::bgp
