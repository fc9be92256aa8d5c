// SPDX-License-Identifier: BSD-3-Clause
#include "checks/epoch_check.hpp"

#include <string>

#include "world.hpp"

namespace tandem::sim {

void EpochCheck::applied(std::int32_t pid, std::uint64_t position) {
  const auto epoch = followed_.find(pid);
  if (epoch == followed_.end()) return;
  const auto next = began_at_.find(epoch->second + 1);
  if (next == began_at_.end() || position <= next->second) return;
  world_.violation("one epoch's log (I3)", "process " + std::to_string(pid) + " follows epoch " +
                                               std::to_string(epoch->second) + ", which ended at log position " +
                                               std::to_string(next->second) + ", and has applied " +
                                               std::to_string(position));
}

}  // namespace tandem::sim
