// SPDX-License-Identifier: BSD-3-Clause
#include "tandem_cli/run_node.hpp"

namespace tandem::cli {

int run_node(const NodeOptions& options, const std::function<void(Node&)>& set_up) {
  while (true) {
    Node node(options);
    set_up(node);
    const int code = node.run();
    if (!node.wants_rejoin()) return code;
  }
}

}  // namespace tandem::cli
