// SPDX-License-Identifier: BSD-3-Clause
//
// What a run has seen: bytes, latencies, and silences with the moments at which they began and ended, so that a silence can be
// attributed to what happened at that time. All times are CLOCK_MONOTONIC, the same in every process of a machine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "histogram.hpp"

namespace tandem::perf {

enum class Direction : std::uint8_t { received = 0, sent = 1 };

/// A time in which a flow made no progress in one direction.
struct Silence {
  std::uint64_t start_ns = 0;
  std::uint64_t end_ns = 0;
  std::uint32_t flow = 0;
  Direction direction = Direction::received;

  [[nodiscard]] std::uint64_t length_ns() const { return end_ns - start_ns; }
};

class Meter {
 public:
  struct FlowRecord {
    std::uint64_t connected_ns = 0;
    std::uint64_t done_ns = 0;  ///< finished or failed
    bool failed = false;
    std::array<std::uint64_t, 2> last_ns{};  ///< progress, by direction
    std::array<std::uint64_t, 2> bytes{};
  };
  struct StreamDigest {
    std::uint32_t flow = 0;
    std::string expected;
    std::string seen;
  };

  Meter(std::uint64_t start_ns, std::uint64_t gap_floor_ns, std::uint64_t interval_ns);

  std::uint32_t add_flow();
  void connected(std::uint32_t flow, std::uint64_t connect_ns, std::uint64_t now_ns);
  void progress(std::uint32_t flow, Direction direction, std::uint64_t bytes, std::uint64_t now_ns);
  void answered(std::uint64_t latency_ns) { latency_.add(latency_ns); }
  void done(std::uint32_t flow, std::uint64_t now_ns);
  void failed(std::uint32_t flow, const std::string& why, std::uint64_t now_ns);
  /// Something is wrong that is not the end of a flow.
  void error(const std::string& what);
  void add_digest(StreamDigest digest) { digests_.push_back(std::move(digest)); }
  void add_retransmissions(std::uint64_t count) { retransmissions_ += count; }
  void add_reset() { ++resets_; }

  [[nodiscard]] std::uint64_t start_ns() const { return start_ns_; }
  [[nodiscard]] std::uint64_t interval_ns() const { return interval_ns_; }
  [[nodiscard]] const std::vector<FlowRecord>& flows() const { return flows_; }
  [[nodiscard]] std::size_t connected_count() const { return connected_count_; }
  [[nodiscard]] std::size_t done_count() const { return done_count_; }
  [[nodiscard]] std::size_t failed_count() const { return failed_count_; }
  [[nodiscard]] std::uint64_t bytes(Direction direction) const { return bytes_[static_cast<std::size_t>(direction)]; }
  /// The moment of the oldest last progress among connected flows that are not done; nothing when there is none.
  [[nodiscard]] std::optional<std::uint64_t> oldest_progress_ns(Direction direction) const;
  [[nodiscard]] const std::optional<Silence>& longest(Direction direction) const {
    return longest_[static_cast<std::size_t>(direction)];
  }
  [[nodiscard]] const std::vector<Silence>& silences() const { return silences_; }
  [[nodiscard]] std::uint64_t silences_left_out() const { return silences_left_out_; }
  [[nodiscard]] const std::vector<std::uint64_t>& intervals(Direction direction) const {
    return intervals_[static_cast<std::size_t>(direction)];
  }
  [[nodiscard]] const Histogram& latency() const { return latency_; }
  [[nodiscard]] const Histogram& connect_time() const { return connect_time_; }
  [[nodiscard]] const std::vector<std::string>& errors() const { return errors_; }
  [[nodiscard]] std::uint64_t error_count() const { return error_count_; }
  [[nodiscard]] const std::vector<StreamDigest>& digests() const { return digests_; }
  [[nodiscard]] std::uint64_t retransmissions() const { return retransmissions_; }
  [[nodiscard]] std::uint64_t resets() const { return resets_; }

 private:
  std::uint64_t start_ns_;
  std::uint64_t gap_floor_ns_;
  std::uint64_t interval_ns_;
  std::vector<FlowRecord> flows_;
  std::size_t connected_count_ = 0;
  std::size_t done_count_ = 0;
  std::size_t failed_count_ = 0;
  std::array<std::uint64_t, 2> bytes_{};
  std::array<std::optional<Silence>, 2> longest_;
  std::vector<Silence> silences_;
  std::uint64_t silences_left_out_ = 0;
  std::array<std::vector<std::uint64_t>, 2> intervals_;
  Histogram latency_;
  Histogram connect_time_;
  std::vector<std::string> errors_;
  std::uint64_t error_count_ = 0;
  std::vector<StreamDigest> digests_;
  std::uint64_t retransmissions_ = 0;
  std::uint64_t resets_ = 0;
};

}  // namespace tandem::perf
