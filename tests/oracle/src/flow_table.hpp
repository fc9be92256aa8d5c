// SPDX-License-Identifier: BSD-3-Clause
//
// Finds a connection by its addresses and ports. Connections are pooled: what one of them allocated serves a later one.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "connection.hpp"

namespace tandem::oracle {

class FlowTable {
 public:
  FlowTable();
  /// The connection, or null.
  Connection* find(const FlowKey& key);
  /// A connection that was not there before.
  Connection& add(const FlowKey& key, std::uint64_t now_ns);
  void clear();
  std::size_t size() const { return by_age_.size(); }

 private:
  /// So many connections are kept although they have ended, for what comes late; then they are recycled.
  static constexpr std::size_t kKept = 16384;

  std::size_t slot_of(const FlowKey& key) const;
  void rehash(std::size_t slots);
  void recycle(std::uint64_t now_ns);

  std::deque<Connection> pool_;
  std::vector<Connection*> free_;
  std::deque<Connection*> by_age_;
  std::vector<Connection*> slots_;
  /// Twice as many as were left the last time, so that many live connections are not gone through for each new one.
  std::size_t recycle_at_ = kKept;
};

}  // namespace tandem::oracle
