// SPDX-License-Identifier: BSD-3-Clause
//
// Invariants I1 and I2: while a twin is a member, nothing leaves that says more than what is published: no ACK beyond the bytes that
// the log holds, no byte beyond those that it holds as sent, no RST of a
// connection that lives there.
#pragma once

#include <cstdint>
#include <map>

#include "packet.hpp"
#include "tandem/stack.hpp"

namespace tandem::sim {

class World;

class FrameCheck {
 public:
  explicit FrameCheck(World& world) : world_(world) {}

  /// In the primary, right behind a publication.
  void published(Stack& stack);
  /// Nothing is mirrored from now on.
  void forget() { published_.clear(); }
  void leaves(const Packet& packet);
  [[nodiscard]] std::uint64_t checked() const { return checked_; }

 private:
  struct Limits {
    std::uint32_t rcv_nxt, snd_nxt;
    bool is_synchronized;  ///< and not at its end
  };
  static std::uint64_t key(std::uint8_t version, std::uint16_t ours, std::uint16_t theirs) {
    return std::uint64_t{version} << 32 | std::uint32_t{ours} << 16 | theirs;
  }

  World& world_;
  std::map<std::uint64_t, Limits> published_;
  std::uint64_t checked_ = 0;
};

}  // namespace tandem::sim
