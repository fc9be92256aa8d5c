// SPDX-License-Identifier: BSD-3-Clause
// What one neighbour should be told: policy, what is outstanding, and its packing into UPDATEs.
//
// Nothing is queued but the numbers of prefixes that may have changed. What is to be said about them is found out when there
// is room to say it: the route wanted now against the route told last.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "bgp/codec.hpp"
#include "bgp/speaker.hpp"
#include "rib.hpp"

namespace tandem::bgp {

class AdjRibOut {
 public:
  AdjRibOut(Rib& rib, std::uint32_t neighbor, std::uint32_t own_as) : rib_(rib), neighbor_(neighbor), own_as_(own_as) {}

  /// The session is Established. Nothing is said before walk().
  void begin(const UpdateContext& context, const Endpoints& endpoints);
  /// Compare the whole table with what was told: the initial table, and all that a promoted twin has to do.
  void walk();
  void end();
  bool is_open() const { return open_; }

  void mark(Family family, PrefixId id);
  /// An attribute set's number becomes free.
  void forget(AttributeId id);

  /// By policy; kNoRoute: nothing. The number stays valid until the route changes.
  AttributeId wanted(Family family, PrefixId id);
  Pulled next(std::span<std::uint8_t> room, std::size_t& written_bytes);
  bool has_work() const;

  bool end_of_rib_sent(Family family) const { return of(family).end_of_rib_sent; }
  void set_end_of_rib_sent(Family family, bool sent) { of(family).end_of_rib_sent = sent; }
  std::uint64_t unadvertisable() const { return unadvertisable_; }
  void set_unadvertisable(std::uint64_t count) { unadvertisable_ = count; }
  const UpdateContext& context() const { return context_; }

 private:
  static constexpr std::size_t kShare = 256;  // prefixes looked at in one call
  static constexpr std::size_t kBatch =
      8192;  // collected before they are packed, so that those that have a set in common meet
  static constexpr PrefixId kWalked = 0xffffffff;
  // In the cache of exported sets, beside numbers of sets; 0: not computed yet.
  static constexpr AttributeId kWithheld = kWithheldRoute;

  struct Item {
    AttributeId attributes;  // wanted when it was looked at; withdrawals sort first
    PrefixId id;
  };
  struct PerFamily {
    PrefixId walked = kWalked;  // all below were compared; kWalked: all
    Paged<std::uint8_t> marked;
    std::deque<PrefixId> queue;
    std::vector<Item> batch;
    std::size_t batch_at = 0;
    bool collecting = false;  // the batch is not complete and not in order
    bool end_of_rib_sent = false;
  };

  PerFamily& of(Family family) { return families_[index_of(family)]; }
  const PerFamily& of(Family family) const { return families_[index_of(family)]; }
  bool is_outstanding(Family family, PrefixId id, AttributeId wanted) const;
  void collect(Family family);
  void look_at(Family family, PrefixId id, bool counted);
  bool has_sources(Family family) const { return of(family).walked != kWalked || !of(family).queue.empty(); }
  Pulled next_of(Family family, std::span<std::uint8_t> room, std::size_t& written_bytes);
  AttributeId exported(Family family, AttributeId id);
  AttributeId make_exported(Family family, AttributeId id);
  bool set_own_next_hop(Family family, PathAttributes& attributes) const;

  Rib& rib_;
  std::uint32_t neighbor_;
  std::uint32_t own_as_;
  bool open_ = false;
  UpdateContext context_;
  Endpoints endpoints_;
  std::array<PerFamily, kFamilies> families_;
  Paged<AttributeId> cache_;  // exported set by received set; one user each
  // Kept for their memory. An export may happen while a message is being packed, hence two.
  std::vector<std::uint8_t> encoded_;
  std::vector<std::uint8_t> trial_;
  Update scratch_;
  std::uint64_t unadvertisable_ = 0;
};

}  // namespace tandem::bgp
