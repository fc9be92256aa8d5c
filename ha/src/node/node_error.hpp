// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <stdexcept>
#include <string>

namespace tandem::ha {

/// Ends Node::run with a message that says what was tried, what happened and what to do, and with an exit_code.
class NodeError : public std::runtime_error {
 public:
  NodeError(int code, const std::string& what) : std::runtime_error(what), code_(code) {}
  [[nodiscard]] int code() const { return code_; }

 private:
  int code_;
};

}  // namespace tandem::ha
