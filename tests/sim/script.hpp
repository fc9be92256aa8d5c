// SPDX-License-Identifier: BSD-3-Clause
//
// A run that is written down instead of drawn: World asks its script wherever it would else ask its seed.
#pragma once

#include <cstdint>
#include <vector>

#include "link.hpp"
#include "packet.hpp"
#include "steps.hpp"
#include "traffic.hpp"

namespace tandem::sim {

class World;
struct Process;

class Script {
 public:
  virtual ~Script() = default;

  struct Item {
    Plan plan;  ///< its number is given by the world
    std::uint16_t port = kStreamPort;
    bool from_us = false;             ///< we open it
    std::uint64_t open_after_ns = 0;  ///< after the run's start
  };
  [[nodiscard]] virtual const std::vector<Item>& exchanges() const = 0;
  /// When the second process starts, after the first.
  [[nodiscard]] virtual std::uint64_t twin_after_ns() const = 0;
  /// All bytes must have arrived so long after the last exchange was opened.
  [[nodiscard]] virtual std::uint64_t within_ns() const = 0;
  /// Whoever is at rest is looked at no earlier than this.
  [[nodiscard]] virtual std::uint64_t rests_from_ns() const = 0;

  /// A process comes to a step. Whether it is to die there is asked behind the checks, when its stop_at_step says so.
  virtual void passes(World& world, Process& process, Step step) = 0;
  virtual bool dies(World& world, Process& process, Step step) = 0;
  /// A process has died or ended.
  virtual void gone(World& world, const Process& process) = 0;
  /// Nobody is left who has the connections, by the death of `process` or because it gave them to a dead one.
  virtual void group_lost(World& world, const Process& process) = 0;
  /// Whether the wire loses this frame.
  virtual bool loses(Direction direction, const Packet& packet) = 0;
  [[nodiscard]] virtual std::uint64_t client_may_write(const Plan& plan, std::uint64_t open_for_ns) const = 0;
  [[nodiscard]] virtual bool may_close(const Plan& plan, std::uint64_t open_for_ns) const = 0;
};

}  // namespace tandem::sim
