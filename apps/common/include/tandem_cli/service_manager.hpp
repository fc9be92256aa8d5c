// SPDX-License-Identifier: BSD-3-Clause
//
// Tells the service manager (systemd, Type=notify) that the process is ready, what it does, that it lives, and that it ends.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "tandem/node.hpp"

namespace tandem::cli {

/// The words of sd_notify(3) that follow from a node's state. `was_ready`: READY has been said before, which is never taken back.
std::string notification(const NodeState& state, bool was_ready);

/// A thread of its own speaks, since the service manager may be slow to listen and a node never waits. It speaks only when the
/// node does something: a node that hangs is not covered up, and the service manager's watchdog ends it.
class ServiceManager {
 public:
  /// Does nothing when no service manager has asked for it (NOTIFY_SOCKET).
  ServiceManager();
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  /// From the node's thread: Node::set_state_hook.
  void tell(const NodeState& state);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  NodeState state_;
  bool untold_ = false;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace tandem::cli
