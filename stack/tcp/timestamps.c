/* SPDX-License-Identifier: BSD-3-Clause */
#include "timestamps.h"

#include "lwip/priv/tcp_priv.h"

/* After so much silence the peer's clock may have passed half of its numbers (RFC 7323, section 5.5). */
#define OUTDATED_TICKS (24UL * 24 * 3600 * 1000 / TCP_SLOW_INTERVAL)

int tandem_tcp_timestamp_is_old(const struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment) {
  return (pcb->flags & TF_TIMESTAMP) && segment->has_ts && TCP_SEQ_LT(segment->ts_val, pcb->ts_recent) &&
         (u32_t)(tcp_ticks - pcb->tmr) <= OUTDATED_TICKS;
}

int tandem_tcp_timestamp_is_missing(const struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment) {
  return (pcb->flags & TF_TIMESTAMP) && !segment->has_ts;
}

void tandem_tcp_remember_timestamp(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment) {
  if ((pcb->flags & TF_TIMESTAMP) && segment->has_ts && TCP_SEQ_LEQ(segment->seq, pcb->ts_lastacksent)) {
    pcb->ts_recent = segment->ts_val;
  }
}
