// SPDX-License-Identifier: BSD-3-Clause
//
// The crash matrix: every scenario, and in it a death at every step that its processes pass.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "matrix/cell.hpp"

namespace tandem::sim {

/// Passages of one step in one scenario by one role, by what became of them.
struct Counts {
  std::array<std::uint32_t, kFates> by_fate{};
  std::size_t first = 0;  ///< number of the first of them
  [[nodiscard]] std::uint32_t of(Fate fate) const { return by_fate[static_cast<std::size_t>(fate)]; }
  [[nodiscard]] std::uint32_t all() const {
    std::uint32_t sum = 0;
    for (const std::uint32_t count : by_fate) sum += count;
    return sum;
  }
  [[nodiscard]] std::uint32_t anew() const { return all() - of(Fate::survived) - of(Fate::idle) - of(Fate::failed); }
};

struct Matrix {
  /// Index of the scenario, role, step. For `both` the step is the adopter's.
  using Key = std::array<std::size_t, 3>;
  std::map<Key, Counts> cells;
  Totals totals;
  [[nodiscard]] Counts sum() const;
  [[nodiscard]] Counts sum(std::size_t scenario, CrashRole role) const;
};

/// The page for people; the same matrix gives the same bytes.
std::string page_of(const Matrix& matrix);
/// Why no scenario comes to this step, or nothing where one should.
std::string_view why_not_reached(Step step);

/// `./dev sim --matrix ...`; the arguments behind --matrix.
int matrix_main(int argc, char** argv);

}  // namespace tandem::sim
