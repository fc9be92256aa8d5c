// SPDX-License-Identifier: BSD-3-Clause
// Reading and writing in network order, with bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tandem::bgp {

/// Every read says whether there was enough; after a refusal nothing has moved.
class WireReader {
 public:
  explicit WireReader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  std::size_t left() const { return rest_.size(); }
  std::span<const std::uint8_t> rest() const { return rest_; }

  bool u8(std::uint8_t& value) {
    if (rest_.empty()) return false;
    value = rest_[0];
    rest_ = rest_.subspan(1);
    return true;
  }
  bool u16(std::uint16_t& value) {
    if (rest_.size() < 2) return false;
    value = static_cast<std::uint16_t>(rest_[0] << 8 | rest_[1]);
    rest_ = rest_.subspan(2);
    return true;
  }
  bool u32(std::uint32_t& value) {
    if (rest_.size() < 4) return false;
    value = std::uint32_t{rest_[0]} << 24 | std::uint32_t{rest_[1]} << 16 | std::uint32_t{rest_[2]} << 8 | rest_[3];
    rest_ = rest_.subspan(4);
    return true;
  }
  bool bytes(std::size_t count, std::span<const std::uint8_t>& value) {
    if (rest_.size() < count) return false;
    value = rest_.first(count);
    rest_ = rest_.subspan(count);
    return true;
  }

 private:
  std::span<const std::uint8_t> rest_;
};

inline void put_u8(std::vector<std::uint8_t>& out, std::uint8_t value) { out.push_back(value); }
inline void put_u16(std::vector<std::uint8_t>& out, std::uint16_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}
inline void put_u32(std::vector<std::uint8_t>& out, std::uint32_t value) {
  put_u16(out, static_cast<std::uint16_t>(value >> 16));
  put_u16(out, static_cast<std::uint16_t>(value));
}
inline void put_bytes(std::vector<std::uint8_t>& out, std::span<const std::uint8_t> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

}  // namespace tandem::bgp
