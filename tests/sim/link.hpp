// SPDX-License-Identifier: BSD-3-Clause
//
// The wire between our interface and the peer, and what can happen to a frame on it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernel.hpp"

namespace tandem::sim {

enum class Direction : std::uint8_t { from_us = 0, from_peer = 1 };

struct LinkFaults {
  std::uint32_t loss_permille = 0;
  std::uint32_t duplication_permille = 0;
  std::uint32_t corruption_permille = 0;
  std::uint32_t reordering_permille = 0;  ///< frames that take much longer than the others
  bool partitioned = false;
  std::uint32_t mtu = UINT32_MAX;  ///< of the path; what is longer is lost, and a router says so
  [[nodiscard]] bool any() const {
    return loss_permille != 0 || duplication_permille != 0 || corruption_permille != 0 || reordering_permille != 0 ||
           partitioned || mtu != UINT32_MAX;
  }
};

class Link {
 public:
  using Deliver = std::function<void(Direction, Bytes)>;
  Link(Kernel& kernel, std::uint64_t seed, Deliver deliver);

  void send(Direction direction, Bytes frame);
  LinkFaults faults[2];
  /// Frames that are lost by a script, not by chance.
  std::function<bool(Direction, Bytes)> loses;
  /// ARP and neighbour discovery come late by up to this.
  std::uint64_t neighbour_delay_ns = 0;
  /// Told of what was longer than the path's MTU.
  std::function<void(Direction, Bytes, std::uint32_t mtu)> too_long;
  std::uint64_t delay_ns = 10'000;

  std::uint64_t carried = 0, lost = 0, duplicated = 0, corrupted = 0, reordered = 0;
  /// A frame was lost, spoiled or overtaken: what TCP does to repair that takes its time.
  [[nodiscard]] bool has_disturbed() const { return lost + duplicated + corrupted + reordered != 0; }

 private:
  void carry(Direction direction, Bytes frame, std::uint64_t delay);

  Kernel& kernel_;
  Prng prng_;
  Deliver deliver_;
  struct Frame {
    std::vector<std::uint8_t> bytes;
  };
  std::vector<Frame> frames_;
  std::vector<std::uint32_t> free_;
  std::uint64_t last_arrival_ns_[2] = {};
};

}  // namespace tandem::sim
