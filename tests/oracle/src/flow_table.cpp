// SPDX-License-Identifier: BSD-3-Clause
#include "flow_table.hpp"

#include <algorithm>
#include <cstring>

namespace tandem::oracle {

namespace {

constexpr std::size_t kFirstSlots = 256;
constexpr std::uint64_t kLingerNs = 120'000'000'000;

std::uint64_t hash_of(const FlowKey& key) {
  std::uint64_t words[5];
  std::memcpy(words, key.host[0].bytes.data(), 16);
  std::memcpy(words + 2, key.host[1].bytes.data(), 16);
  words[4] = std::uint64_t{key.port[0]} << 16 | key.port[1];
  std::uint64_t hash = 0;
  for (const std::uint64_t word : words) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace

FlowTable::FlowTable() : slots_(kFirstSlots) {}

std::size_t FlowTable::slot_of(const FlowKey& key) const {
  std::size_t slot = hash_of(key) & (slots_.size() - 1);
  while (slots_[slot] != nullptr && !(slots_[slot]->key == key)) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

Connection* FlowTable::find(const FlowKey& key) { return slots_[slot_of(key)]; }

Connection& FlowTable::add(const FlowKey& key, std::uint64_t now_ns) {
  if (by_age_.size() >= recycle_at_) recycle(now_ns);
  if ((by_age_.size() + 1) * 2 > slots_.size()) rehash(slots_.size() * 2);
  if (free_.empty()) free_.push_back(&pool_.emplace_back());
  Connection& connection = *free_.back();
  free_.pop_back();
  connection.forget();
  connection.key = key;
  connection.last_ns = now_ns;
  by_age_.push_back(&connection);
  slots_[slot_of(key)] = &connection;
  return connection;
}

void FlowTable::clear() {
  free_.insert(free_.end(), by_age_.begin(), by_age_.end());
  by_age_.clear();
  slots_.assign(slots_.size(), nullptr);
}

void FlowTable::rehash(std::size_t slots) {
  slots_.assign(slots, nullptr);
  for (Connection* connection : by_age_) slots_[slot_of(connection->key)] = connection;
}

void FlowTable::recycle(std::uint64_t now_ns) {
  std::deque<Connection*> kept;
  for (Connection* connection : by_age_) {
    const std::uint64_t quiet_ns = now_ns - connection->last_ns;
    if (quiet_ns > kLingerNs || connection->is_over()) {
      free_.push_back(connection);
    } else {
      kept.push_back(connection);
    }
  }
  by_age_ = std::move(kept);
  recycle_at_ = std::max(kKept, 2 * by_age_.size());
  rehash(slots_.size());
}

}  // namespace tandem::oracle
