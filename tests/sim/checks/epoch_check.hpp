// SPDX-License-Identifier: BSD-3-Clause
//
// Invariant I3, for twins that were removed: a twin follows the primary that it joined, and applies nothing of the next one, which
// began at the position to which that one drained the log.
#pragma once

#include <cstdint>
#include <map>

#include "members/shared_group.hpp"

namespace tandem::sim {

class World;

class EpochCheck {
 public:
  explicit EpochCheck(World& world) : world_(world) {}

  /// A twin has mapped everything and will follow this epoch.
  void joined(std::int32_t pid, const ha::SharedGroup& group) { followed_[pid] = group.epoch.load(); }
  /// A promoted process has set the epoch and written nothing.
  void began(const ha::SharedGroup& group) { began_at_[group.epoch.load()] = group.published.load(); }
  void applied(std::int32_t pid, std::uint64_t position);
  /// The group is lost; another one begins with the first epoch.
  void forget() {
    followed_.clear();
    began_at_.clear();
  }

 private:
  World& world_;
  std::map<std::int32_t, std::uint64_t> followed_;
  std::map<std::uint64_t, std::uint64_t> began_at_;
};

}  // namespace tandem::sim
