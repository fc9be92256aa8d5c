/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the patched lwIP calls of our own TCP for new connections that it may not afford, or may take for old ones (patch 19).
 */
#ifndef TANDEM_TCP_LIMITS_H
#define TANDEM_TCP_LIMITS_H

#include "lwip/arch.h"
#include "lwip/ip_addr.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tcp_pcb;

/* ---- TIME-WAIT (time_wait.c) ---- */

/* Whether a SYN begins a new incarnation of this connection (RFC 1122, section 4.2.2.13, and RFC 6191, section 2): its sequence
 * number lies above all that the old one used, or its timestamp is newer. */
int tandem_tcp_is_new_incarnation(const struct tcp_pcb* pcb, u32_t seqno, int has_timestamp, u32_t ts_val);

/* ---- SYN cookies (syn_cookie.c) ---- */

enum { TANDEM_TCP_COOKIE_PERIODS = 2 };

/* What a cookie says. */
struct tandem_tcp_cookie {
  u16_t mss; /* not above the peer's */
  u8_t sack;
  u8_t scales; /* window scaling was negotiated */
  u8_t scale;  /* the peer's */
};

/* The initial sequence number that answers a SYN: of a pcb that has both ends, rcv_nxt (one past the SYN), mss and the options
 * that were negotiated. */
u32_t tandem_tcp_cookie_make(const struct tcp_pcb* pcb);

/* Whether `iss` is a cookie for a SYN with sequence number `irs` between these ends (ports in host order); then fills `out`. */
int tandem_tcp_cookie_read(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote, u16_t remote_port,
                           u32_t irs, u32_t iss, struct tandem_tcp_cookie* out);

#ifdef __cplusplus
}
#endif

#endif
