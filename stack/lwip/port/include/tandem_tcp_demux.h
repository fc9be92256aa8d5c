/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which connection a segment belongs to, and which ports are taken, without walking lists (patch 03).
 *
 *   connections   SYN_SENT to TIME_WAIT, by the four-tuple, keyed with SipHash: outsiders choose three of its parts
 *   local ports   the same connections, by local port: what bind() must not collide with
 *   owners        listening and bound pcbs, by local port
 *
 * All three grow by linear hashing: one bucket is split as one connection is added, so no segment ever waits for a
 * table to be rebuilt. lwIP's lists remain (the timers walk them); removal from them is O(1) as well. Everything here
 * belongs to the stack that is current on the calling thread.
 */
#ifndef TANDEM_TCP_DEMUX_H
#define TANDEM_TCP_DEMUX_H

#include "lwip/arch.h"
#include "lwip/ip_addr.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tcp_pcb;
struct tcp_pcb_listen;

/* ---- For the code above lwIP ---- */

/* Sets the secret of the hash; without it a random one is taken at first use. Connections that exist are rehashed. */
void tandem_tcp_hash_key(uint64_t k0, uint64_t k1);

/* Puts a pcb that was built elsewhere on the list and into the table that its state calls for: LISTEN, CLOSED with a
 * local port (bound), TIME_WAIT, or active. Its addresses and ports must be set and stay. O(1); starts lwIP's TCP timer
 * if it is not running. */
void tandem_tcp_link(struct tcp_pcb* pcb);

/* The reverse; the pcb's state must be what it was when it was linked. The pcb keeps its queues and is not freed. */
void tandem_tcp_unlink(struct tcp_pcb* pcb);

/* The connection (TIME_WAIT included, an active one preferred) with this tuple, ports in host order, or NULL. Does not
 * ask the lookup hook. netif_idx is where the segment came in. */
struct tcp_pcb* tandem_tcp_find(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote, u16_t remote_port,
                                u8_t netif_idx);

/* Connections in the table, those in TIME_WAIT among them. */
u32_t tandem_tcp_connection_count(void);
u32_t tandem_tcp_time_wait_count(void);

/* Gives the tables back. No pcb may be linked any more; linking one afterwards makes new tables. */
void tandem_tcp_demux_release(void);

/* Ends the oldest in TIME-WAIT until there are no more than `keep`, and returns how many. Not from within lwIP. */
u32_t tandem_tcp_evict_time_wait(u32_t keep);

/* Among the connections that the timers look at, from the next tick on. Whoever may have given a connection something to wait
 * for calls it; a tick that finds nothing lets the connection go. */
void tandem_tcp_arm(struct tcp_pcb* pcb);

/* What TCP had to look at, one after the other, to find something: the measure of work that must not grow with what there is. */
extern TANDEM_PER_STACK uint64_t tandem_tcp_steps;

/* Milliseconds that TIME-WAIT lasts, of this stack. */
extern TANDEM_PER_STACK u32_t tandem_tcp_time_wait_ms;

/* ---- For lwIP ---- */

/* What TCP_REG and TCP_RMV do. Removing what is not linked does nothing. */
void tandem_tcp_register(struct tcp_pcb** list, struct tcp_pcb* pcb);
void tandem_tcp_remove(struct tcp_pcb** list, struct tcp_pcb* pcb);

/* The connections that a timer may concern: the first of them, linked by timed_next; and whether one is still among them. */
struct tcp_pcb* tandem_tcp_first_timed(void);
void tandem_tcp_rest_if_idle(struct tcp_pcb* pcb);

/* The listener for a segment to this address and port: an exact address before any address. */
struct tcp_pcb_listen* tandem_tcp_find_listener(const ip_addr_t* local, u16_t local_port, u8_t netif_idx);

/* Whether binding to this address and port collides with what exists. */
int tandem_tcp_bind_collides(const ip_addr_t* local, u16_t local_port);

/* Whether an active open from this local address and port to the pcb's remote end would collide. */
int tandem_tcp_connect_collides(const struct tcp_pcb* pcb, u16_t local_port);

/* The pcb that has been in TIME_WAIT for longest, or NULL. What is linked by tandem_tcp_link() in another order than that
 * of its age is put where it belongs, unless that is far from both ends of the list. */
struct tcp_pcb* tandem_tcp_oldest_time_wait(void);

/* TIME_WAIT states beyond this many are dropped, oldest first, when the slow timer runs. */
#ifndef TANDEM_TCP_TIME_WAIT_MAX
#define TANDEM_TCP_TIME_WAIT_MAX 65536
#endif

/* A new connection that finds no memory may end the oldest TIME_WAIT if there are more than this many. lwIP's own tests
 * expect that one is enough. */
#ifndef TANDEM_TCP_TIME_WAIT_SPARED
#define TANDEM_TCP_TIME_WAIT_SPARED 0
#endif

#ifdef __cplusplus
}
#endif

#endif
