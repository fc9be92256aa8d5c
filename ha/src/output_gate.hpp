// SPDX-License-Identifier: BSD-3-Clause
//
// Stands between the turn and everything that somebody outside could see (design.md section 3). Outputs of a turn are put here
// with the log position that must be committed first, and leave in order. With `shm` twins a transaction is committed by its
// publication, so the gate never holds anything back; it is the one place where it would.
#pragma once

#include <cassert>
#include <cstdint>
#include <deque>
#include <functional>
#include <utility>

#include "tandem/device.hpp"

namespace tandem::ha {

class OutputGate {
 public:
  explicit OutputGate(Device& device) : device_(device) {}

  /// An answer to somebody outside (a control socket) that must not overtake the transaction it speaks of.
  void hold_answer(std::function<void()> send) { answers_.push_back(std::move(send)); }

  /// The turn's outputs: packets up to `tx_index` and the answers held so far depend on the log up to `position`.
  void close_turn(std::uint64_t position, std::uint32_t tx_index) {
    assert(pending_.empty() || pending_.back().position <= position);
    pending_.push_back({position, tx_index, std::move(answers_)});
    answers_.clear();
  }

  /// Every in-sync member holds the log up to `position` (invariants I1 and I2: nothing behind it leaves).
  void committed(std::uint64_t position) {
    while (!pending_.empty() && pending_.front().position <= position) {
      Turn turn = std::move(pending_.front());
      pending_.pop_front();
      device_.tx_release(turn.tx_index);
      for (const auto& send : turn.answers) send();
    }
  }

  [[nodiscard]] bool holds_something() const { return !pending_.empty(); }

 private:
  struct Turn {
    std::uint64_t position;
    std::uint32_t tx_index;
    std::vector<std::function<void()>> answers;
  };
  Device& device_;
  std::deque<Turn> pending_;
  std::vector<std::function<void()>> answers_;
};

}  // namespace tandem::ha
