// SPDX-License-Identifier: BSD-3-Clause
//
// What a run tells: lines of JSON ("event": start, progress, result), or text for people.
#pragma once

#include <cstdint>

#include "meter.hpp"
#include "settings.hpp"

namespace tandem::perf {

void print_start(const Settings& settings, const Meter& meter);
void print_progress(const Settings& settings, const Meter& meter, std::uint64_t now_ns);
/// Returns whether everything went well.
bool print_result(const Settings& settings, const Meter& meter, std::uint64_t now_ns);

}  // namespace tandem::perf
