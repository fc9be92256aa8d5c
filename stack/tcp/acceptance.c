/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is believed: the checks of RFC 9293, section 3.10.7.4, in their order, with those of RFC 5961 and RFC 7323. Nothing in
 * a segment counts before it has passed all of them.
 */
#include "handshake.h"
#include "lwip/priv/tcp_priv.h"
#include "tandem_tcp.h"
#include "timestamps.h"

/* Whether any of the segment lies in the receive window. Two things go beyond the table of section 3.4: a shut window takes
 * the ACK of what a probe carries, and an empty segment may stand exactly at the right edge, where a peer stands that has
 * filled the window. */
static int is_in_window(const struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment, u32_t window) {
  if (segment->len == 0) {
    return segment->seq - pcb->rcv_nxt <= window;
  }
  if (window == 0) {
    return segment->seq == pcb->rcv_nxt;
  }
  return TCP_SEQ_LT(segment->seq, pcb->rcv_nxt + window) && TCP_SEQ_GT(segment->seq + segment->len, pcb->rcv_nxt);
}

/* A keepalive stands one number to the left of the window, and so does a peer that does not know whether the byte of its
 * window probe was taken. It is answered, and its ACK counts: two ends that have taken each other's probe would otherwise
 * believe nothing of each other any more, the opening of their windows included. */
static int is_at_the_last_number(const struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment) {
  return segment->len == 0 && segment->seq == pcb->rcv_nxt - 1;
}

/* RFC 5961, section 3.2: only the exact number ends the connection, since others can be guessed. */
static enum tandem_tcp_verdict judge_reset(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment,
                                           u32_t window) {
  if (segment->seq == pcb->rcv_nxt) {
    return TANDEM_TCP_RESET;
  }
  if (segment->seq - pcb->rcv_nxt < window) {
    tandem_tcp_answer(pcb, segment);
  }
  return TANDEM_TCP_DROP;
}

/* RFC 5961, section 5.2: from the largest window before what is acknowledged to the end of what was sent. */
static int ack_is_acceptable(const struct tcp_pcb* pcb, u32_t ack) {
  return TCP_SEQ_BETWEEN(ack, pcb->lastack - pcb->snd_wnd_max, pcb->snd_nxt);
}

static enum tandem_tcp_verdict judge_ack(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment) {
  if (pcb->state == SYN_RCVD) {
    if (!TCP_SEQ_BETWEEN(segment->ack, pcb->lastack + 1, pcb->snd_nxt)) {
      tandem_tcp_reset_for(segment);
      return TANDEM_TCP_DROP;
    }
    tandem_tcp_syn_acknowledged(pcb, segment->ack);
  } else if (!ack_is_acceptable(pcb, segment->ack)) {
    tandem_tcp_answer(pcb, segment);
    return TANDEM_TCP_DROP;
  }
  return TANDEM_TCP_PROCESS;
}

enum tandem_tcp_verdict tandem_tcp_arrives(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment) {
  const u32_t window = tcp_rcv_wnd_accepted(pcb);

  if (pcb->state == SYN_SENT) {
    return tandem_tcp_syn_sent(pcb, segment);
  }
  if (segment->flags & TCP_RST) {
    return judge_reset(pcb, segment, window);
  }
  if (pcb->state == SYN_RCVD && (segment->flags & TCP_SYN)) {
    return tandem_tcp_syn_again(pcb, segment, is_in_window(pcb, segment, window));
  }
  /* A SYN is challenged wherever it stands (RFC 5961, section 4.2): whoever has started again resets us then. */
  if ((segment->flags & TCP_SYN) || tandem_tcp_timestamp_is_old(pcb, segment)) {
    tandem_tcp_answer(pcb, segment);
    return TANDEM_TCP_DROP;
  }
  if (!is_in_window(pcb, segment, window)) {
    tandem_tcp_answer(pcb, segment);
    if (pcb->state == SYN_RCVD || !is_at_the_last_number(pcb, segment)) {
      return TANDEM_TCP_DROP;
    }
  }
  if (!(segment->flags & TCP_ACK) || tandem_tcp_timestamp_is_missing(pcb, segment) ||
      judge_ack(pcb, segment) == TANDEM_TCP_DROP) {
    return TANDEM_TCP_DROP;
  }
  tandem_tcp_remember_timestamp(pcb, segment);
  if (window == 0 && segment->len != 0) {
    /* A probe: what it carries is not taken, and it asks for the window. */
    tcp_ack_now(pcb);
  }
  return TANDEM_TCP_PROCESS;
}

void tandem_tcp_time_wait(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment) {
  /* A reset that ended TIME-WAIT would let old segments into the next connection of the same ports (RFC 1337). */
  if (segment->flags & TCP_RST) {
    return;
  }
  if ((segment->flags & (TCP_SYN | TCP_ACK)) == TCP_ACK && !tandem_tcp_timestamp_is_old(pcb, segment) &&
      is_in_window(pcb, segment, tcp_rcv_wnd_accepted(pcb)) && ack_is_acceptable(pcb, segment->ack)) {
    return;
  }
  if (!(segment->flags & (TCP_SYN | TCP_ACK))) {
    return;
  }
  if ((segment->flags & TCP_FIN) && segment->seq + segment->len == pcb->rcv_nxt) {
    /* The peer's FIN again: it has not got our ACK. Youngest of all, so that the list stays in order of age. */
    pcb->tmr = tcp_ticks;
    TCP_RMV(&tcp_tw_pcbs, pcb);
    TCP_REG(&tcp_tw_pcbs, pcb);
  }
  tandem_tcp_answer(pcb, segment);
  tcp_output(pcb);
}
