/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where the block of per-stack state lies. The linker gives the bounds of the section in the thread-local storage
 * template (that is the pristine image); the block of a thread lies at the same distance from a variable in it. That
 * distance is the same for every thread, so it is found once, with the help of dl_iterate_phdr, and proven by two
 * marks that must be seen through both.
 */
#define _GNU_SOURCE
#include "tandem_stack_state.h"

#include "arch/cc.h"

#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const unsigned char __start_tandem_stack_state[] __attribute__((visibility("hidden")));
extern const unsigned char __stop_tandem_stack_state[] __attribute__((visibility("hidden")));

#define MARK UINT64_C(0x7461636b5f62796d)

/* Part of the block like lwIP's own variables; its value never changes. */
static TANDEM_PER_STACK volatile uint64_t anchor = MARK;

static ptrdiff_t anchor_offset;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void die(const char* why) {
  fprintf(stderr,
          "tandem: cannot locate the per-stack state of lwIP: %s.\n"
          "        The library was linked in a way that it does not know; report the linker and its options.\n",
          why);
  abort();
}

/* Called for each loaded object; finds the one whose thread-local template holds our section. */
static int find_module(struct dl_phdr_info* info, size_t size, void* found) {
  const uintptr_t start = (uintptr_t)__start_tandem_stack_state;
  if (size < offsetof(struct dl_phdr_info, dlpi_tls_data) + sizeof info->dlpi_tls_data) {
    return 0;
  }
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)* header = &info->dlpi_phdr[i];
    const uintptr_t template_start = info->dlpi_addr + header->p_vaddr;
    if (header->p_type == PT_TLS && start >= template_start && start - template_start < header->p_filesz) {
      if (info->dlpi_tls_data != NULL) {
        *(unsigned char**)found = (unsigned char*)info->dlpi_tls_data + (start - template_start);
      }
      return 1;
    }
  }
  return 0;
}

static void locate(void) {
  unsigned char* block = NULL;
  const uint64_t mark = MARK;
  dl_iterate_phdr(find_module, &block);
  if (block == NULL) {
    die("no loaded object has it in its thread-local storage");
  }
  anchor_offset = (const unsigned char*)&anchor - block;
  if (anchor_offset < 0 || (size_t)anchor_offset + sizeof anchor > tandem_stack_state_size()) {
    die("a variable of it lies outside of its bounds");
  }
  if (memcmp(__start_tandem_stack_state + anchor_offset, &mark, sizeof mark) != 0 ||
      memcmp(block + anchor_offset, &mark, sizeof mark) != 0) {
    die("its template does not show the mark");
  }
}

size_t tandem_stack_state_size(void) { return (size_t)(__stop_tandem_stack_state - __start_tandem_stack_state); }

void* tandem_stack_state_block(void) {
  pthread_once(&once, locate);
  return (unsigned char*)&anchor - anchor_offset;
}

void tandem_stack_state_pristine(void* out) { memcpy(out, __start_tandem_stack_state, tandem_stack_state_size()); }
