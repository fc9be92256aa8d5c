/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the patched lwIP calls of our own TCP (../README.md), behind the guard TANDEM_TCP. All are called with the stack's
 * state current on the calling thread.
 */
#ifndef TANDEM_TCP_H
#define TANDEM_TCP_H

#include "lwip/arch.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tcp_pcb;

/* ---- Output ---- */

/* The sequence number of a segment without data (ACK, RST): snd_nxt, or the right edge of the peer's window where a window
 * probe, or a window that shrank, left snd_nxt beyond it. A peer discards what lies outside of its window, the ACK in it
 * included (RFC 9293, section 3.10.7.4). */
u32_t tandem_tcp_control_seq(const struct tcp_pcb* pcb);

#ifdef __cplusplus
}
#endif

#endif
