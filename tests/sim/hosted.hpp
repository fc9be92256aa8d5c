// SPDX-License-Identifier: BSD-3-Clause
//
// What the simulator asks of an application beside what a node asks of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tandem/node.hpp"
#include "traffic.hpp"

namespace tandem::sim {

class Hosted : public ::tandem::Application {
 public:
  /// Of a connection's handler, what primary and twin must have in common.
  [[nodiscard]] virtual Exchange::View view(const Handler& handler) const = 0;
  /// The same of the application as a whole, in the process's own heap; and in words where two of them differ.
  [[nodiscard]] virtual std::vector<std::uint64_t> state() const = 0;
  [[nodiscard]] virtual std::string difference(const std::vector<std::uint64_t>& primary,
                                               const std::vector<std::uint64_t>& twin) const = 0;
};

}  // namespace tandem::sim
