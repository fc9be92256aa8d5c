// SPDX-License-Identifier: BSD-3-Clause
//
// What operators ask of a primary, or of a process without a group, and what they are answered.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "channel/rendezvous.hpp"
#include "say/control_server.hpp"
#include "tandem/capture.hpp"
#include "tandem/connection.hpp"

namespace tandem::ha {

struct Group;
class OutputGate;

class Operators {
 public:
  explicit Operators(Group& group) : group_(group) {}

  /// On the group's control socket, which is the primary's.
  void open(int listener);
  /// Without a group. That they cannot ask is no reason not to start.
  void open_alone();
  [[nodiscard]] bool is_open() const { return control_ != nullptr; }
  [[nodiscard]] bool ready() const { return control_ != nullptr && control_->ready(); }
  [[nodiscard]] bool is_answering() const { return control_ != nullptr && control_->is_answering(); }
  /// Within a turn: ControlServer::process.
  void process(OutputGate& gate, std::uint64_t deadline_ns = UINT64_MAX) { control_->process(gate, deadline_ns); }

  [[nodiscard]] bool captures() const { return capture_ != nullptr; }
  /// Behind each turn of a capture's.
  void run_capture();
  /// Promoted: an operator may wait for packets that nobody writes any more.
  void say_capture_ended();

 private:
  // ---- status.cpp ----
  ControlServer::Reply answer(const std::string& command);
  [[nodiscard]] std::string status_json() const;
  ControlServer::Reply connections_json();
  [[nodiscard]] nlohmann::json connection_json(Connection& connection) const;
  ControlServer::Reply metrics_reply();
  std::string own_metrics();

  // ---- capture_control.cpp ----
  ControlServer::Reply capture_reply(const std::string& command);
  ControlServer::Reply stop_capture();
  [[nodiscard]] nlohmann::json capture_json() const;

  // ---- operator_views.cpp ----
  [[nodiscard]] std::string arp_json() const;
  [[nodiscard]] std::string listeners_json() const;
  std::string device_json();

  Group& group_;
  std::unique_ptr<LoneSocket> lone_socket_;  ///< without a group
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<RunningCapture> capture_;  ///< an operator's, of the group's device
  std::string capture_name_;
};

}  // namespace tandem::ha
