// SPDX-License-Identifier: BSD-3-Clause
// The routing information bases of all neighbours: Adj-RIB-In, Loc-RIB, and what each neighbour was told (the Adj-RIB-Out as it left).
//
// A route costs four bytes in each of them, beside about 36 bytes for its prefix, once, and its share of an attribute set.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "attribute_table.hpp"
#include "bgp/configuration.hpp"
#include "decision.hpp"
#include "prefix_table.hpp"

namespace tandem::bgp {

/// Attribute numbers by prefix number. In an Adj-RIB-In the tag marks a route that must not be used (it has been here
/// before); in a told table one that must be told again (ROUTE-REFRESH).
struct AdjRib {
  Paged<AttributeId> routes;
  std::uint64_t count = 0;
  /// A told table's pages of which every route has the tag, although it does not stand there yet: to put it on each would be a
  /// walk through the table.
  std::vector<bool> tagged_pages;

  [[nodiscard]] AttributeId get(std::size_t id) const {
    const AttributeId route = routes.get(id);
    const std::size_t page = id / routes.page_items();
    return route != kNoRoute && page < tagged_pages.size() && tagged_pages[page] ? route | kAttributeTag : route;
  }
  /// Puts the tag on the routes of this one's page, if that is due.
  void settle_page_of(std::size_t id);
};

class Rib {
 public:
  static constexpr std::uint16_t kNoSource = 0xffff;
  static constexpr std::uint16_t kOwnNetwork = 0xfffe;

  explicit Rib(const Configuration& configuration);

  /// Told for every prefix whose best route may have changed.
  void on_change(std::function<void(Family, PrefixId)> callback) { on_change_ = std::move(callback); }

  AttributeTable& attributes() { return attributes_; }
  const AttributeTable& attributes() const { return attributes_; }
  PrefixTable& prefixes(Family family) { return of(family).prefixes; }
  const PrefixTable& prefixes(Family family) const { return of(family).prefixes; }

  /// What the decision process has to know of a neighbour. Decides again where that changes something.
  void set_rank(std::uint32_t neighbor, bool external, std::uint32_t router_id);

  void announce(std::uint32_t neighbor, const Prefix& prefix, AttributeId attributes);
  void withdraw(std::uint32_t neighbor, const Prefix& prefix);

  AttributeId told(std::uint32_t neighbor, Family family, PrefixId id) const {
    return of(family).told[neighbor].get(id);
  }
  /// kNoRoute: withdrawn. Replaces what was told and the request to tell it again.
  void set_told(std::uint32_t neighbor, Family family, PrefixId id, AttributeId attributes);
  void set_told(std::uint32_t neighbor, const Prefix& prefix, AttributeId attributes);
  /// Everything that was told has to be told again.
  void tell_again(std::uint32_t neighbor, Family family);
  void tell_again(std::uint32_t neighbor, const Prefix& prefix);

  /// The session is gone, and all that was said in it with it. At once for everybody who looks; the work is done by sweep().
  void detach(std::uint32_t neighbor);
  /// Works off what detach() left, at most `budget` prefixes. False: nothing is left.
  bool sweep(std::size_t budget);
  bool has_leftovers() const { return !leftovers_.empty(); }
  /// What an Adj-RIB-Out leaves behind: sets that it had exported, numbers of prefixes that it had queued. sweep() lets go of them.
  void put_aside(Paged<AttributeId> exported);
  void put_aside(Family family, std::deque<PrefixId> queued);

  /// The best route and where it is from; kNoRoute, kNoSource: there is none. Decides first where a route of an ended session
  /// was the best and sweep() has not come by yet.
  struct Chosen {
    AttributeId attributes = kNoRoute;
    std::uint16_t source = kNoSource;
  };
  Chosen best(Family family, PrefixId id);
  AttributeId received(std::uint32_t neighbor, Family family, PrefixId id) const {
    return of(family).received[neighbor].routes.get(id);
  }
  bool is_external(std::uint32_t neighbor) const { return ranks_[neighbor].external; }

  std::uint64_t received_count(std::uint32_t neighbor, Family family) const {
    return of(family).received[neighbor].count;
  }
  std::uint64_t told_count(std::uint32_t neighbor, Family family) const { return of(family).told[neighbor].count; }
  std::uint64_t best_count() const { return best_count_; }

 private:
  struct Best {
    std::uint16_t source = kNoSource;
  };
  struct PerFamily {
    explicit PerFamily(std::uint64_t seed) : prefixes(seed) {}
    PrefixTable prefixes;
    Paged<Best> best;
    Paged<std::uint8_t> own;  // not 0: an own network
    std::vector<AdjRib> received;
    std::vector<AdjRib> told;
    AttributeId own_attributes = kNoRoute;
  };
  struct Rank {
    bool external = true;
    std::uint32_t router_id = 0;
    Address address;
  };
  struct Leftover {
    enum class Kind : std::uint8_t { received, told, exported, queued };
    Kind kind = Kind::told;
    Family family = Family::ipv4;
    std::uint32_t neighbor = 0;
    Paged<AttributeId> routes;    // of all kinds but queued
    std::deque<PrefixId> queued;  // of that
    std::size_t cursor = 0;
  };

  bool sweep_one(Leftover& left, std::size_t& budget);

  PerFamily& of(Family family) { return families_[index_of(family)]; }
  const PerFamily& of(Family family) const { return families_[index_of(family)]; }
  void decide(Family family, PrefixId id, std::uint32_t touched);
  bool may_be_used(const PathAttributes& attributes) const;

  std::uint32_t as_;
  std::uint32_t router_id_;
  AttributeTable attributes_;
  std::array<PerFamily, kFamilies> families_;
  std::vector<Rank> ranks_;
  std::deque<Leftover> leftovers_;
  std::vector<Candidate> candidates_;  // kept for its memory
  std::uint64_t best_count_ = 0;
  std::function<void(Family, PrefixId)> on_change_;
};

}  // namespace tandem::bgp
