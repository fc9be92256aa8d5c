// SPDX-License-Identifier: BSD-3-Clause
#include "prefault.hpp"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>
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

}  // namespace tandem::ha
