// SPDX-License-Identifier: BSD-3-Clause
//
// What the host at the other end runs instead of exchanges.
#pragma once

#include <cstdint>

namespace tandem {
class Stack;
}

namespace tandem::sim {

/// All calls come in the peer's heap, and nothing of it is freed before that heap goes as a whole.
class PeerProgram {
 public:
  virtual ~PeerProgram() = default;
  virtual void set_up(Stack& stack) = 0;
  /// Once a turn, behind the handlers. Returns when it wants the next one at the latest.
  virtual std::uint64_t on_turn(Stack& stack, std::uint64_t now_ns) = 0;
  /// In a turn, before the handlers: lazy readers read now.
  virtual void on_poke(Stack& stack) { (void)stack; }
};

}  // namespace tandem::sim
