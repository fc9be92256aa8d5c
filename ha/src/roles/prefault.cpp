// SPDX-License-Identifier: BSD-3-Clause
#include "roles/prefault.hpp"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace tandem::ha {

void prefault_program() {
  const auto visit = [](dl_phdr_info* object, std::size_t, void*) {
    static const std::uintptr_t page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (int i = 0; i < object->dlpi_phnum; ++i) {
      const ElfW(Phdr)& header = object->dlpi_phdr[i];
      if (header.p_type != PT_LOAD) continue;
      const std::uintptr_t begin = (object->dlpi_addr + header.p_vaddr) & ~(page - 1);
      const std::uintptr_t end = (object->dlpi_addr + header.p_vaddr + header.p_memsz + page - 1) & ~(page - 1);
      madvise(reinterpret_cast<void*>(begin), end - begin,
              (header.p_flags & PF_W) != 0 ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    }
    return 0;
  };
  dl_iterate_phdr(visit, nullptr);
}

ProgramText::ProgramText() {
  // More would not stay in a cache of the second level: then what lies around our own code has to do.
  constexpr std::uintptr_t kMost = std::uintptr_t{2} << 20;
  struct Search {
    std::uintptr_t ours, begin, end;
  } search{reinterpret_cast<std::uintptr_t>(&prefault_program), 0, 0};
  dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* data) {
        auto& wanted = *static_cast<Search*>(data);
        for (int i = 0; i < object->dlpi_phnum; ++i) {
          const ElfW(Phdr)& header = object->dlpi_phdr[i];
          const std::uintptr_t begin = object->dlpi_addr + header.p_vaddr, end = begin + header.p_memsz;
          // Some builds have code that may only be run.
          if (header.p_type != PT_LOAD || (header.p_flags & PF_R) == 0 || wanted.ours < begin || wanted.ours >= end)
            continue;
          wanted.begin = begin;
          wanted.end = end;
          return 1;
        }
        return 0;
      },
      &search);
  if (search.end - search.begin > kMost) {
    search.begin = std::max(search.begin, search.ours - std::min(search.ours, kMost / 2));
    search.end = std::min(search.end, search.begin + kMost);
  }
  begin_ = reinterpret_cast<const volatile std::uint8_t*>(search.begin);
  bytes_ = search.end - search.begin;
}

}  // namespace tandem::ha
