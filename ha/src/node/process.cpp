// SPDX-License-Identifier: BSD-3-Clause
#include "node/process.hpp"

#include <poll.h>
#include <algorithm>
#include <utility>

#include "tandem/loop.hpp"

namespace tandem::ha {

namespace {

constexpr int kRealtimePriority = 10;
/// A service manager hears of a node at least this often.
constexpr std::uint64_t kReportState_ns = 1'000'000'000;

/// The process that gave its role away has lowered itself, and may run another node afterwards.
bool stepped_aside = false;

}  // namespace

void Process::begin(const LoopOptions& options) {
  started_ns_ = monotonic_ns();
  thread_ = std::this_thread::get_id();
  identity_ = system::draw_identity();
  if (std::exchange(stepped_aside, false)) system::leave_idle();
  loop_ = std::make_unique<Loop>(options);
}

void Process::catch_signals(std::function<void(const system::SignalsTaken& taken)> others) {
  signals_ = system::catch_signals();
  on_signals_ = std::move(others);
  loop_->watch(signals_.get(), POLLIN, [this](short) { take_signals(); });
}

void Process::take_signals() {
  if (!signals_.valid()) return;
  const system::SignalsTaken taken = system::take_signals(signals_.get());
  stops_ += taken.stops;
  on_signals_(taken);
}

void Process::log(Role role, std::string_view text, LogLevel level) {
  if (level > LogLevel::error && !log_limiter_.admits(monotonic_ns())) return;
  if (const std::uint64_t left_out = log_limiter_.take_left_out(); left_out != 0)
    write_log(role, std::to_string(left_out) + " lines were left out: they came faster than they could be read",
              LogLevel::warning);
  write_log(role, text, level);
}

void Process::write_log(Role role, std::string_view text, LogLevel level) {
  // What peers say is quoted in places: no line of theirs may look like one of ours.
  std::string one_line(text);
  std::replace_if(
      one_line.begin(), one_line.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  if (log_hook_) return log_hook_(level, role, one_line);
  const auto write = [role](LogLevel priority, std::string_view line) {
    return system::write_log_line(static_cast<int>(priority), to_string(role), line);
  };
  // Whoever reads it may stand still, and nobody waits for that: lines are lost then, and counted.
  if (lines_lost_ != 0) {
    const std::uint64_t lost =
        write(LogLevel::warning, std::to_string(lines_lost_) + " lines were lost: standard error did not take them");
    lines_lost_ = lost == 0 ? 0 : lines_lost_ + lost - 1;
  }
  lines_lost_ += write(level, one_line);
}

void Process::report_state(std::uint64_t now_ns, const NodeState& state) {
  if (!state_hook_ || (now_ns < next_state_report_ns_ && state == reported_state_)) return;
  next_state_report_ns_ = now_ns + kReportState_ns;
  reported_state_ = state;
  state_hook_(state);
}

void Process::step_back() {
  // Only whoever may undo it does it.
  if (!nice_before_) nice_before_ = system::lower_priority();
}

void Process::step_forward() {
  if (nice_before_) system::restore_priority(*nice_before_);
  nice_before_.reset();
}

void Process::step_aside(bool to_return) { stepped_aside = system::enter_idle(to_return); }

void Process::enter_realtime() { realtime_ = system::enter_realtime(kRealtimePriority); }

void Process::leave_realtime() {
  realtime_ = false;
  system::leave_realtime();
}

}  // namespace tandem::ha
