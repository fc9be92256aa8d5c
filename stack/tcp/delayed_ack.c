/* SPDX-License-Identifier: BSD-3-Clause
 *
 * When text that came in order is acknowledged: RFC 9293, section 3.8.6.3; RFC 5681, section 4.2.
 *
 * Of segments that came one by one every second is acknowledged at once and a single one soon. Those that came together, in
 * one turn, are acknowledged together, as by a receiver whose card or kernel joins them (LRO, GRO): whatever leaves
 * leaves at the turn's end, so that an ACK for each pair of them would tell the peer nothing that the last one does not. A
 * peer's congestion window grows by what is acknowledged (RFC 3465), but in some by no more than some segments an ACK; so there
 * is one for every TANDEM_SEGMENTS_AN_ACK.
 */
#include "lwip/priv/tcp_priv.h"
#include "tandem_tcp.h"

void tandem_tcp_text_arrived(struct tcp_pcb* pcb) {
  if ((pcb->flags & TF_ACK_DELAY) == 0) {
    tcp_set_flags(pcb, TF_ACK_DELAY);
    pcb->tandem_texts_held = 1;
  } else if (++pcb->tandem_texts_held >= TANDEM_SEGMENTS_AN_ACK) {
    tcp_clear_flags(pcb, TF_ACK_DELAY);
    tcp_ack_now(pcb);
  }
}

void tandem_tcp_turn_ended(struct tcp_pcb* pcb) {
  if ((pcb->flags & TF_ACK_DELAY) != 0 && pcb->tandem_texts_held >= 2) {
    tcp_clear_flags(pcb, TF_ACK_DELAY);
    tcp_ack_now(pcb);
  } else if (pcb->tandem_taken && (pcb->state == ESTABLISHED || pcb->state == FIN_WAIT_1 || pcb->state == FIN_WAIT_2)) {
    pcb->tandem_taken = 0;
    tcp_recved(pcb, 0);
  }
}
