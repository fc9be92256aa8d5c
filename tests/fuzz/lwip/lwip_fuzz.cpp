// SPDX-License-Identifier: BSD-3-Clause
//
// lwIP's own fuzz programs, run against our patched tree within one process. Each was written to take one input from its
// standard input and end; their protocols keep what they know in static memory. So lwIP and the programs are in a library of
// their own, whose writable memory is put back before each input, and each input has a thread, and with it thread-local state,
// of its own.
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_set>
#include <vector>

#include "require.hpp"

extern "C" {
// One of the programs' main().
int TANDEM_FUZZ_MAIN(int argc, char** argv);
extern std::uint32_t sys_now_offset;
std::uint32_t lwip_fuzz_rand(void);

std::uint32_t sys_now(void) { return 1000 + sys_now_offset; }
unsigned tandem_hook_random(void) { return lwip_fuzz_rand(); }

void tandem_fuzz_counters(unsigned char** begin, unsigned char** end);

void tandem_fuzz_give_up(void) { pthread_exit(nullptr); }

// The demultiplexer's memory. A program ends without giving anything back, and so do its inputs here.
void* tandem_fuzz_calloc(std::size_t count, std::size_t size);
void* tandem_fuzz_realloc(void* memory, std::size_t size);
void tandem_fuzz_free(void* memory);
}

namespace {

std::unordered_set<void*>& in_use() {
  static std::unordered_set<void*> blocks;
  return blocks;
}

struct Piece {
  std::uint8_t* at = nullptr;
  std::vector<std::uint8_t> bytes;
};

// Bytes between variables are not to be touched, says the address sanitizer; here they are only carried along.
__attribute__((no_sanitize("address"), no_sanitize("undefined"))) void carry(std::uint8_t* to, const std::uint8_t* from,
                                                                             std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) const_cast<volatile std::uint8_t*>(to)[i] = from[i];
}

/// The writable memory of the library that lwIP is in, as it was when the process began.
class Memory {
 public:
  Memory() { dl_iterate_phdr(&Memory::look_at, this); }
  void put_back() const {
    unsigned char *begin = nullptr, *end = nullptr;
    tandem_fuzz_counters(&begin, &end);
    const std::vector<std::uint8_t> counters(begin, end);
    for (const Piece& piece : pieces_) carry(piece.at, piece.bytes.data(), piece.bytes.size());
    if (!counters.empty()) std::memcpy(begin, counters.data(), counters.size());
  }
  [[nodiscard]] bool found() const { return !pieces_.empty(); }

 private:
  static int look_at(dl_phdr_info* info, std::size_t, void* self) {
    const auto program = reinterpret_cast<std::uintptr_t>(&TANDEM_FUZZ_MAIN);
    bool ours = false;
    std::uintptr_t relro_end = 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const ElfW(Phdr)& segment = info->dlpi_phdr[i];
      const std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
      if (segment.p_type == PT_LOAD && program >= begin && program < begin + segment.p_memsz) ours = true;
      if (segment.p_type == PT_GNU_RELRO) relro_end = begin + segment.p_memsz;
    }
    if (!ours) return 0;
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const ElfW(Phdr)& segment = info->dlpi_phdr[i];
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) == 0) continue;
      std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
      const std::uintptr_t end = begin + segment.p_memsz;
      // What the linker made read-only after it had written it.
      if (begin < relro_end) begin = (relro_end + page - 1) / page * page;
      if (begin >= end) continue;
      Piece piece{reinterpret_cast<std::uint8_t*>(begin), std::vector<std::uint8_t>(end - begin)};
      carry(piece.bytes.data(), piece.at, piece.bytes.size());
      static_cast<Memory*>(self)->pieces_.push_back(std::move(piece));
    }
    return 1;
  }
  std::vector<Piece> pieces_;
};

void* run_program(void*) {
  char name[] = "lwip_fuzz";
  char* arguments[] = {name, nullptr};
  TANDEM_FUZZ_MAIN(1, arguments);
  return nullptr;
}

}  // namespace

void* tandem_fuzz_calloc(std::size_t count, std::size_t size) {
  void* const memory = std::calloc(count, size);
  in_use().insert(memory);
  return memory;
}

void* tandem_fuzz_realloc(void* memory, std::size_t size) {
  in_use().erase(memory);
  void* const grown = std::realloc(memory, size);
  in_use().insert(grown);
  return grown;
}

void tandem_fuzz_free(void* memory) {
  in_use().erase(memory);
  std::free(memory);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Memory memory;
  static const int input = memfd_create("input", MFD_CLOEXEC);
  FUZZ_REQUIRE(memory.found() && input >= 0);
  memory.put_back();
  FUZZ_REQUIRE(ftruncate(input, 0) == 0 && pwrite(input, data, size, 0) == static_cast<ssize_t>(size));
  // The program reads its standard input to the end.
  FUZZ_REQUIRE(dup2(input, STDIN_FILENO) == STDIN_FILENO);
  std::rewind(stdin);
  pthread_t thread;
  FUZZ_REQUIRE(pthread_create(&thread, nullptr, run_program, nullptr) == 0);
  FUZZ_REQUIRE(pthread_join(thread, nullptr) == 0);
  for (void* const block : in_use()) std::free(block);
  in_use().clear();
  return 0;
}
