// SPDX-License-Identifier: BSD-3-Clause
//
// A fuzzer's input as a source of decisions. Every input means something: what is missing at its end is zero.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace tandem::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] std::size_t size() const { return rest_.size(); }

  template <typename T>
  T number() {
    T value{};
    const std::size_t size = std::min(sizeof value, rest_.size());
    if (size != 0) std::memcpy(&value, rest_.data(), size);
    rest_ = rest_.subspan(size);
    return value;
  }
  std::uint8_t u8() { return number<std::uint8_t>(); }
  std::uint16_t u16() { return number<std::uint16_t>(); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  /// From 0 to `count` - 1; one byte as long as that is enough.
  std::size_t below(std::size_t count) {
    if (count <= 1) return 0;
    return count <= 256 ? u8() % count : u32() % count;
  }
  template <typename T, std::size_t N>
  const T& one_of(const T (&choices)[N]) {
    return choices[below(N)];
  }

  /// Up to `most` bytes, as many as the next two bytes say.
  std::span<const std::uint8_t> bytes(std::size_t most) {
    const std::size_t size = most == 0 ? 0 : std::min<std::size_t>(u16() % (most + 1), rest_.size());
    return take(size);
  }
  std::span<const std::uint8_t> take(std::size_t size) {
    const auto taken = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::span<const std::uint8_t> rest() { return take(rest_.size()); }
  std::string text(std::size_t most) {
    const auto taken = bytes(most);
    return {taken.begin(), taken.end()};
  }
  std::string rest_text() {
    const auto taken = rest();
    return {taken.begin(), taken.end()};
  }

 private:
  std::span<const std::uint8_t> rest_;
};

}  // namespace tandem::fuzz
