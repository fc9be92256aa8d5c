// SPDX-License-Identifier: BSD-3-Clause
// The primitives of snapshot pieces: little endian, lists and strings with their length in front, read with bounds.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tandem::bgp {

class PieceWriter {
 public:
  explicit PieceWriter(std::vector<std::uint8_t>& out) : out_(out) {}

  template <std::unsigned_integral T>
  void put(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i)
      out_.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
  void put(bool value) { out_.push_back(value ? 1 : 0); }
  void raw(std::span<const std::uint8_t> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  /// At most 65535.
  void sized(std::span<const std::uint8_t> bytes) {
    put(static_cast<std::uint16_t>(bytes.size()));
    raw(bytes);
  }

 private:
  std::vector<std::uint8_t>& out_;
};

/// After the first read beyond the end everything reads as zero and ok() is false.
class PieceReader {
 public:
  explicit PieceReader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  std::size_t left() const { return rest_.size(); }
  void fail() {
    ok_ = false;
    rest_ = {};
  }
  template <std::unsigned_integral T>
  T get() {
    if (rest_.size() < sizeof(T)) {
      fail();
      return 0;
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= std::uint64_t{rest_[i]} << (8 * i);
    rest_ = rest_.subspan(sizeof(T));
    return static_cast<T>(value);
  }
  bool flag() { return get<std::uint8_t>() != 0; }
  std::span<const std::uint8_t> raw(std::size_t count) {
    if (rest_.size() < count) {
      fail();
      return {};
    }
    const auto bytes = rest_.first(count);
    rest_ = rest_.subspan(count);
    return bytes;
  }
  std::span<const std::uint8_t> sized() { return raw(get<std::uint16_t>()); }

 private:
  std::span<const std::uint8_t> rest_;
  bool ok_ = true;
};

}  // namespace tandem::bgp
