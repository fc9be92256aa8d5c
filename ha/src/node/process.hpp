// SPDX-License-Identifier: BSD-3-Clause
//
// What there is once for the thread that calls Node::run, whatever its groups do: the loop, the signals, an identity, the place among
// others that want the processor, and the lines that it says.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "channel/shared_memory.hpp"
#include "node/system.hpp"
#include "say/log_limiter.hpp"
#include "tandem/node.hpp"

namespace tandem::ha {

class Process {
 public:
  void set_log_hook(LogHook hook) { log_hook_ = std::move(hook); }
  void set_state_hook(StateHook hook) { state_hook_ = std::move(hook); }

  /// The calling thread is the one that runs it, from now on.
  void begin(const LoopOptions& options);
  [[nodiscard]] bool has_begun() const { return loop_ != nullptr; }
  [[nodiscard]] Loop& loop() { return *loop_; }
  [[nodiscard]] bool is_run_by_this_thread() const { return std::this_thread::get_id() == thread_; }
  /// Random; tells it from all processes of the groups, in whatever pid namespace they are.
  [[nodiscard]] std::uint64_t identity() const { return identity_; }
  [[nodiscard]] std::uint64_t started_ns() const { return started_ns_; }

  // ---- To end ----
  /// Those that tell it to end are counted; `others` is called for the rest.
  void catch_signals(std::function<void(const system::SignalsTaken& taken)> others);
  /// Those that have come are taken now, and not when the loop finds them.
  void take_signals();
  void stop() { ++stops_; }
  [[nodiscard]] bool stopping() const { return stops_ != 0; }
  /// How often it was told to end.
  [[nodiscard]] std::uint32_t stops() const { return stops_; }

  // ---- What it says ----
  void log(Role role, std::string_view text, LogLevel level);
  [[nodiscard]] bool reports_state() const { return state_hook_ != nullptr; }
  /// To the service manager, when something has changed or it is due.
  void report_state(std::uint64_t now_ns, const NodeState& state);

  // ---- The processor ----
  /// While it attaches: bringing up a twin is not to cost the primary its processor.
  void step_back();
  void step_forward();
  /// Whoever has given its role away: behind everybody else. `to_return`: a later begin() undoes it.
  void step_aside(bool to_return);
  /// SCHED_FIFO where allowed, from a twin's membership to a while after its promotion.
  void enter_realtime();
  void leave_realtime();
  [[nodiscard]] bool is_realtime() const { return realtime_; }

 private:
  void write_log(Role role, std::string_view text, LogLevel level);

  std::unique_ptr<Loop> loop_;
  std::thread::id thread_;
  std::uint64_t identity_ = 0;
  std::uint64_t started_ns_ = 0;
  Descriptor signals_;
  std::function<void(const system::SignalsTaken& taken)> on_signals_;
  std::uint32_t stops_ = 0;
  LogHook log_hook_;
  LogLimiter log_limiter_;
  std::uint64_t lines_lost_ = 0;  ///< that standard error did not take
  StateHook state_hook_;
  NodeState reported_state_;
  std::uint64_t next_state_report_ns_ = 0;
  std::optional<int> nice_before_;
  bool realtime_ = false;
};

}  // namespace tandem::ha
