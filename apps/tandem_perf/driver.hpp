// SPDX-License-Identifier: BSD-3-Clause
//
// What both drivers, the kernel's and the node's, do alike: flows by number, their timers, the end of the run, reports.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <utility>
#include <vector>

#include "flow.hpp"
#include "meter.hpp"
#include "settings.hpp"

namespace tandem::perf {

/// A channel with the flow that it carries.
class Carrier : public Channel {
 public:
  Carrier(std::uint32_t index, std::unique_ptr<Flow> flow) : index_(index), flow_(std::move(flow)) {}
  [[nodiscard]] std::uint32_t index() const { return index_; }
  [[nodiscard]] Flow& flow() const { return *flow_; }

 private:
  friend class Driver;
  std::uint64_t timer_ns_ = UINT64_MAX;  ///< the flow's entry among the driver's timers
  std::uint32_t index_;
  std::unique_ptr<Flow> flow_;
};

class Driver {
 public:
  using Report = std::function<void(const Meter&, std::uint64_t now_ns)>;

  Driver(const Settings& settings, Meter& meter, Report report)
      : settings_(settings),
        meter_(meter),
        report_(std::move(report)),
        end_ns_(meter.start_ns() + settings.time_ns),
        limit_ns_(meter.start_ns() + settings.limit_ns),
        next_report_ns_(settings.report_ns == 0 ? UINT64_MAX : meter.start_ns() + settings.report_ns) {}
  virtual ~Driver() = default;
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

 protected:
  [[nodiscard]] bool is_server() const { return settings_.mode == Mode::serve; }

  void attach(Carrier& carrier) {
    if (carrier.index() >= carriers_.size()) carriers_.resize(carrier.index() + 1);
    carriers_[carrier.index()] = &carrier;
    ++live_;
  }
  void detach(const Carrier& carrier) {
    carriers_[carrier.index()] = nullptr;
    --live_;
  }
  /// After every call of a flow: its next tick may have changed.
  void rearm(Carrier& carrier, std::uint64_t earliest_ns = 0) {
    const std::uint64_t next = std::max(carrier.flow().next_ns(), earliest_ns);
    if (next >= carrier.timer_ns_) return;
    carrier.timer_ns_ = next;
    timers_.emplace(next, carrier.index());
  }

  /// Runs the ticks that are due. `after` is called behind each.
  void run_ticks(std::uint64_t now_ns, const std::function<void(Carrier&)>& after) {
    while (!timers_.empty() && timers_.top().first <= now_ns) {
      const auto [due_ns, index] = timers_.top();
      Carrier* carrier = carriers_[index];
      timers_.pop();
      // An entry may be stale: the flow has an earlier one since, or is gone.
      if (carrier == nullptr || carrier->timer_ns_ != due_ns) continue;
      carrier->timer_ns_ = UINT64_MAX;
      if (carrier->flow().next_ns() <= now_ns) carrier->flow().tick(*carrier);
      // Later than now, so that a flow that asks again at once cannot keep this loop going.
      rearm(*carrier, now_ns + 1);
      after(*carrier);
    }
  }

  /// Tells every flow to end once the time is over; true from then on.
  bool finish_when_due(std::uint64_t now_ns, bool stopped, const std::function<void(Carrier&)>& after) {
    if (finishing_ || (now_ns < end_ns_ && !stopped)) return finishing_;
    finishing_ = true;
    for (std::size_t i = 0; i < carriers_.size(); ++i) {
      Carrier* carrier = carriers_[i];
      if (carrier == nullptr) continue;
      carrier->flow().finish(*carrier);
      after(*carrier);
    }
    return true;
  }

  /// How many connections a client should open now, given how many are being opened.
  [[nodiscard]] std::size_t wanted(std::size_t connecting) const {
    if (finishing_ || is_server()) return 0;
    // A connection that came to an end is followed by another one only where that was asked for.
    const std::size_t missing =
        settings_.requests != 0 ? settings_.connections - live_ : settings_.connections - meter_.flows().size();
    constexpr std::size_t kAtOnce = 256;
    return std::min(missing, kAtOnce - std::min(kAtOnce, connecting));
  }

  void fail_all(const std::string& why) {
    for (Carrier* carrier : carriers_) {
      if (carrier != nullptr) carrier->flow().failed(why);
    }
  }

  void report_when_due(std::uint64_t now_ns) {
    if (now_ns < next_report_ns_) return;
    report_(meter_, now_ns);
    next_report_ns_ = now_ns + settings_.report_ns;
  }

  [[nodiscard]] std::uint64_t next_wake_ns() const {
    std::uint64_t next = std::min(limit_ns_, next_report_ns_);
    if (!finishing_) next = std::min(next, end_ns_);
    if (!timers_.empty()) next = std::min(next, timers_.top().first);
    return next;
  }

  const Settings& settings_;
  Meter& meter_;
  Report report_;
  const std::uint64_t end_ns_;
  const std::uint64_t limit_ns_;
  std::uint64_t next_report_ns_;
  bool finishing_ = false;
  std::size_t live_ = 0;
  std::vector<Carrier*> carriers_;  ///< by flow number; null once gone

 private:
  using Timer = std::pair<std::uint64_t, std::uint32_t>;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
};

}  // namespace tandem::perf
