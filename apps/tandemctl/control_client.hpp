// SPDX-License-Identifier: BSD-3-Clause
//
// The asking side of a group's control socket, RUNTIME_DIR/GROUP/control.sock: a Unix stream socket that takes one line of
// JSON, {"command":"status"}, answers with one, and closes.
#pragma once

#include <stdexcept>
#include <string>

namespace tandem::ctl {

/// No process of the group answers.
class NoGroup : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The answer as it came, without its newline. Throws NoGroup when nobody listens, std::runtime_error when the answer does
/// not come within `timeout_ms` or is larger than any that a group gives.
/// `descriptor`, if there is one, is passed along.
std::string ask(const std::string& socket_path, const std::string& command, int timeout_ms, int descriptor = -1);

}  // namespace tandem::ctl
