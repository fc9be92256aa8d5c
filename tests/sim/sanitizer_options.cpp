// SPDX-License-Identifier: BSD-3-Clause
//
// How the sanitizers are to behave in the simulator; ASAN_OPTIONS and UBSAN_OPTIONS in the environment come after these.

// A report ends in SIGABRT, so that main.cpp says which run it was. The blocks of a dead process are freed whatever they were
// allocated with, and what the program itself still has at its end is no leak.
extern "C" const char* __asan_default_options() {
  return "abort_on_error=1:handle_segv=2:handle_sigbus=2:handle_sigfpe=2:alloc_dealloc_mismatch=0:detect_leaks=0:"
         "quarantine_size_mb=32:malloc_context_size=12";
}

extern "C" const char* __ubsan_default_options() { return "abort_on_error=1:print_stacktrace=1"; }
