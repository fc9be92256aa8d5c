// SPDX-License-Identifier: BSD-3-Clause
#include "meter.hpp"

#include <algorithm>

namespace tandem::perf {

namespace {

constexpr std::size_t kMaxSilences = 500'000;
constexpr std::size_t kMaxIntervals = 1'000'000;
constexpr std::size_t kMaxErrors = 20;

}  // namespace

Meter::Meter(std::uint64_t start_ns, std::uint64_t gap_floor_ns, std::uint64_t interval_ns)
    : start_ns_(start_ns), gap_floor_ns_(gap_floor_ns), interval_ns_(interval_ns) {}

std::uint32_t Meter::add_flow() {
  flows_.emplace_back();
  return static_cast<std::uint32_t>(flows_.size() - 1);
}

void Meter::connected(std::uint32_t flow, std::uint64_t connect_ns, std::uint64_t now_ns) {
  FlowRecord& record = flows_[flow];
  record.connected_ns = now_ns;
  record.last_ns = {now_ns, now_ns};
  ++connected_count_;
  connect_time_.add(connect_ns);
}

void Meter::progress(std::uint32_t flow, Direction direction, std::uint64_t bytes, std::uint64_t now_ns) {
  const auto index = static_cast<std::size_t>(direction);
  FlowRecord& record = flows_[flow];
  const Silence silence{record.last_ns[index], now_ns, flow, direction};
  record.last_ns[index] = now_ns;
  record.bytes[index] += bytes;
  bytes_[index] += bytes;
  if (!longest_[index] || silence.length_ns() > longest_[index]->length_ns()) longest_[index] = silence;
  if (silence.length_ns() >= gap_floor_ns_) {
    if (silences_.size() < kMaxSilences) {
      silences_.push_back(silence);
    } else {
      ++silences_left_out_;
    }
  }
  const std::size_t interval = (now_ns - start_ns_) / interval_ns_;
  if (interval >= kMaxIntervals) return;
  if (interval >= intervals_[index].size()) intervals_[index].resize(interval + 1);
  intervals_[index][interval] += bytes;
}

void Meter::done(std::uint32_t flow, std::uint64_t now_ns) {
  if (flows_[flow].done_ns != 0) return;
  flows_[flow].done_ns = now_ns;
  ++done_count_;
}

void Meter::failed(std::uint32_t flow, const std::string& why, std::uint64_t now_ns) {
  if (flows_[flow].done_ns != 0) return;
  flows_[flow].done_ns = now_ns;
  flows_[flow].failed = true;
  ++failed_count_;
  error("connection " + std::to_string(flow) + ": " + why);
}

void Meter::error(const std::string& what) {
  ++error_count_;
  if (errors_.size() < kMaxErrors) errors_.push_back(what);
}

std::optional<std::uint64_t> Meter::oldest_progress_ns(Direction direction) const {
  std::optional<std::uint64_t> oldest;
  for (const FlowRecord& record : flows_) {
    if (record.connected_ns == 0 || record.done_ns != 0) continue;
    const std::uint64_t last = record.last_ns[static_cast<std::size_t>(direction)];
    if (!oldest || last < *oldest) oldest = last;
  }
  return oldest;
}

}  // namespace tandem::perf
