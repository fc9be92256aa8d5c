// SPDX-License-Identifier: BSD-3-Clause
//
// Shared memory files. They are real ones, mapped twice in a row, kept for the next run and zeroed where this one has used them.
#include <sys/mman.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernel.hpp"

namespace tandem::sim {
namespace {

struct Pooled {
  std::size_t bytes;
  std::uint8_t* data;
};

std::vector<Pooled>& pool() {
  static std::vector<Pooled> files;
  return files;
}
std::size_t in_use = 0;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::abort();
}

std::uint8_t* map_twice(std::size_t bytes) {
  const int fd = memfd_create("tandem-sim", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, static_cast<off_t>(bytes)) != 0) fail("tandem-sim: making a memory file");
  void* const at = mmap(nullptr, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) fail("tandem-sim: reserving address space");
  for (std::size_t offset = 0; offset < 2 * bytes; offset += bytes) {
    if (mmap(static_cast<std::uint8_t*>(at) + offset, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
        MAP_FAILED)
      fail("tandem-sim: mapping a memory file");
  }
  ::close(fd);
  return static_cast<std::uint8_t*>(at);
}

constexpr std::size_t kPage = 4096;
std::size_t whole_pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

Memory::Memory(std::string_view what, std::size_t size, bool) : Object(Kind::memory), name(what), bytes(size) {
  ++in_use;
  for (Pooled& free : pool()) {
    if (free.data == nullptr || free.bytes != whole_pages(size)) continue;
    data = std::exchange(free.data, nullptr);
    return;
  }
  data = map_twice(whole_pages(size));
}

Memory::~Memory() {
  --in_use;
  // Zeroed page by page where something was written: looking is cheaper than writing.
  static const std::uint8_t zeros[kPage] = {};
  std::size_t clean = 0;
  for (std::size_t at = 0; at < bytes && clean < 16; at += kPage) {
    // A log is written from its beginning; far behind the last page in use nothing follows.
    if (std::memcmp(data + at, zeros, kPage) == 0) {
      ++clean;
      continue;
    }
    clean = 0;
    std::memset(data + at, 0, kPage);
  }
  for (Pooled& place : pool()) {
    if (place.data == nullptr) {
      place = {whole_pages(bytes), data};
      return;
    }
  }
  pool().push_back({whole_pages(bytes), data});
}

std::size_t memory_in_use() { return in_use; }

void forget_memory() { pool().clear(); }

}  // namespace tandem::sim
