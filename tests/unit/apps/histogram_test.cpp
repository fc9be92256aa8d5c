// SPDX-License-Identifier: BSD-3-Clause
#include "histogram.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

using tandem::perf::Histogram;

TEST_CASE("quantiles are those of the sorted values, to one percent") {
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> values;
  Histogram histogram;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(random() >> (random() % 60));
    histogram.add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double fraction : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(fraction * static_cast<double>(values.size())));
    const auto exact = static_cast<double>(values[std::max<std::size_t>(rank, 1) - 1]);
    INFO(fraction);
    CHECK(std::abs(static_cast<double>(histogram.quantile(fraction)) - exact) <= exact * 0.01);
  }
  CHECK(histogram.max() == values.back());
  CHECK(histogram.min() == values.front());
}

TEST_CASE("an empty histogram is all zero, and the largest value fits") {
  Histogram histogram;
  CHECK(histogram.quantile(0.5) == 0);
  CHECK(histogram.min() == 0);
  histogram.add(UINT64_MAX);
  CHECK(histogram.quantile(0.5) == UINT64_MAX);
  Histogram sum;
  sum.add(1);
  sum.add(histogram);
  CHECK(sum.count() == 2);
  CHECK(sum.quantile(0.5) == 1);
  CHECK(sum.max() == UINT64_MAX);
}
