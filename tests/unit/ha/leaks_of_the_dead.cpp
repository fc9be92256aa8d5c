// SPDX-License-Identifier: BSD-3-Clause
//
// A process that dies in these tests is an exception that leaves lwIP where it stands (pair.hpp), so what lwIP's frames held at
// that moment is nobody's any more. That the stack frees everything when it is not torn apart is for unit_stack to show.
extern "C" const char* __lsan_default_suppressions() { return "leak:mem_malloc\n"; }
