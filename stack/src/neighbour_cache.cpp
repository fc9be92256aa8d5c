// SPDX-License-Identifier: BSD-3-Clause
#include "neighbour_cache.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <limits>
#include <utility>

namespace tandem {

namespace {

constexpr std::size_t kMinIncomplete = 16;

}  // namespace

NeighbourCache::NeighbourCache(std::size_t capacity, SipKey key, std::function<std::uint32_t()> random,
                               std::function<void(Entry&)> removed)
    : capacity_(capacity),
      // Names that nobody answers to come as fast as somebody makes them up; they never hold more than a quarter.
      max_incomplete_(std::max(kMinIncomplete, capacity / 4)),
      hash_{key},
      random_(std::move(random)),
      removed_(std::move(removed)),
      buckets_(std::bit_ceil(std::max<std::size_t>(capacity, 1)), kNone),
      pins_(0, hash_) {
  entries_.reserve(capacity);
}

NeighbourCache::Entry* NeighbourCache::find(const IpAddress& address) {
  if (last_found_ != kNone && entries_[last_found_].address == address) {
    return &entries_[last_found_];
  }
  for (Index index = bucket_of(address); index != kNone; index = entries_[index].bucket_next) {
    if (entries_[index].address == address) {
      last_found_ = index;
      return &entries_[index];
    }
  }
  return nullptr;
}

NeighbourCache::Entry* NeighbourCache::find_or_make(const IpAddress& address) {
  if (Entry* const found = find(address)) {
    return found;
  }
  if (!make_room()) {
    ++refusals_;
    return nullptr;
  }
  const Index index = free_ != kNone ? free_ : static_cast<Index>(entries_.size());
  if (free_ != kNone) {
    free_ = entries_[index].bucket_next;
  } else {
    entries_.emplace_back();
  }
  Entry& entry = entries_[index];
  entry = {};
  entry.used = true;
  entry.address = address;
  entry.pinned = pins_.contains(address);
  Index& bucket = bucket_of(address);
  entry.bucket_next = std::exchange(bucket, index);
  if (!entry.pinned) {
    append(by_age_, &Entry::by_age, index);
  }
  append(incomplete_, &Entry::by_due, index);
  ++size_;
  return &entry;
}

bool NeighbourCache::make_room() {
  if (incomplete_.size >= max_incomplete_) {
    if (Entry* const oldest = oldest_incomplete()) {
      ++evictions_;
      remove(*oldest);
    }
  }
  if (size_ < capacity_) {
    return true;
  }
  // Each that was used since it was looked at last gets a second chance; by then all have lost theirs.
  for (std::size_t looked_at = 0; by_age_.first != kNone; ++looked_at) {
    const Index index = by_age_.first;
    Entry& entry = entries_[index];
    constexpr std::size_t kLooks = 64;
    if (!std::exchange(entry.recent, false) || looked_at >= kLooks) {
      ++evictions_;
      remove(entry);
      return true;
    }
    unlink(by_age_, &Entry::by_age, index);
    append(by_age_, &Entry::by_age, index);
  }
  return false;
}

NeighbourCache::Entry* NeighbourCache::oldest_incomplete() {
  constexpr int kLooks = 16;
  Index index = incomplete_.first;
  for (int i = 0; i < kLooks && index != kNone; ++i, index = entries_[index].by_due.next) {
    if (!entries_[index].pinned) {
      return &entries_[index];
    }
  }
  return nullptr;
}

void NeighbourCache::remove(Entry& entry) {
  removed_(entry);
  const Index index = index_of(entry);
  Index* at = &bucket_of(entry.address);
  while (*at != index) {
    assert(*at != kNone);
    at = &entries_[*at].bucket_next;
  }
  *at = entry.bucket_next;
  if (!entry.pinned) {
    unlink(by_age_, &Entry::by_age, index);
  }
  if (List* const list = due_list(entry.state)) {
    unlink(*list, &Entry::by_due, index);
  }
  last_found_ = kNone;
  entry.used = entry.unshown = false;
  entry.bucket_next = std::exchange(free_, index);
  --size_;
}

void NeighbourCache::clear() {
  for (Index& first : buckets_) {
    while (first != kNone) {
      remove(entries_[first]);
    }
  }
}

bool NeighbourCache::use_unsure(Entry& entry, std::uint64_t now_ns) {
  switch (entry.state) {
    case State::incomplete:
      return false;
    case State::reachable:
    case State::stale:
      // What travels up may say within this time that packets arrive; else the neighbour is asked.
      entry.tries = 0;
      set_state(entry, State::delay, now_ns + kDelayFirstProbeNs);
      return true;
    case State::delay:
    case State::probe:
      return true;
  }
  return true;
}

void NeighbourCache::learn(Entry& entry, const MacAddress& mac) {
  if (entry.has_mac() && entry.mac == mac) {
    return;
  }
  set_mac(entry, mac);
  set_state(entry, State::stale, 0);
}

void NeighbourCache::advertise(Entry& entry, const MacAddress* mac, bool solicited, bool override,
                               std::uint64_t now_ns) {
  if (entry.state == State::incomplete) {
    if (mac == nullptr) {
      return;
    }
    set_mac(entry, *mac);
    set_state(entry, State::stale, 0);
    if (solicited) {
      confirm(entry, now_ns);
    }
    return;
  }
  const bool differs = mac != nullptr && *mac != entry.mac;
  if (differs && !override) {
    if (entry.state == State::reachable) {
      set_state(entry, State::stale, 0);
    }
    return;
  }
  if (differs) {
    set_mac(entry, *mac);
  }
  if (solicited) {
    confirm(entry, now_ns);
  } else if (differs) {
    set_state(entry, State::stale, 0);
  }
}

void NeighbourCache::confirm(Entry& entry, std::uint64_t now_ns) {
  if (!entry.has_mac()) {
    return;
  }
  entry.tries = 0;
  set_state(entry, State::reachable, now_ns + kReachableNs / 2 + random_() % kReachableNs);
}

NeighbourCache::Entry* NeighbourCache::due(std::uint64_t now_ns) {
  for (List* const list : {&incomplete_, &delayed_, &probed_}) {
    if (list->first != kNone && entries_[list->first].due_ns <= now_ns) {
      return &entries_[list->first];
    }
  }
  return nullptr;
}

NeighbourCache::Due NeighbourCache::advance(Entry& entry, std::uint64_t now_ns) {
  const bool asks_all = entry.state == State::incomplete;
  if (entry.tries >= kMaxSolicit) {
    return Due::give_up;
  }
  ++entry.tries;
  set_state(entry, asks_all ? State::incomplete : State::probe, now_ns + kRetransNs);
  return asks_all ? Due::ask_all : Due::ask_it;
}

std::uint64_t NeighbourCache::next_due_ns() const {
  auto next = std::numeric_limits<std::uint64_t>::max();
  for (const List* const list : {&incomplete_, &delayed_, &probed_}) {
    if (list->first != kNone) {
      next = std::min(next, entries_[list->first].due_ns);
    }
  }
  return next;
}

void NeighbourCache::pin(const IpAddress& address) {
  if (++pins_[address] != 1) {
    return;
  }
  Entry* const entry = find(address);
  if (entry != nullptr) {
    unlink(by_age_, &Entry::by_age, index_of(*entry));
    entry->pinned = true;
  }
}

void NeighbourCache::unpin(const IpAddress& address) {
  const auto pinned = pins_.find(address);
  assert(pinned != pins_.end());
  if (--pinned->second != 0) {
    return;
  }
  pins_.erase(pinned);
  Entry* const entry = find(address);
  if (entry != nullptr) {
    entry->pinned = false;
    append(by_age_, &Entry::by_age, index_of(*entry));
  }
}

void NeighbourCache::set_mac(Entry& entry, const MacAddress& mac) {
  if (!entry.unshown && (!entry.has_mac() || entry.mac != mac)) {
    entry.unshown = true;
    news_.push_back(index_of(entry));
  }
  entry.mac = mac;
}

void NeighbourCache::set_state(Entry& entry, State state, std::uint64_t due_ns) {
  const Index index = index_of(entry);
  if (List* const list = due_list(entry.state)) {
    unlink(*list, &Entry::by_due, index);
  }
  entry.state = state;
  entry.due_ns = due_ns;
  if (List* const list = due_list(state)) {
    append(*list, &Entry::by_due, index);
  }
}

NeighbourCache::List* NeighbourCache::due_list(State state) {
  switch (state) {
    case State::incomplete:
      return &incomplete_;
    case State::delay:
      return &delayed_;
    case State::probe:
      return &probed_;
    case State::reachable:
    case State::stale:
      return nullptr;
  }
  return nullptr;
}

void NeighbourCache::append(List& list, Link Entry::*link, Index index) {
  Link& own = entries_[index].*link;
  own = {list.last, kNone};
  (list.last == kNone ? list.first : (entries_[list.last].*link).next) = index;
  list.last = index;
  ++list.size;
}

void NeighbourCache::unlink(List& list, Link Entry::*link, Index index) {
  Link& own = entries_[index].*link;
  (own.previous == kNone ? list.first : (entries_[own.previous].*link).next) = own.next;
  (own.next == kNone ? list.last : (entries_[own.next].*link).previous) = own.previous;
  own = {};
  --list.size;
}

}  // namespace tandem
