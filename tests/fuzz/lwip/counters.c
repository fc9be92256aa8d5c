// SPDX-License-Identifier: BSD-3-Clause
//
// Where this library's counters of lines are, if it has any (preset fuzz-coverage). They are to grow from input to input, while
// all else in its memory is put back.

// The linker's names for the ends of the section.
extern unsigned char counters_begin[] __asm__("__start___llvm_prf_cnts") __attribute__((weak, visibility("hidden")));
extern unsigned char counters_end[] __asm__("__stop___llvm_prf_cnts") __attribute__((weak, visibility("hidden")));

void tandem_fuzz_counters(unsigned char** begin, unsigned char** end) {
  *begin = counters_begin;
  *end = counters_end;
}
