// SPDX-License-Identifier: BSD-3-Clause
//
// Which link address a neighbour has, and how sure that is: the states of RFC 4861 section 7.3, for IPv6 and IPv4 alike (RFC 826
// says nothing of when an address grows old). It knows neither packets nor a clock: who uses it says what came and when, and is told
// whom to ask.
//
// The table has a fixed size and takes no memory for a packet. Whoever is on the link can fill it with names that nobody has, so
// addresses are found by a keyed hash, and what makes room for a newcomer is the oldest entry that nobody used lately, never one
// that is pinned: a gateway's, or one that a live connection speaks to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "siphash.hpp"
#include "tandem/address.hpp"

namespace tandem {

class NeighbourCache {
 public:
  using Index = std::uint32_t;
  static constexpr Index kNone = 0xffffffff;

  // RFC 4861 section 10, nanoseconds and counts.
  static constexpr std::uint64_t kRetransNs = 1'000'000'000;
  static constexpr std::uint64_t kDelayFirstProbeNs = 5'000'000'000;
  static constexpr std::uint64_t kReachableNs = 30'000'000'000;  ///< times 0.5 to 1.5
  static constexpr std::uint8_t kMaxSolicit = 3;                 ///< multicast, and then again unicast

  enum class State : std::uint8_t { incomplete, reachable, stale, delay, probe };

  struct Link {
    Index previous = kNone, next = kNone;
  };

  struct Entry {
    IpAddress address;
    MacAddress mac;
    State state = State::incomplete;
    bool used = false;
    bool router = false;
    bool pinned = false;     ///< never makes room for another
    bool recent = false;     ///< a packet went there since this was looked at last
    bool unshown = false;    ///< its link address is news
    bool inherited = false;  ///< the process before had it, so that nothing of its own waited for it any more
    std::uint8_t tries = 0;
    std::uint16_t pending_count = 0;  ///< packets that wait for the answer
    Index pending = kNone;            ///< the first of them (pending_packets.hpp)
    Index bucket_next = kNone;        ///< the next free one, while unused
    std::uint64_t due_ns = 0;         ///< when to ask again; when a reachable one grows stale
    Link by_age, by_due;
    [[nodiscard]] bool has_mac() const { return state != State::incomplete; }
  };

  /// What time has brought for an entry.
  enum class Due : std::uint8_t { ask_all, ask_it, give_up };

  /// `random` gives 32 bits (reachable times are drawn). `removed` hears of every entry that goes, before it goes.
  NeighbourCache(std::size_t capacity, SipKey key, std::function<std::uint32_t()> random,
                 std::function<void(Entry&)> removed);

  [[nodiscard]] Entry* find(const IpAddress& address);
  /// The entry, a new one if there is none: incomplete, with nobody asked yet. Who makes it learns a link address for it or gives
  /// it to advance() at once, which says to ask. Null when everything is pinned.
  Entry* find_or_make(const IpAddress& address);
  void remove(Entry& entry);
  void clear();

  /// A packet wants to go there. True: send it to `mac`. False: it has to wait.
  bool use(Entry& entry, std::uint64_t now_ns) {
    entry.recent = true;
    return (entry.state == State::reachable && now_ns < entry.due_ns) || use_unsure(entry, now_ns);
  }
  /// The neighbour named its link address unasked: a solicitation, a request, a router's message (RFC 4861 section 7.2.3).
  void learn(Entry& entry, const MacAddress& mac);
  /// An advertisement (RFC 4861 section 7.2.5, appendix C). `mac` is null where it names none.
  void advertise(Entry& entry, const MacAddress* mac, bool solicited, bool override, std::uint64_t now_ns);
  /// Somebody above knows that packets arrive there.
  void confirm(Entry& entry, std::uint64_t now_ns);

  /// Due entries one by one; null when there is none. Each has to be given to advance(), and removed where that says give_up.
  [[nodiscard]] Entry* due(std::uint64_t now_ns);
  Due advance(Entry& entry, std::uint64_t now_ns);
  [[nodiscard]] std::uint64_t next_due_ns() const;  ///< the largest number when nothing is due ever

  /// Counted: as many unpins as pins let it go. It need not be in the table.
  void pin(const IpAddress& address);
  void unpin(const IpAddress& address);

  /// Calls visit(entry) for each whose link address is news, once.
  template <typename Visit>
  void visit_news(Visit visit) {
    for (const Index index : news_) {
      Entry& entry = entries_[index];
      if (entry.unshown) {
        entry.unshown = false;
        visit(entry);
      }
    }
    news_.clear();
  }
  template <typename Visit>
  void for_each(Visit visit) {
    // Not by the buckets, of which there are as many as entries may become.
    for (Entry& entry : entries_) {
      if (entry.used) {
        visit(entry);
      }
    }
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] std::uint64_t evictions() const { return evictions_; }
  [[nodiscard]] std::uint64_t refusals() const { return refusals_; }  ///< newcomers, everything being pinned
  /// The unpinned entry that has waited longest for an answer, or null.
  [[nodiscard]] Entry* oldest_incomplete();

 private:
  struct List {
    Index first = kNone, last = kNone;
    std::size_t size = 0;
  };
  struct Hash {
    SipKey key;
    std::size_t operator()(const IpAddress& address) const { return siphash(key, address.bytes()); }
  };

  bool use_unsure(Entry& entry, std::uint64_t now_ns);
  [[nodiscard]] Index index_of(const Entry& entry) const { return static_cast<Index>(&entry - entries_.data()); }
  [[nodiscard]] Index& bucket_of(const IpAddress& address) { return buckets_[hash_(address) & (buckets_.size() - 1)]; }
  bool make_room();
  void set_mac(Entry& entry, const MacAddress& mac);
  void set_state(Entry& entry, State state, std::uint64_t due_ns);
  List* due_list(State state);
  void append(List& list, Link Entry::*link, Index index);
  void unlink(List& list, Link Entry::*link, Index index);

  std::size_t capacity_;
  std::size_t max_incomplete_;
  Hash hash_;
  std::function<std::uint32_t()> random_;
  std::function<void(Entry&)> removed_;
  std::vector<Entry>
      entries_;  ///< never moves: room for all of them is there from the start, untouched until it is used
  Index free_ = kNone;
  std::vector<Index> buckets_;
  Index last_found_ = kNone;
  List by_age_;                         ///< unpinned ones, the oldest first
  List incomplete_, delayed_, probed_;  ///< each in the order in which they are due
  std::unordered_map<IpAddress, std::uint32_t, Hash> pins_;
  std::vector<Index> news_;
  std::size_t size_ = 0;
  std::uint64_t evictions_ = 0, refusals_ = 0;
};

}  // namespace tandem
