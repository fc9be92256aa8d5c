/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the patched lwIP asks of, and tells, the code around it. Each hook has a weak definition that does nothing (or
 * what unpatched lwIP would do), so that lwIP's own tests link without ours. All are called with the stack's state
 * current on the calling thread, most of them in the middle of lwIP: they must not call back into lwIP unless said.
 */
#ifndef TANDEM_LWIP_HOOKS_H
#define TANDEM_LWIP_HOOKS_H

#include "lwip/arch.h"
#include "lwip/ip_addr.h"

#ifdef __cplusplus
extern "C" {
#endif

struct netif;
struct pbuf;
struct tcp_pcb;

/* ---- Told (patch 05) ---- */

/* The connection may have changed, or is about to emit a packet: it received a segment, a timer changes it, output is
 * about to leave, or it is being abandoned or freed. Comes often (mark it, look at it when the turn ends). Never called
 * for a listener. After the call with state CLOSED, or from the ext_args destroy callback on, the pcb is gone. */
void tandem_hook_tcp_touched(struct tcp_pcb* pcb);

/* Data (and the FIN behind it, if fin is 1) was stored out of order: `data` holds it from its payload on, tot_len bytes,
 * the first of which has sequence number `seqno`. To be mirrored before the SACK for it leaves. */
void tandem_hook_tcp_out_of_order(struct tcp_pcb* pcb, u32_t seqno, struct pbuf* data, u8_t fin);

/* ---- Asked ---- */

/* No connection and no TIME_WAIT has this tuple (ports in host order); listeners come after. May bring a dormant pcb to
 * life with tandem_tcp_link() and return it, else NULL (patch 03). */
struct tcp_pcb* tandem_hook_tcp_lookup(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote,
                                       u16_t remote_port);

/* Initial sequence number of a new connection (RFC 6528). */
u32_t tandem_hook_tcp_isn(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote, u16_t remote_port);

/* The value of an outgoing timestamp option, in milliseconds (patch 09). Must never go back for a connection. */
u32_t tandem_hook_tcp_tsval(const struct tcp_pcb* pcb);
/* Whether an ACK without data that lies outside of the window may be answered now (RFC 5961, section 7). */
int tandem_hook_tcp_may_answer(const struct tcp_pcb* pcb);

/* Random bits: local ports, IP identification, jitter of timers. */
unsigned tandem_hook_random(void);

/* The IPv6 router for a destination that is on no link of ours; NULL leaves the choice to router discovery. */
const ip6_addr_t* tandem_hook_nd6_gateway(struct netif* netif, const ip6_addr_t* destination);

#ifdef __cplusplus
}
#endif

#endif
