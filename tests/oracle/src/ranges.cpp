// SPDX-License-Identifier: BSD-3-Clause
#include "ranges.hpp"

#include <algorithm>

namespace tandem::oracle {

void Ranges::insert(Range range) {
  if (range.begin >= range.end) return;
  auto first =
      std::lower_bound(ranges_.begin(), ranges_.end(), range.begin, [](const Range& r, auto at) { return r.end < at; });
  if (first == ranges_.end() || first->begin > range.end) {
    ranges_.insert(first, range);
    return;
  }
  auto last = first;
  while (last != ranges_.end() && last->begin <= range.end) {
    range.begin = std::min(range.begin, last->begin);
    range.end = std::max(range.end, last->end);
    ++last;
  }
  *first = range;
  ranges_.erase(first + 1, last);
}

void Ranges::erase_before(std::uint64_t position) {
  auto first = ranges_.begin();
  while (first != ranges_.end() && first->end <= position) ++first;
  ranges_.erase(ranges_.begin(), first);
  if (!ranges_.empty() && ranges_.front().begin < position) ranges_.front().begin = position;
}

bool Ranges::covers(Range range) const {
  if (range.begin >= range.end) return true;
  const Range around = at(range.begin);
  return around.begin <= range.begin && range.end <= around.end;
}

Range Ranges::at(std::uint64_t position) const {
  const auto found =
      std::upper_bound(ranges_.begin(), ranges_.end(), position, [](auto at, const Range& r) { return at < r.end; });
  return found != ranges_.end() && found->begin <= position ? *found : Range{position, position};
}

}  // namespace tandem::oracle
