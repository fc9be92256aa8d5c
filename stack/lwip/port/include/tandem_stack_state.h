/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Several lwIP stacks in one process.
 *
 * Every mutable variable of lwIP lies in one block of thread-local storage (TANDEM_PER_STACK), so the block of the
 * calling thread IS the stack that this thread is working on. A stack that is not being worked on is an image of that
 * block somewhere else in memory:
 *
 *     thread A's block  <== image of stack 1          enter: remember whose block it is, copy the old stack's bytes out
 *                           image of stack 2                 and the new stack's bytes in
 *     thread B's block  <== image of stack 3
 *
 * A new stack starts as a copy of the pristine image; lwip_init() is then called with it entered. Nothing that lwIP keeps
 * points into the block, so a stack may be entered on any thread, one thread at a time.
 */
#ifndef TANDEM_STACK_STATE_H
#define TANDEM_STACK_STATE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of one stack's state. */
size_t tandem_stack_state_size(void);

/* The calling thread's block. Its address is the thread's for life. */
void* tandem_stack_state_block(void);

/* Writes the state of a stack that was never used: tandem_stack_state_size() bytes at `out`. */
void tandem_stack_state_pristine(void* out);

/* Frees everything that the current stack holds: connections (the destroy callbacks of their ext_args run, error
 * callbacks do not), listeners, UDP endpoints, neighbours, timers, tables. Nothing is sent. Its netifs must still exist;
 * they are removed from it. Afterwards the state is good for nothing but to be overwritten. */
void tandem_lwip_release(void);

#ifdef __cplusplus
}
#endif

#endif
