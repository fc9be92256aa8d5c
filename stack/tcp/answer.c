/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The ACK that a segment draws which is not believed.
 */
#include "lwip/priv/tcp_priv.h"
#include "tandem_lwip_hooks.h"
#include "tandem_tcp.h"

void tandem_tcp_answer(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment) {
  /* Data that was repeated says that our ACK was lost, so its answer waits for no other. Segments without data may be late
     by the hundred, and two hosts that answer each other's would never end (RFC 5961, section 7). */
  const int tells = segment->len != 0 || (segment->flags & TCP_RST);

  if (!tells && !tandem_hook_tcp_may_answer(pcb)) {
    return;
  }
  if (tandem_hook_tcp_may_challenge(pcb)) {
    tcp_ack_now(pcb);
  } else if (segment->len != 0 && !(segment->flags & (TCP_SYN | TCP_RST))) {
    /* One ACK answers all that is repeated in a burst. */
    /* As one segment with text: what was counted before has been acknowledged. */
    if ((pcb->flags & TF_ACK_DELAY) == 0) {
      pcb->tandem_texts_held = 1;
    }
    tcp_set_flags(pcb, TF_ACK_DELAY);
  }
}
