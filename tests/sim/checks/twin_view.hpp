// SPDX-License-Identifier: BSD-3-Clause
//
// Invariant I3: a twin's state is always one that the primary had between two turns. What the primary has when it publishes a
// transaction is kept, connections and application; when the twin has applied exactly up to there, it must have the same.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <vector>

#include "members/shared_group.hpp"
#include "tandem/node.hpp"
#include "traffic.hpp"

namespace tandem::sim {

class World;
class Hosted;

class TwinView {
 public:
  explicit TwinView(World& world) : world_(world) {}

  /// In the primary, right behind a publication.
  void published(Node& node, const Hosted& application, const ha::SharedGroup& group);
  /// In the twin, when it has applied the log up to `position`.
  void applied(Node& node, const Hosted& application, const ha::SharedGroup& group, std::uint64_t position);
  void forget() { kept_.clear(); }
  /// A joiner has become a member. It may be far from having applied what makes it one, and has less until then.
  void joined(const ha::SharedGroup& group) {
    std::erase_if(kept_, [&group](const Kept& kept) { return kept.position < group.published.load(); });
    from_ = group.published.load();
  }
  [[nodiscard]] std::uint64_t compared() const { return compared_; }

 private:
  struct Entry {
    ConnectionId id = 0;
    bool has_handler = false;
    Exchange::View view{};
    ConnectionImage image;
  };
  struct Kept {
    std::uint64_t position = 0;
    std::uint64_t epoch = 0;
    std::vector<Entry> connections;
    std::vector<std::uint64_t> state;
    std::vector<Neighbour> neighbours;
  };
  static void look(Node& node, const Hosted& application, Kept& into);
  void compare(const Hosted& application, const Kept& primary, const Kept& twin);

  World& world_;
  std::uint64_t from_ = 0;  ///< behind it the member has its snapshot too
  std::deque<Kept> kept_;
  std::uint64_t compared_ = 0;
};

}  // namespace tandem::sim
