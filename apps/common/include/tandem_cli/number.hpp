// SPDX-License-Identifier: BSD-3-Clause
//
// Numbers as people type them in options, with errors that say what was expected.
#pragma once

#include "tandem/options.hpp"

namespace tandem::cli {

/// Something that was typed is wrong; what() is meant for the person who typed it. Programs exit with exit_code::kUsage.
using UsageError = OptionError;

using tandem::format_bytes;
using tandem::parse_bytes;
using tandem::parse_number;
using tandem::parse_seconds;

}  // namespace tandem::cli
