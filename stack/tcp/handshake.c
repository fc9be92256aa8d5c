/* SPDX-License-Identifier: BSD-3-Clause
 *
 * LISTEN, SYN-SENT and SYN-RECEIVED: RFC 9293, sections 3.5, 3.10.7.2 and 3.10.7.3.
 */
#include "handshake.h"

#include "lwip/priv/tcp_priv.h"
#include "tandem_lwip_hooks.h"
#include "tandem_tcp.h"

int tandem_tcp_listen(const struct tandem_tcp_segment* segment) {
  if (segment->flags & TCP_RST) {
    return 0;
  }
  if (segment->flags & TCP_ACK) {
    /* In a flood the first ACK of an honest client, which brings a cookie back, may be lost, and what it has sent behind that
       says nothing of it. It sends all of it again, from the beginning, unless it is reset. */
    if (segment->len == 0 || !tandem_hook_tcp_is_flooded()) {
      tandem_tcp_reset_for(segment);
    }
    return 0;
  }
  /* Nobody opens and closes with one segment but to look for what lets it pass. */
  return (segment->flags & (TCP_SYN | TCP_FIN)) == TCP_SYN;
}

enum tandem_tcp_verdict tandem_tcp_syn_sent(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment) {
  /* The SYN is all that was sent. */
  const int acknowledges = (segment->flags & TCP_ACK) && segment->ack == pcb->lastack + 1;

  if ((segment->flags & TCP_ACK) && !acknowledges) {
    tandem_tcp_reset_for(segment);
    return TANDEM_TCP_DROP;
  }
  if (segment->flags & TCP_RST) {
    return acknowledges ? TANDEM_TCP_RESET : TANDEM_TCP_DROP;
  }
  if (!(segment->flags & TCP_SYN)) {
    return TANDEM_TCP_DROP;
  }
  return acknowledges ? TANDEM_TCP_PROCESS : TANDEM_TCP_SYN_RECEIVED;
}

enum tandem_tcp_verdict tandem_tcp_syn_again(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment,
                                             int in_window) {
  if (segment->seq == pcb->rcv_nxt - 1) {
    if (!(segment->flags & TCP_ACK)) {
      /* Our SYN-ACK was lost. */
      tcp_rexmit(pcb);
      return TANDEM_TCP_DROP;
    }
    if (segment->ack == pcb->snd_nxt && tandem_hook_tcp_is_active_open(pcb)) {
      /* Simultaneous open: the other end has received our SYN as well. */
      tandem_tcp_syn_acknowledged(pcb, segment->ack);
      tcp_ack_now(pcb);
      return TANDEM_TCP_PROCESS;
    }
  } else if (in_window && !tandem_hook_tcp_is_active_open(pcb)) {
    /* Back to LISTEN: the peer has begun again, and its next SYN finds the way free. */
    return TANDEM_TCP_RESET;
  }
  tandem_tcp_answer(pcb, segment);
  return TANDEM_TCP_DROP;
}

/* Makes the SYN on the queue the SYN-ACK, with those of its options that the peer's SYN has as well. */
static void turn_into_syn_ack(struct tcp_pcb* pcb, struct tcp_seg* segment) {
  const u16_t lower_headers = (u16_t)((u8_t*)segment->tcphdr - (u8_t*)segment->p->payload);
  u8_t options = TF_SEG_OPTS_MSS;
  u16_t length;

  options |= (pcb->flags & TF_WND_SCALE) ? TF_SEG_OPTS_WND_SCALE : 0;
  options |= (pcb->flags & TF_TIMESTAMP) ? TF_SEG_OPTS_TS : 0;
  options |= (pcb->flags & TF_SACK) ? TF_SEG_OPTS_SACK_PERM : 0;
  segment->flags = options;
  length = (u16_t)(TCP_HLEN + LWIP_TCP_OPT_LENGTH(options));
  pbuf_remove_header(segment->p, lower_headers);
  pbuf_realloc(segment->p, length);
  TCPH_HDRLEN_FLAGS_SET(segment->tcphdr, length / 4, TCP_SYN | TCP_ACK);
}

void tandem_tcp_simultaneous_open(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment) {
  struct tcp_seg* const syn = pcb->unacked != NULL ? pcb->unacked : pcb->unsent;
  const u8_t nrtx = pcb->nrtx;

  if (syn == NULL || syn->p->ref != 1) {
    /* Our own SYN still waits for the neighbour's address: the peer's comes again. */
    return;
  }
  pcb->state = SYN_RCVD;
  pcb->rcv_nxt = segment->seq + 1;
  pcb->rcv_ann_right_edge = pcb->rcv_nxt;
  pcb->snd_wnd = segment->wnd;
  pcb->snd_wnd_max = pcb->snd_wnd;
  pcb->snd_wl1 = segment->seq - 1;
  pcb->mss = tcp_eff_send_mss(pcb->mss, &pcb->local_ip, &pcb->remote_ip);
  turn_into_syn_ack(pcb, syn);
  if (pcb->unacked != NULL && tcp_rexmit(pcb) == ERR_OK) {
    /* This is no retransmission, and its round trip counts. */
    pcb->nrtx = nrtx;
    pcb->rtime = 0;
  }
  pcb->cwnd = LWIP_TCP_CALC_INITIAL_CWND(pcb->mss);
  tcp_ack_now(pcb);
}

u16_t tandem_tcp_default_mss(const struct tcp_pcb* pcb) { return (u16_t)(IP_IS_V6_VAL(pcb->remote_ip) ? 1220 : 536); }
