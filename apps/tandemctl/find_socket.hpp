// SPDX-License-Identifier: BSD-3-Clause
//
// Which control socket is meant.
#pragma once

#include <string>

namespace tandem::ctl {

/// The socket of a group, of the process `pid` that runs without one, or, when both are empty, of whoever alone answers below
/// `runtime_dir`. Throws cli::UsageError when that is not one.
std::string find_socket(const std::string& runtime_dir, const std::string& group, const std::string& pid);

}  // namespace tandem::ctl
