// SPDX-License-Identifier: BSD-3-Clause
#include "link.hpp"

#include <algorithm>

#include "packet.hpp"

namespace tandem::sim {

Link::Link(Kernel& kernel, std::uint64_t seed, Deliver deliver)
    : kernel_(kernel), prng_(seed, 3), deliver_(std::move(deliver)) {}

void Link::send(Direction direction, Bytes frame) {
  const HeapScope heap;
  const LinkFaults& faults_here = faults[static_cast<std::size_t>(direction)];
  ++carried;
  std::uint64_t delay = delay_ns;
  if (loses && loses(direction, frame)) {
    ++lost;
    kernel_.trace("  the wire loses a frame %s", direction == Direction::from_us ? "to the peer" : "to us");
    return;
  }
  if (neighbour_delay_ns != 0) {
    const Packet packet = parse_packet(frame);
    if (packet.kind == Packet::Kind::arp || packet.kind == Packet::Kind::icmp6) {
      ++reordered;
      delay += 1 + prng_.below(neighbour_delay_ns);
    }
  }
  if (!faults_here.any()) return carry(direction, frame, delay);
  constexpr std::size_t kEthernetHeader = 14;
  if (frame.size() > std::size_t{faults_here.mtu} + kEthernetHeader) {
    ++lost;
    kernel_.trace("  a frame %s is longer than the path's MTU",
                  direction == Direction::from_us ? "to the peer" : "to us");
    if (too_long) too_long(direction, frame, faults_here.mtu);
    return;
  }
  if (faults_here.partitioned || prng_.chance(faults_here.loss_permille)) {
    ++lost;
    kernel_.trace("  the wire loses a frame %s", direction == Direction::from_us ? "to the peer" : "to us");
    return;
  }
  // A SYN that comes when its connection is over opens another one, and the answers to that are no judge's business.
  const Packet packet = parse_packet(frame);
  const bool opens = packet.kind == Packet::Kind::tcp && packet.has(Packet::kSyn);
  const bool late = !opens && prng_.chance(faults_here.reordering_permille);
  if (late) {
    ++reordered;
    delay += prng_.skewed(2'000'000);
  }
  if (!opens && prng_.chance(faults_here.duplication_permille)) {
    ++duplicated;
    carry(direction, frame, delay + prng_.skewed(1'000'000));
  }
  if (prng_.chance(faults_here.corruption_permille)) {
    ++corrupted;
    std::vector<std::uint8_t> spoiled(frame.begin(), frame.end());
    // Behind the Ethernet header, so that a checksum covers it.
    if (spoiled.size() > 14)
      spoiled[14 + prng_.below(spoiled.size() - 14)] ^= static_cast<std::uint8_t>(1 << prng_.below(8));
    return carry(direction, spoiled, delay);
  }
  carry(direction, frame, delay);
}

void Link::carry(Direction direction, Bytes frame, std::uint64_t delay) {
  std::uint32_t place = 0;
  if (free_.empty()) {
    place = static_cast<std::uint32_t>(frames_.size());
    frames_.emplace_back();
  } else {
    place = free_.back();
    free_.pop_back();
  }
  frames_[place].bytes.assign(frame.begin(), frame.end());
  // In order, unless it is one of those that are held up.
  std::uint64_t& last = last_arrival_ns_[static_cast<std::size_t>(direction)];
  std::uint64_t arrival = kernel_.now_ns + delay;
  if (delay == delay_ns) {
    arrival = std::max(arrival, last + 200);
    last = arrival;
  }
  kernel_.at(arrival, [this, direction, place] {
    const std::vector<std::uint8_t> bytes = std::move(frames_[place].bytes);
    deliver_(direction, bytes);
    frames_[place].bytes = {};
    free_.push_back(place);
  });
}

}  // namespace tandem::sim
