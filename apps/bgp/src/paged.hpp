// SPDX-License-Identifier: BSD-3-Clause
// An array that grows page by page: no element ever moves, and no growth copies the whole (a table of a million routes must not
// stall a turn). Pages that were never written cost a pointer.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

namespace tandem::bgp {

template <class T, std::size_t kPageItems = 1024>
class Paged {
 public:
  /// A default value where nothing was written.
  T get(std::size_t index) const {
    const std::size_t page = index / kPageItems;
    return page < pages_.size() && pages_[page] ? (*pages_[page])[index % kPageItems] : T{};
  }
  /// Only where something was written.
  const T& peek(std::size_t index) const { return (*pages_[index / kPageItems])[index % kPageItems]; }
  T& at(std::size_t index) {
    const std::size_t page = index / kPageItems;
    if (page >= pages_.size()) pages_.resize(page + 1);
    if (!pages_[page]) pages_[page] = std::make_unique<std::array<T, kPageItems>>();
    return (*pages_[page])[index % kPageItems];
  }
  bool has_page_of(std::size_t index) const {
    const std::size_t page = index / kPageItems;
    return page < pages_.size() && pages_[page] != nullptr;
  }
  /// No index at or beyond this was written.
  std::size_t limit() const { return pages_.size() * kPageItems; }
  static constexpr std::size_t page_items() { return kPageItems; }

 private:
  std::vector<std::unique_ptr<std::array<T, kPageItems>>> pages_;
};

}  // namespace tandem::bgp
