// SPDX-License-Identifier: BSD-3-Clause
//
// The heaps of simulated processes under the address sanitizer (arena.cpp stands for them elsewhere). Every block is the
// sanitizer's, with its red zones; who allocated it is remembered, and the blocks of a process that dies are freed with it. So
// whoever still looks at a dead process's memory is caught, too.
#include <sanitizer/allocator_interface.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "arena.hpp"

namespace tandem::sim {

constinit Arena* current_arena = nullptr;
std::uint64_t Arena::refused = 0;

namespace {

constinit std::array<Arena, Arena::kCount> arenas{};
/// While the table itself is at work: its own blocks are not in it.
constinit bool in_table = false;

struct Owned {
  Arena* arena;
  std::size_t bytes;
};

std::map<std::uintptr_t, Owned>& owners() {
  static auto* const table = new std::map<std::uintptr_t, Owned>;
  return *table;
}

std::uintptr_t address(const volatile void* block) { return reinterpret_cast<std::uintptr_t>(block); }

struct TableScope {
  TableScope() { in_table = true; }
  ~TableScope() { in_table = false; }
};

}  // namespace

void Arena::allocated(const volatile void* block, std::size_t bytes) {
  if (current_arena == nullptr || in_table) return;
  const TableScope scope;
  owners()[address(block)] = {current_arena, bytes};
  ++current_arena->live_blocks_;
  current_arena->live_bytes_ += bytes;
}

void Arena::freed(const volatile void* block) {
  if (in_table) return;
  const TableScope scope;
  const auto at = owners().find(address(block));
  if (at == owners().end()) return;
  --at->second.arena->live_blocks_;
  at->second.arena->live_bytes_ -= at->second.bytes;
  owners().erase(at);
}

Arena* Arena::take() {
  static const int hooked = __sanitizer_install_malloc_and_free_hooks(&Arena::allocated, &Arena::freed);
  for (Arena& arena : arenas) {
    if (arena.in_use_) continue;
    if (hooked == 0) break;
    arena.in_use_ = true;
    return &arena;
  }
  current_arena = nullptr;
  std::fputs(hooked == 0 ? "tandem-sim: the sanitizer does not tell of allocations\n"
                         : "tandem-sim: more processes than heaps\n",
             stderr);
  std::abort();
}

void Arena::give_back() {
  {
    const TableScope scope;
    std::erase_if(owners(), [this](const auto& entry) {
      if (entry.second.arena != this) return false;
      std::free(reinterpret_cast<void*>(entry.first));
      return true;
    });
  }
  in_use_ = false;
  live_blocks_ = live_bytes_ = 0;
  short_permille_ = 0;
}

bool Arena::holds(const void* pointer) const {
  auto at = owners().upper_bound(address(pointer));
  if (at == owners().begin()) return false;
  --at;
  return at->second.arena == this && address(pointer) < at->first + at->second.bytes;
}

}  // namespace tandem::sim

using tandem::sim::Arena;
using tandem::sim::current_arena;

// What the program itself asks malloc for, lwIP above all, may be refused (--wrap); C++ gets what it asks for.
extern "C" {

void* __real_malloc(std::size_t bytes);
void* __real_calloc(std::size_t count, std::size_t bytes);

void* __wrap_malloc(std::size_t bytes) {
  if (current_arena == nullptr || !current_arena->refuses()) return __real_malloc(bytes);
  errno = ENOMEM;
  return nullptr;
}

void* __wrap_calloc(std::size_t count, std::size_t bytes) {
  if (current_arena == nullptr || !current_arena->refuses()) return __real_calloc(count, bytes);
  errno = ENOMEM;
  return nullptr;
}

}  // extern "C"
