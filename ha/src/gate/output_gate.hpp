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
  explicit OutputGate(Device& device) : device_(device), released_(device.mark().tx_index) {}

  /// An answer to somebody outside (a control socket) that must not overtake the transaction it speaks of.
  void hold_answer(std::function<void()> send) { answers_.push_back(std::move(send)); }

  /// The turn's outputs: packets up to `tx_index` and the answers held so far depend on the log up to `position`.
  void close_turn(std::uint64_t position, std::uint32_t tx_index) {
    assert(pending_.empty() || pending_.back().position <= position);
    pending_.push_back({position, tx_index, std::move(answers_)});
    answers_.clear();
  }

  /// The next packet that leaves goes by itself, the others of its turn behind it: somebody has waited for it since a death,
  /// and handing over many takes as long as all of them take. `out` is called when it has been handed over.
  void send_first_alone(std::function<void()> out) { first_is_out_ = std::move(out); }

  /// Every in-sync member holds the log up to `position` (invariants I1 and I2: nothing behind it leaves).
  void committed(std::uint64_t position) {
    while (!pending_.empty() && pending_.front().position <= position) {
      Turn turn = std::move(pending_.front());
      pending_.pop_front();
      release(turn.tx_index);
      for (const auto& send : turn.answers) send();
    }
  }

  [[nodiscard]] bool holds_something() const { return !pending_.empty(); }

 private:
  void release(std::uint32_t tx_index) {
    if (first_is_out_ && tx_index != released_) {
      device_.tx_release(released_ + 1);
      std::exchange(first_is_out_, {})();
    }
    released_ = tx_index;
    device_.tx_release(tx_index);
  }

  struct Turn {
    std::uint64_t position;
    std::uint32_t tx_index;
    std::vector<std::function<void()>> answers;
  };
  Device& device_;
  std::uint32_t released_;  ///< packets before it were handed over
  std::function<void()> first_is_out_;
  std::deque<Turn> pending_;
  std::vector<std::function<void()>> answers_;
};

}  // namespace tandem::ha
