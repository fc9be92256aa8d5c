/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The round trip and the retransmission timeout: RFC 6298.
 *
 * As in lwIP, pcb->sa is the smoothed round trip in eighths of a tick and pcb->sv four times its variation in ticks; here a
 * measurement is taken in milliseconds and a smoothed round trip of 0 says that there was none.
 */
#include "lwip/priv/tcp_priv.h"
#include "lwip/sys.h"
#include "tandem_tcp.h"

#define TICK_MS TCP_SLOW_INTERVAL
/* A timer of n ticks runs for n to n + 1 of them. */
#define MIN_RTO_TICKS LWIP_MAX(200 / TICK_MS, 1)
#define MAX_RTO_TICKS (64000 / TICK_MS)
/* Section 5.7: what a connection begins with whose SYN had to be repeated. */
#define CAUTIOUS_RTO_TICKS (3000 / TICK_MS)
#define MAX_MEASURED_MS (4L * 60 * 1000)

u32_t tandem_tcp_measure_start(void) {
  /* 0 means that nothing is measured; the millisecond before it, and not the one behind: no time is negative. */
  const u32_t now = sys_now();
  return now != 0 ? now : now - 1;
}

/* Sections 2.2 and 2.3. */
static void take_sample(struct tcp_pcb* pcb, s32_t ms) {
  const s32_t sample = (ms * 8 + TICK_MS / 2) / TICK_MS;

  if (pcb->sa == 0) {
    pcb->sa = (s16_t)LWIP_MAX(sample, 1);
    pcb->sv = (s16_t)((ms * 2 + TICK_MS - 1) / TICK_MS);
  } else {
    const s32_t error = sample - pcb->sa;
    const s32_t distance = (error < 0 ? -error : error) / 8;
    pcb->sv = (s16_t)(pcb->sv + distance - (pcb->sv >> 2));
    pcb->sa = (s16_t)LWIP_MAX((7 * pcb->sa + sample + 4) / 8, 1);
  }
}

void tandem_tcp_measure(struct tcp_pcb* pcb, u32_t ack) {
  if (pcb->rttest == 0 || !TCP_SEQ_LT(pcb->rtseq, ack)) {
    return;
  }
  take_sample(pcb, (s32_t)LWIP_MIN(sys_now() - pcb->rttest, (u32_t)MAX_MEASURED_MS));
  pcb->rttest = 0;
  pcb->rto = tandem_tcp_rto(pcb);
}

void tandem_tcp_syn_acknowledged(struct tcp_pcb* pcb, u32_t ack) {
  if (pcb->nrtx != 0) {
    /* It is not known which of the SYNs is acknowledged. */
    pcb->rttest = 0;
    if (pcb->sa == 0) {
      pcb->sv = CAUTIOUS_RTO_TICKS;
    }
  }
  tandem_tcp_measure(pcb, ack);
  pcb->rto = tandem_tcp_rto(pcb);
}

s16_t tandem_tcp_rto(const struct tcp_pcb* pcb) {
  const s32_t ticks = ((pcb->sa + 7) >> 3) + LWIP_MAX(pcb->sv, 1);
  return (s16_t)LWIP_MIN(LWIP_MAX(ticks, MIN_RTO_TICKS), MAX_RTO_TICKS);
}

s16_t tandem_tcp_rto_backed_off(const struct tcp_pcb* pcb) {
  /* More would only overflow: any timeout has reached the ceiling by then. */
  const int doublings = LWIP_MIN(pcb->nrtx + 1, 10);
  return (s16_t)LWIP_MIN((s32_t)tandem_tcp_rto(pcb) << doublings, MAX_RTO_TICKS);
}

int tandem_tcp_rto_expired(const struct tcp_pcb* pcb) { return pcb->rtime > pcb->rto; }

int tandem_tcp_gives_up(const struct tcp_pcb* pcb) {
  /* Asked before the tick counts. */
  const int expires = pcb->rtime >= pcb->rto;

  switch (pcb->state) {
    case SYN_SENT:
      return pcb->nrtx >= TCP_SYNMAXRTX && expires;
    case SYN_RCVD:
      return 0; /* its age decides (TCP_SYN_RCVD_TIMEOUT) */
    default:
      return pcb->nrtx >= TCP_MAXRTX && expires;
  }
}
