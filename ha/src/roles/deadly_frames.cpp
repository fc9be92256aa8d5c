// SPDX-License-Identifier: BSD-3-Clause
#include "roles/deadly_frames.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "tandem/planted.hpp"

namespace tandem::ha {
namespace {

constexpr std::size_t kEthernetBytes = 14;
constexpr std::uint8_t kTcp = 6;

std::uint32_t big_endian(Bytes bytes, std::size_t at, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
  return value;
}

/// FNV-1a. Whoever can make two frames of one key can have both dropped, and could have sent the deadly one alone.
struct Hash {
  std::uint64_t value = 0xcbf29ce484222325ull;
  void add(Bytes bytes) {
    for (const std::uint8_t byte : bytes) value = (value ^ byte) * 0x100000001b3ull;
  }
};

/// Offset of the TCP header; nothing where there is none, or not all of its first twelve bytes.
std::optional<std::size_t> tcp_at(Bytes frame) {
  if (frame.size() < kEthernetBytes + 20) return std::nullopt;
  const std::uint32_t type = big_endian(frame, 12, 2);
  std::size_t at = 0;
  if (type == 0x0800 && frame[kEthernetBytes + 9] == kTcp && (big_endian(frame, kEthernetBytes + 6, 2) & 0x1fff) == 0)
    at = kEthernetBytes + std::size_t{frame[kEthernetBytes] & 0xfU} * 4;
  else if (type == 0x86dd && frame.size() >= kEthernetBytes + 40 && frame[kEthernetBytes + 6] == kTcp)
    at = kEthernetBytes + 40;
  return at != 0 && frame.size() >= at + 12 ? std::optional(at) : std::nullopt;
}

/// Whether a segment carries data, SYN or FIN, which its sender repeats with the same sequence number.
bool takes_sequence_space(Bytes frame, std::size_t tcp) {
  constexpr std::uint8_t kFinSyn = 3;
  const bool is_v6 = frame[12] == 0x86;
  const std::size_t end = kEthernetBytes + (is_v6 ? 40 + big_endian(frame, kEthernetBytes + 4, 2)
                                                  : big_endian(frame, kEthernetBytes + 2, 2));
  if (frame.size() < tcp + 14) return false;
  return (frame[tcp + 13] & kFinSyn) != 0 || end > tcp + (frame[tcp + 12] >> 4U) * std::size_t{4};
}

Endpoint endpoint_at(Bytes frame, std::size_t address_at, bool is_v6, std::size_t port_at) {
  Endpoint end{IpAddress::any(is_v6 ? 6 : 4), static_cast<std::uint16_t>(big_endian(frame, port_at, 2))};
  std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(address_at), is_v6 ? 16 : 4, end.address.octets.begin());
  return end;
}

}  // namespace

std::string FrameIdentity::to_string() const {
  if (!segment) return "a frame that is no TCP segment";
  return "the TCP segment of " + segment->source.to_string() + " to " + segment->destination.to_string() +
         " with sequence number " + std::to_string(segment->seq);
}

FrameIdentity identify(Bytes frame) {
  FrameIdentity identity;
  Hash hash;
  if (const auto tcp = tcp_at(frame)) {
    const bool is_v6 = frame[12] == 0x86;
    const std::size_t from = kEthernetBytes + (is_v6 ? 8 : 12);
    const std::size_t address_bytes = is_v6 ? 16 : 4;
    identity.segment = {endpoint_at(frame, from, is_v6, *tcp),
                        endpoint_at(frame, from + address_bytes, is_v6, *tcp + 2), big_endian(frame, *tcp + 4, 4)};
    if (takes_sequence_space(frame, *tcp)) {
      hash.add(frame.subspan(from, 2 * address_bytes));
      hash.add(frame.subspan(*tcp, 8));
    } else {
      // All that acknowledge from one place have one number: only the whole tells them apart.
      hash.add(frame.subspan(from));
    }
  } else if (frame.size() >= kEthernetBytes + 20 && big_endian(frame, 12, 2) == 0x0800) {
    // Without identification and header checksum.
    hash.add(frame.first(kEthernetBytes + 4));
    hash.add(frame.subspan(kEthernetBytes + 6, 4));
    hash.add(frame.subspan(kEthernetBytes + 12));
  } else {
    hash.add(frame);
  }
  identity.key = std::max<std::uint64_t>(hash.value, 1);
  return identity;
}

