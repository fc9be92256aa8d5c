// SPDX-License-Identifier: BSD-3-Clause
//
// A set of positions, kept as ranges that neither touch nor overlap, in ascending order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tandem::oracle {

struct Range {
  std::uint64_t begin = 0, end = 0;
  friend bool operator==(const Range&, const Range&) = default;
};

class Ranges {
 public:
  void insert(Range range);
  /// Takes away everything before `position`.
  void erase_before(std::uint64_t position);
  bool covers(Range range) const;
  /// The range that `position` lies in, or an empty one.
  Range at(std::uint64_t position) const;

  void clear() { ranges_.clear(); }
  bool empty() const { return ranges_.empty(); }
  std::size_t size() const { return ranges_.size(); }
  auto begin() const { return ranges_.begin(); }
  auto end() const { return ranges_.end(); }

 private:
  std::vector<Range> ranges_;
};

}  // namespace tandem::oracle
