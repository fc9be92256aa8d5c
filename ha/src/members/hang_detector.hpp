// SPDX-License-Identifier: BSD-3-Clause
//
// Tells a hung primary from a paused machine (design.md section 6, step 1): hung is a heartbeat that did not move over several
// of the watcher's own consecutive wake-ups, each of which came about when it should. A primary that waits for a processor is
// not hung either, but one that waits for long serves nobody.
#pragma once

#include <cstdint>

namespace tandem::ha {

class HangDetector {
 public:
  static constexpr std::uint32_t kSamples = 5;
  /// From this sample on the owner's processor time is looked at. Earlier ones are common: an idle owner's heartbeat moves
  /// four times in a detection time.
  static constexpr std::uint32_t kProbeFrom = 2;
  /// A primary that is ready to run and is not run is given this many detection times.
  static constexpr std::uint32_t kStarvedTimes = 10;

  explicit HangDetector(std::uint32_t detect_ms) : interval_ns_(std::uint64_t{detect_ms} * 1'000'000 / kSamples) {}

  /// When sample() wants to be called next.
  [[nodiscard]] std::uint64_t next_sample_ns() const { return next_ns_; }

  /// True when the owner of `heartbeat` is to be taken for hung. Calls that come too early are ignored. `probe` has begin(),
  /// and is_starved(work_ns): whether the owner is ready to run and has had less than that of a processor since begin(). Work is
  /// counted, not time: on a machine where ten want a processor a turn of some milliseconds takes a tenth of a second.
  template <typename Probe>
  bool sample(std::uint64_t now_ns, std::uint64_t heartbeat, Probe& probe) {
    if (next_ns_ == 0 || heartbeat != last_heartbeat_) {
      restart(now_ns, heartbeat);
      return false;
    }
    if (now_ns < next_ns_) return false;
    // A wake-up that came a whole interval late says that this process did not run either.
    if (now_ns - next_ns_ > interval_ns_) {
      restart(now_ns, heartbeat);
      return false;
    }
    ++unmoved_;
    next_ns_ += interval_ns_;
    if (unmoved_ == kProbeFrom) probe.begin();
    if (unmoved_ < kSamples) return false;
    return unmoved_ >= kSamples * kStarvedTimes || !probe.is_starved((kSamples - kProbeFrom) * interval_ns_);
  }

 private:
  void restart(std::uint64_t now_ns, std::uint64_t heartbeat) {
    last_heartbeat_ = heartbeat;
    unmoved_ = 0;
    next_ns_ = now_ns + interval_ns_;
  }

  std::uint64_t interval_ns_;
  std::uint64_t next_ns_ = 0;
  std::uint64_t last_heartbeat_ = 0;
  std::uint32_t unmoved_ = 0;
};

}  // namespace tandem::ha
