// SPDX-License-Identifier: BSD-3-Clause
#include "tandem_cli/run_node.hpp"

#include "tandem_cli/service_manager.hpp"

namespace tandem::cli {

int run_node(NodeOptions options, const std::function<void(Node&)>& set_up) {
  options.handle_signals = true;
  ServiceManager service_manager;
  while (true) {
    Node node(options);
    node.set_state_hook([&](const NodeState& state) { service_manager.tell(state); });
    set_up(node);
    const int code = node.run();
    if (!node.wants_rejoin()) return code;
  }
}

}  // namespace tandem::cli
