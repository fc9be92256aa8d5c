// SPDX-License-Identifier: BSD-3-Clause
//
// The heap of one simulated process. While a process runs, malloc and operator new give memory of its arena; when it dies, the
// whole arena is given back at once, whatever was in use. So a dead process leaks nothing, and one that ended in good order can
// be asked what it forgot to free.
//
//   address space:   base | arena 0 | arena 1 | ...        a pointer tells its arena, or that it is of the program's own heap
//   in an arena:     header (16 bytes) | block | header | block ...      freed blocks wait in a list for each size
//
// Under the address sanitizer blocks are the sanitizer's, and an arena only knows which of them are its own (sanitized_arena.cpp).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "prng.hpp"

namespace tandem::sim {

class Arena {
 public:
  static constexpr std::size_t kBytes = std::size_t{64} << 20;
  static constexpr std::size_t kCount = 64;

  /// One that is not in use. Aborts when there is none.
  static Arena* take();
  /// Gives everything back.
  void give_back();

  void* allocate(std::size_t bytes, std::size_t alignment);
  static void release(void* block);
  static std::size_t size_of(const void* block);
  [[nodiscard]] static bool owns(const void* pointer);
  /// The arena of a block that some arena owns.
  static Arena& of(const void* block);
  [[nodiscard]] bool holds(const void* pointer) const;

  [[nodiscard]] std::size_t live_blocks() const { return live_blocks_; }
  [[nodiscard]] std::size_t live_bytes() const { return live_bytes_; }
  /// From now on so many of a thousand of lwIP's allocations (malloc, not operator new) fail; 0: none does.
  void be_short(std::uint64_t seed, std::uint32_t permille) {
    if (permille != 0 && short_permille_ == 0) short_prng_ = Prng(seed, 5);
    short_permille_ = permille;
  }
  /// Asked by malloc.
  [[nodiscard]] bool refuses() {
    if (short_permille_ == 0 || !short_prng_.chance(short_permille_)) return false;
    ++refused;
    return true;
  }
  static std::uint64_t refused;  ///< by all of them

 private:
  /// The address sanitizer's word on each block.
  static void allocated(const volatile void* block, std::size_t bytes);
  static void freed(const volatile void* block);

  static constexpr std::size_t kClasses = 64 + 4 * 17;
  struct Header;
  static std::uint32_t class_of(std::size_t bytes);
  static std::size_t class_bytes(std::uint32_t size_class);

  std::uint8_t* start_ = nullptr;
  std::size_t used_ = 0;
  std::size_t live_blocks_ = 0;
  std::size_t live_bytes_ = 0;
  std::uint32_t short_permille_ = 0;
  Prng short_prng_;
  bool in_use_ = false;
  std::array<void*, kClasses> free_{};
};

/// Whose memory malloc gives now; null: the program's own heap.
extern constinit Arena* current_arena;

/// Within it, allocations are the program's own (or another arena's) whatever process is at work.
class HeapScope {
 public:
  explicit HeapScope(Arena* arena = nullptr) : before_(current_arena) { current_arena = arena; }
  ~HeapScope() { current_arena = before_; }
  HeapScope(const HeapScope&) = delete;
  HeapScope& operator=(const HeapScope&) = delete;

 private:
  Arena* before_;
};

}  // namespace tandem::sim
