/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which SYN begins a new connection between the ends of one in TIME-WAIT.
 */
#include "lwip/priv/tcp_priv.h"
#include "tandem_tcp_limits.h"

int tandem_tcp_is_new_incarnation(const struct tcp_pcb* pcb, u32_t seqno, int has_timestamp, u32_t ts_val) {
  /* The peer's FIN had the last one that it used, rcv_nxt - 1. */
  const int is_above = TCP_SEQ_GEQ(seqno, pcb->rcv_nxt);
  if (!has_timestamp) {
    return is_above;
  }
  if ((pcb->flags & TF_TIMESTAMP) == 0) {
    /* A late SYN of the old connection had none. */
    return 1;
  }
  return TCP_SEQ_GT(ts_val, pcb->ts_recent) || (ts_val == pcb->ts_recent && is_above);
}
