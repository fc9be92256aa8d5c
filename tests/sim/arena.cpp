// SPDX-License-Identifier: BSD-3-Clause
#include "arena.hpp"

#include <sys/mman.h>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace tandem::sim {

constinit Arena* current_arena = nullptr;
std::uint64_t Arena::refused = 0;

namespace {

// A fixed place, so that addresses are the same in every run of a seed.
constexpr std::uintptr_t kBase = 0x3000'0000'0000;

constinit std::array<Arena, Arena::kCount> arenas{};
constinit std::uint8_t* base = nullptr;

[[noreturn]] void broken(const char* what) {
  current_arena = nullptr;
  std::fprintf(stderr, "tandem-sim: %s\n", what);
  std::abort();
}

void reserve() {
  void* const at = mmap(reinterpret_cast<void*>(kBase), Arena::kBytes * Arena::kCount, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (at != reinterpret_cast<void*>(kBase)) broken("the address space for the processes' heaps is taken");
  base = static_cast<std::uint8_t*>(at);
}

}  // namespace

struct Arena::Header {
  std::uint32_t size_class;
  std::uint32_t offset;  ///< of the block behind the place where an unaligned one would begin
  std::uint64_t magic;
};

static constexpr std::uint64_t kLive = 0x6c69766562616c6c;
static constexpr std::uint64_t kFree = 0x66726565626c6f63;

Arena* Arena::take() {
  if (base == nullptr) reserve();
  for (std::size_t i = 0; i < arenas.size(); ++i) {
    if (arenas[i].in_use_) continue;
    arenas[i].in_use_ = true;
    arenas[i].start_ = base + i * kBytes;
    return &arenas[i];
  }
  broken("more processes than heaps");
}

void Arena::give_back() {
  in_use_ = false;
  used_ = live_blocks_ = live_bytes_ = 0;
  short_permille_ = 0;
  free_.fill(nullptr);
}

bool Arena::owns(const void* pointer) { return base != nullptr && pointer >= base && pointer < base + kBytes * kCount; }

Arena& Arena::of(const void* block) {
  return arenas[static_cast<std::size_t>(static_cast<const std::uint8_t*>(block) - base) / kBytes];
}

bool Arena::holds(const void* pointer) const {
  const auto* at = static_cast<const std::uint8_t*>(pointer);
  return at >= start_ && at < start_ + kBytes;
}

std::uint32_t Arena::class_of(std::size_t bytes) {
  if (bytes <= 1024) return static_cast<std::uint32_t>((bytes + 15) / 16 + (bytes == 0 ? 1 : 0) - 1);
  // Quarter steps between the powers of two.
  const std::size_t last = bytes - 1;
  const int bit = std::bit_width(last) - 1;
  const std::size_t quarter = (last >> (bit - 2)) & 3;
  return static_cast<std::uint32_t>(64 + static_cast<std::size_t>(bit - 10) * 4 + quarter);
}

std::size_t Arena::class_bytes(std::uint32_t size_class) {
  if (size_class < 64) return (std::size_t{size_class} + 1) * 16;
  const std::uint32_t step = size_class - 64;
  return (std::size_t{4} + step % 4 + 1) << (step / 4 + 8);
}

void* Arena::allocate(std::size_t bytes, std::size_t alignment) {
  const std::size_t slack = alignment > 16 ? alignment : 0;
  const std::uint32_t size_class = class_of(bytes + slack);
  if (size_class >= kClasses) return nullptr;
  std::uint8_t* block = static_cast<std::uint8_t*>(free_[size_class]);
  if (block != nullptr) {
    std::memcpy(&free_[size_class], block, sizeof(void*));
  } else {
    const std::size_t room = class_bytes(size_class) + sizeof(Header);
    if (used_ + room > kBytes) return nullptr;
    block = start_ + used_ + sizeof(Header);
    used_ += room;
  }
  std::uint32_t offset = 0;
  if (slack != 0) {
    const auto at = reinterpret_cast<std::uintptr_t>(block);
    offset = static_cast<std::uint32_t>((at + alignment - 1) / alignment * alignment - at);
  }
  block += offset;
  auto* const header = reinterpret_cast<Header*>(block - sizeof(Header));
  *header = {size_class, offset, kLive};
  ++live_blocks_;
  live_bytes_ += class_bytes(size_class);
  return block;
}

void Arena::release(void* pointer) {
  Arena& arena = of(pointer);
  auto* const block = static_cast<std::uint8_t*>(pointer);
  auto* const header = reinterpret_cast<Header*>(block - sizeof(Header));
  if (!arena.in_use_) broken("a block of a process that is dead was freed");
  if (header->magic != kLive) broken("a block was freed that is not in use");
  const std::uint32_t size_class = header->size_class;
  std::uint8_t* const first = block - header->offset;
  header->magic = kFree;
  --arena.live_blocks_;
  arena.live_bytes_ -= class_bytes(size_class);
  reinterpret_cast<Header*>(first - sizeof(Header))->magic = kFree;
  std::memcpy(first, &arena.free_[size_class], sizeof(void*));
  arena.free_[size_class] = first;
}

std::size_t Arena::size_of(const void* pointer) {
  const auto* const block = static_cast<const std::uint8_t*>(pointer);
  const auto* const header = reinterpret_cast<const Header*>(block - sizeof(Header));
  return class_bytes(header->size_class) - header->offset;
}

}  // namespace tandem::sim

using tandem::sim::Arena;
using tandem::sim::current_arena;

extern "C" {

void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* block, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
void __libc_free(void* block);

void* malloc(std::size_t bytes) {
  if (current_arena == nullptr) return __libc_malloc(bytes);
  void* const block = current_arena->refuses() ? nullptr : current_arena->allocate(bytes, 16);
  if (block == nullptr) errno = ENOMEM;
  return block;
}

void free(void* block) {
  if (Arena::owns(block))
    Arena::release(block);
  else
    __libc_free(block);
}

void* calloc(std::size_t count, std::size_t bytes) {
  if (current_arena == nullptr) return __libc_calloc(count, bytes);
  std::size_t whole = 0;
  if (__builtin_mul_overflow(count, bytes, &whole)) return nullptr;
  void* const block = malloc(whole);
  if (block != nullptr) std::memset(block, 0, whole);
  return block;
}

void* realloc(void* block, std::size_t bytes) {
  if (block == nullptr) return malloc(bytes);
  if (!Arena::owns(block)) {
    if (current_arena == nullptr) return __libc_realloc(block, bytes);
    std::abort();  // a process gets hold of the program's own memory
  }
  const std::size_t before = Arena::size_of(block);
  if (bytes <= before && bytes != 0) return block;
  void* const moved = malloc(bytes);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, block, before < bytes ? before : bytes);
  free(block);
  return moved;
}

void* memalign(std::size_t alignment, std::size_t bytes) {
  if (current_arena == nullptr) return __libc_memalign(alignment, bytes);
  return current_arena->allocate(bytes, alignment);
}

void* aligned_alloc(std::size_t alignment, std::size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void** block, std::size_t alignment, std::size_t bytes) {
  *block = memalign(alignment, bytes);
  return *block == nullptr ? ENOMEM : 0;
}

}  // extern "C"

// C++ does not promise to go on without memory, so what it asks for it gets.
void* operator new(std::size_t bytes) {
  void* const block = current_arena != nullptr ? current_arena->allocate(bytes, 16) : __libc_malloc(bytes);
  if (block == nullptr) std::abort();
  return block;
}
void operator delete(void* block) noexcept { free(block); }
void operator delete(void* block, std::size_t) noexcept { free(block); }
