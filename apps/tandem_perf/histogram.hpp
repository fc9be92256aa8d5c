// SPDX-License-Identifier: BSD-3-Clause
//
// A histogram of bounded size with a relative error below 1 %, in the manner of HDR histograms: 128 buckets a power of two.
#pragma once

#include <cstdint>
#include <vector>

namespace tandem::perf {

class Histogram {
 public:
  Histogram();

  void add(std::uint64_t value);
  void add(const Histogram& other);

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t max() const { return max_; }
  [[nodiscard]] std::uint64_t min() const { return count_ == 0 ? 0 : min_; }
  [[nodiscard]] double mean() const { return count_ == 0 ? 0.0 : sum_ / static_cast<double>(count_); }
  /// The least value that `fraction` (0 to 1) of all values do not exceed, up to the error of a bucket. 0 when empty.
  [[nodiscard]] std::uint64_t quantile(double fraction) const;

 private:
  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
  std::uint64_t min_ = UINT64_MAX;
  double sum_ = 0;
};

}  // namespace tandem::perf
