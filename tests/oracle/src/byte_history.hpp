// SPDX-License-Identifier: BSD-3-Clause
//
// The bytes of one direction that were seen on the wire, as far back as they can still be repeated.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ranges.hpp"

namespace tandem::oracle {

class ByteHistory {
 public:
  /// Compares with what was seen at these positions before, and keeps what is new. Returns the first position that carries
  /// another byte now. Bytes from `needed_from` on are kept if the bound on memory allows it, older ones while there is room.
  std::optional<std::uint64_t> see(std::uint64_t at, std::span<const std::uint8_t> bytes, std::uint64_t needed_from);
  void clear();

 private:
  void make_room(std::uint64_t begin, std::uint64_t end, std::uint64_t needed_from);
  void store(std::uint64_t at, std::span<const std::uint8_t> bytes);
  std::optional<std::uint64_t> difference(std::uint64_t at, std::span<const std::uint8_t> bytes) const;

  /// The byte at position p stands at p modulo the size, which is a power of two.
  std::vector<std::uint8_t> ring_;
  /// Positions before this are forgotten, those from `oldest_ + size` on have not been seen.
  std::uint64_t oldest_ = 0;
  Ranges known_;
};

}  // namespace tandem::oracle
