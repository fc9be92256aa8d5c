// SPDX-License-Identifier: BSD-3-Clause
//
// The simulator must be able to fail: faults that are planted in the program (tandem/planted.hpp), one at a time, and each must be
// caught.
#pragma once

#include <string_view>

namespace tandem::sim {

/// Plants the fault of this name in every process of the runs that follow, not in the peer. False when there is none.
bool plant(std::string_view name);
/// A run begins: faults that come into force now and then begin to count anew.
void forget_planted_passes();
/// Every fault in turn, or the one that is named, until it is caught or its bound of runs is reached; then the same seeds with none.
/// Prints a table and returns the program's exit code.
int run_planted(std::string_view only);

}  // namespace tandem::sim
