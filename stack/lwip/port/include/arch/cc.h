/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What lwIP wants to know about the compiler and the machine (gcc or clang on Linux, any byte order).
 */
#ifndef TANDEM_LWIP_ARCH_CC_H
#define TANDEM_LWIP_ARCH_CC_H

#include <stddef.h>

/* Every mutable variable of lwIP carries this, so that each thread has its own and all of one thread's lie together in
 * one block, which another stack on the same thread can be swapped into (tandem_stack_state.h). The section's name is a
 * C identifier, hence the linker provides its bounds. */
#define TANDEM_PER_STACK __thread __attribute__((section("tandem_stack_state"), tls_model("initial-exec")))

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BYTE_ORDER BIG_ENDIAN
#endif

#define LWIP_TIMEVAL_PRIVATE 0
#define LWIP_ERRNO_STDINCLUDE 1

#ifdef __cplusplus
extern "C" {
#endif

/* One's complement sum of a range of bytes, not inverted, as lwIP wants it (checksum.c). */
unsigned short tandem_checksum(const void* data, int bytes);

/* Random bits from the host (tandem_lwip_hooks.h). */
unsigned tandem_hook_random(void);
/* Whether the owner calls TCP's timers itself, so that lwIP need not keep one for them. */
int tandem_hook_owns_timers(void);

/* Whether a new connection that finds no memory may end one in LAST-ACK or CLOSING, or of lower priority, as lwIP's own tests
 * expect. */
#ifndef TANDEM_TCP_GIVES_UP_CLOSING
#define TANDEM_TCP_GIVES_UP_CLOSING 1
#endif

/* Says what was violated and where, then ends the process (checksum and asserts are the only things that lwIP needs
 * from here). */
void tandem_lwip_assert_failed(const char* what, const char* file, int line) __attribute__((noreturn, cold));

#ifdef __cplusplus
}
#endif

#define LWIP_CHKSUM tandem_checksum
#define LWIP_RAND() ((u32_t)tandem_hook_random())

/* An assertion in lwIP is a broken invariant of its own, never a reaction to what came in. */
#ifdef NDEBUG
#define LWIP_NOASSERT 1
#endif
#define LWIP_PLATFORM_ASSERT(what) tandem_lwip_assert_failed(what, __FILE__, __LINE__)
#define LWIP_PLATFORM_DIAG(arguments) \
  do {                                \
  } while (0)
/* LWIP_ERROR guards against wrong calls: it returns an error code to the caller, and prints nothing. */
#define LWIP_ERROR(message, expression, handler) \
  do {                                           \
    if (!(expression)) {                         \
      handler;                                   \
    }                                            \
  } while (0)

#endif
