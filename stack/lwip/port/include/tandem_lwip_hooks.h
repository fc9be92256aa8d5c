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

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct netif;
struct pbuf;
struct tcp_pcb;
struct tcp_pcb_listen;

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

/* Whether this end sent the first SYN. */
int tandem_hook_tcp_is_active_open(const struct tcp_pcb* pcb);

/* ---- Asked by our own TCP and by what limits it (patch 19) ---- */

/* A SYN as its receiver sees it, ports in host order. */
struct tandem_tcp_syn {
  const ip_addr_t* local;
  const ip_addr_t* remote;
  u16_t local_port;
  u16_t remote_port;
  u32_t irs;
};

/* What becomes of a SYN for this listener: a connection, one whose number is what a cookie for this SYN was or would have been, a
 * cookie (nothing is kept), or nothing. */
enum tandem_tcp_admission { TANDEM_SYN_KEEP = 0, TANDEM_SYN_KEEP_BY_COOKIE, TANDEM_SYN_COOKIE, TANDEM_SYN_DROP };
int tandem_hook_tcp_admit(const struct tcp_pcb_listen* listener);

/* A keyed hash; the period of the clock that a cookie is made in; whether cookies may be about that have to be read; and whether
 * they are being sent now, or were seconds ago. */
uint64_t tandem_hook_tcp_cookie_hash(const struct tandem_tcp_syn* syn, u32_t period, u32_t data);
u32_t tandem_hook_tcp_cookie_period(void);
int tandem_hook_tcp_takes_cookies(void);
int tandem_hook_tcp_is_flooded(void);

/* Another incarnation of this connection in TIME-WAIT begins. 0 refuses it; else the old one has been said farewell to. */
int tandem_hook_tcp_ends_time_wait(struct tcp_pcb* pcb);

/* Whether what is not acceptable on this connection may be answered now (RFC 5961, sections 7 and 10). */
int tandem_hook_tcp_may_challenge(struct tcp_pcb* pcb);

/* Whether a segment may be answered by an RST, a packet by an ICMP or ICMPv6 error, now. */
int tandem_hook_tcp_may_reset(void);
int tandem_hook_icmp_may_complain(void);

/* Random bits: local ports, IP identification, jitter of timers. */
unsigned tandem_hook_random(void);

/* ---- Neighbours: where the owner keeps them itself, lwIP does not (patch 20) ---- */

/* An ICMPv6 message of types 2 (packet too big) or 134 to 137, checksum verified, from its first byte on. Not 0: it was dealt with;
 * the caller frees it. */
int tandem_hook_nd6_input(struct pbuf* message, struct netif* netif);
/* The largest packet to this destination; 0 leaves the choice to lwIP. */
u16_t tandem_hook_nd6_path_mtu(const ip6_addr_t* destination);
/* TCP makes progress with this host. Not 0: the owner has taken note. */
int tandem_hook_nd6_reachable(const ip6_addr_t* host);
/* The address of the interface's to speak to this destination with; NULL leaves the choice to lwIP. */
const ip_addr_t* tandem_hook_ip6_source(struct netif* netif, const ip6_addr_t* destination);

#ifdef __cplusplus
}
#endif

#endif
