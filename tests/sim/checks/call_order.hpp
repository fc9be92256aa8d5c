// SPDX-License-Identifier: BSD-3-Clause
//
// A twin's handlers are called in exactly the order of the primary's, across all connections and the application's notes: what the
// primary's were told and did in a transaction is kept, and compared with the calls that the twin makes of the same transaction.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "members/shared_group.hpp"
#include "tandem/shown.hpp"

namespace tandem::sim {

class World;

class CallOrder {
 public:
  explicit CallOrder(World& world) : world_(world) {}

  struct Call {
    Shown what;
    std::uint64_t connection, value;
    bool operator==(const Call&) const = default;
  };
  /// A handler of process `pid` was called, or did something.
  void shown(std::int32_t pid, bool is_twin, const Call& call);
  /// In the primary, right behind a publication.
  void published(const ha::SharedGroup& group);
  /// A joiner has become a member: what is published from now on is compared.
  void joined(const ha::SharedGroup& group);
  /// Another process is the primary from now on, or nobody.
  void forget();

 private:
  void compare(const std::vector<Call>& primary, const std::vector<Call>& twin, std::uint64_t position);

  World& world_;
  std::int32_t member_ = 0;  ///< its process; 0: nobody follows
  std::uint64_t from_ = 0;   ///< the log's position at which it became one
  std::vector<Call> ours_;   ///< the primary's since its last publication
  std::vector<Call> theirs_;
  std::map<std::uint64_t, std::vector<Call>>
      published_;  ///< by the position behind the transaction; those with any call
};

}  // namespace tandem::sim
