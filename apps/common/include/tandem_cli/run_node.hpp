// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>

#include "tandem/node.hpp"

namespace tandem::cli {

/// Runs a node that `set_up` has given its services, and joins the group again as the twin whenever it has handed over on
/// request. Returns Node::run's exit code.
int run_node(NodeOptions options, const std::function<void(Node&)>& set_up);

}  // namespace tandem::cli
