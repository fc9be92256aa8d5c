/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where a segment without data stands in the peer's window.
 */
#include "lwip/priv/tcp_priv.h"
#include "tandem_tcp.h"

/* A window probe's byte, or what a timeout has taken back: sent, but not because the window had room for it. */
static int waits_to_be_sent_again(const struct tcp_pcb* pcb) {
  return pcb->unsent != NULL && TCP_SEQ_LT(lwip_ntohl(pcb->unsent->tcphdr->seqno), pcb->snd_nxt);
}

u32_t tandem_tcp_control_seq(const struct tcp_pcb* pcb) {
  const u32_t right_edge = pcb->lastack + pcb->snd_wnd;
  u32_t rounding = 0;

  /* No window has been announced for what follows our SYN before it is acknowledged. */
  if (pcb->state < ESTABLISHED || TCP_SEQ_LEQ(pcb->snd_nxt, right_edge)) {
    return pcb->snd_nxt;
  }
#if LWIP_WND_SCALE
  /* Scaling rounds windows down, to nothing too, so an edge may seem to retreat by less than one unit; what was announced
     before is still taken (RFC 7323, section 2.4), and what lies before the edge may have been received already. A probe lies
     beyond a window that is shut. */
  if ((pcb->flags & TF_WND_SCALE) && (pcb->snd_wnd != 0 || !waits_to_be_sent_again(pcb))) {
    rounding = (1UL << pcb->snd_scale) - 1;
  }
#endif
  return pcb->snd_nxt - right_edge <= rounding ? pcb->snd_nxt : right_edge;
}