void DeadlyFrames::begin(SharedGroup& group, const FramesLeft& left, End end, const WireMark& mark,
                         std::uint64_t now_ns) {
  group_ = &group;
  left_ = left;
  left_one_ = left.one.has_value();
  end_ = end;
  // An owner may have ended behind its publication: then what it was at is dealt with, and will not be shown.
  left_.forget_dealt_with(mark);
  began_ns_ = now_ns;
  careful_until_ns_ = left_.any() && !left_one_ ? now_ns + kCareful_ns : 0;
  suspects_.clear();
  tried_ = 0;
  met_ = false;
  last_met_ns_ = now_ns;
  alert_ = left_.any() || anything_is_known();
}

DeadlyFrames::Verdict DeadlyFrames::judge(FramePlace place, const FrameIdentity& frame, bool has_twin,
                                          std::uint64_t now_ns) {
  if (left_.take(place)) {
    // One that was tried again among others has ended this process too, as far as anybody can tell.
    DeadlyFrame* const known = left_one_ ? &note(frame.key) : find(frame.key);
    if (known != nullptr && !(end_ == End::hung && TANDEM_PLANTED(hang_not_counted))) {
      std::atomic<std::uint32_t>& counter = end_ == End::died ? known->deaths : known->hangs;
      counter.store(counter.load() + 1);
      known->drops.store(0);
    } else {
      suspects_.push_back(frame.key);
    }
    return Verdict::first_drop;
  }
  const bool may_be_tried = has_twin || now_ns - began_ns_ >= kPatience_ns;
  DeadlyFrame* const entry = find(frame.key);
  if (entry == nullptr) {
    if (!may_be_tried && std::find(suspects_.begin(), suspects_.end(), frame.key) != suspects_.end())
      return Verdict::drop;
    std::erase(suspects_, frame.key);
    return Verdict::process;
  }
  met_ = true;
  const bool is_deadly = ended_by(*entry) > 1;
  if (!is_deadly && (entry->deaths.load() == 0 ? may_be_tried : has_twin)) {
    tried_ = frame.key;
    return Verdict::process;
  }
  const std::uint32_t drops = entry->drops.load() + 1;
  entry->drops.store(drops);
  return is_deadly && frame.segment && drops % kMostDropsOfDeadly == 0 ? Verdict::give_up : Verdict::drop;
}

void DeadlyFrames::end_turn(std::uint64_t now_ns) {
  if (std::exchange(met_, false)) last_met_ns_ = now_ns;
  if (tried_ != 0) {
    if (DeadlyFrame* const entry = find(tried_)) forget(*entry);
    tried_ = 0;
  }
  if (now_ns - last_met_ns_ > kForgetAfter_ns)
    for (DeadlyFrame& entry : group_->deadly) forget(entry);
  if (now_ns - began_ns_ > kCareful_ns) {
    forget_left();
    suspects_.clear();
  }
  alert_ = left_.any() || now_ns < careful_until_ns_ || anything_is_known();
}

void DeadlyFrames::forget(DeadlyFrame& entry) {
  entry.key.store(0);
  entry.deaths.store(0);
  entry.hangs.store(0);
  entry.drops.store(0);
}

std::uint32_t DeadlyFrames::ended_by(const DeadlyFrame& entry) { return entry.deaths.load() + entry.hangs.load(); }

std::uint32_t DeadlyFrames::ended_by(std::uint64_t key) const {
  const DeadlyFrame* const entry = find(key);
  return entry == nullptr ? 0 : ended_by(*entry);
}

DeadlyFrame* DeadlyFrames::find(std::uint64_t key) const {
  for (DeadlyFrame& entry : group_->deadly)
    if (entry.key.load() == key) return &entry;
  return nullptr;
}

/// The entry of this key, or the one that has ended the fewest; among equals one that processes only hung at.
DeadlyFrame& DeadlyFrames::note(std::uint64_t key) {
  if (DeadlyFrame* const entry = find(key)) return *entry;
  DeadlyFrame& entry =
      *std::min_element(group_->deadly.begin(), group_->deadly.end(), [](const DeadlyFrame& a, const DeadlyFrame& b) {
        return std::pair(ended_by(a), a.deaths.load()) < std::pair(ended_by(b), b.deaths.load());
      });
  forget(entry);
  entry.key.store(key);
  return entry;
}

bool DeadlyFrames::anything_is_known() const {
  return std::any_of(group_->deadly.begin(), group_->deadly.end(), [](const auto& e) { return e.key.load() != 0; });
}

}  // namespace tandem::ha
