/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The opposite of lwip_init(), which lwIP itself does not have.
 */
#include "tandem_stack_state.h"

#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/timeouts.h"
#include "lwip/udp.h"

/* Frees one connection: nobody is told, nothing is sent. */
static void drop(struct tcp_pcb* pcb) {
  pcb->errf = NULL;
  tcp_clear_flags(pcb, TF_ACK_DELAY | TF_ACK_NOW);
  tcp_abandon(pcb, 0);
}

void tandem_lwip_release(void) {
  while (tcp_active_pcbs != NULL) {
    drop(tcp_active_pcbs);
  }
  while (tcp_tw_pcbs != NULL) {
    drop(tcp_tw_pcbs);
  }
  while (tcp_bound_pcbs != NULL) {
    drop(tcp_bound_pcbs);
  }
  while (tcp_listen_pcbs.pcbs != NULL) {
    tcp_close(tcp_listen_pcbs.pcbs);
  }
  while (udp_pcbs != NULL) {
    udp_remove(udp_pcbs);
  }
  while (netif_list != NULL) {
    netif_remove(netif_list);
  }
  /* Without a route no datagram that is given up causes a message. */
  for (int age = 0; age <= IP_REASS_MAXAGE; ++age) {
    ip_reass_tmr();
  }
  for (int age = 0; age <= IPV6_REASS_MAXAGE; ++age) {
    ip6_reass_tmr();
  }
  sys_timeouts_release();
  tandem_tcp_demux_release();
}
