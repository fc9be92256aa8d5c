// SPDX-License-Identifier: BSD-3-Clause
//
// Carries flows on a node of our own.
#pragma once

#include "driver.hpp"
#include "tandem/node.hpp"

namespace tandem::perf {

class NodeDriver final : public Driver, private Application {
 public:
  NodeDriver(const Settings& settings, const NodeOptions& options, Meter& meter, Report report);

  /// As KernelDriver::run; returns the node's exit code.
  int run();

 private:
  class Carried;
  class FlowHandler;

  std::unique_ptr<Handler> make_handler(Connection& connection, std::uint16_t well_known);
  void on_start(Node& node) override;
  std::uint64_t on_turn(Node& node, std::uint64_t now_ns) override;

  Node node_;
  std::size_t connecting_ = 0;
};

}  // namespace tandem::perf
