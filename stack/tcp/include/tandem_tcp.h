/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the patched lwIP calls of our own TCP (../README.md), behind the guard TANDEM_TCP. All are called with the stack's
 * state current on the calling thread.
 */
#ifndef TANDEM_TCP_H
#define TANDEM_TCP_H

#include "lwip/arch.h"
#include "tandem_tcp_limits.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tcp_pcb;
struct tcp_seg;

/* ---- A segment that has arrived, as all of our TCP looks at it ---- */

struct tandem_tcp_segment {
  u32_t seq;
  u32_t ack;     /* 0 without the ACK flag */
  u32_t payload; /* bytes */
  u32_t len;     /* sequence numbers: payload, SYN and FIN */
  u32_t ts_val;  /* if has_ts */
  u16_t wnd;     /* the header's field, not scaled */
  u16_t src;     /* ports in host order */
  u16_t dest;
  u8_t flags;
  u8_t has_ts;
};

/* Fills in `segment` from a header in host byte order. The options lie in one or two pieces: `opt1_len` of their
 * `opt_len` bytes at `opt1`, the rest at `opt2`. */
struct tcp_hdr;
void tandem_tcp_read_segment(struct tandem_tcp_segment* segment, const struct tcp_hdr* header, u32_t payload,
                             const u8_t* opt1, u16_t opt1_len, const u8_t* opt2, u16_t opt_len);

/* ---- Acceptance (RFC 9293, section 3.10.7) ---- */

enum tandem_tcp_verdict {
  TANDEM_TCP_DROP,         /* nothing in it may be believed; an answer, where one is due, is on its way */
  TANDEM_TCP_PROCESS,      /* its ACK, its text and its FIN, in this order */
  TANDEM_TCP_RESET,        /* it ends the connection */
  TANDEM_TCP_SYN_RECEIVED, /* SYN-SENT has met a SYN: simultaneous open */
};

/* In every state but LISTEN and TIME-WAIT. */
enum tandem_tcp_verdict tandem_tcp_arrives(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment);
/* In TIME-WAIT: answers what is to be answered. */
void tandem_tcp_time_wait(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment);
/* In LISTEN: whether the segment opens a connection; what else it draws has been sent. */
int tandem_tcp_listen(const struct tandem_tcp_segment* segment);
/* Where there is no connection: the reset that the segment draws, if it draws one. To be called while lwIP's "current"
 * addresses and interface are those of the segment. */
void tandem_tcp_reset_for(const struct tandem_tcp_segment* segment);

/* Owes the peer an ACK at once for a segment that is not believed (RFC 9293: unacceptable; RFC 5961: a challenge). */
void tandem_tcp_answer(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment);

/* ---- Acknowledging text (RFC 9293, section 3.8.6.3; RFC 5681, section 4.2) ---- */

/* So many segments that came together are acknowledged by one ACK. */
#define TANDEM_SEGMENTS_AN_ACK 8

/* Text came in order and closed no gap. */
void tandem_tcp_text_arrived(struct tcp_pcb* pcb);
/* All that came together has been dealt with: owes the ACK for it, or for the window that the application has made. To be
 * called before tcp_output(). */
void tandem_tcp_turn_ended(struct tcp_pcb* pcb);

/* ---- Handshake ---- */

/* SYN-SENT to SYN-RECEIVED, once the SYN's options are taken: the SYN that waits on the queue becomes a SYN-ACK. */
void tandem_tcp_simultaneous_open(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment);
/* The peer has acknowledged our SYN: what that says of the round trip. Before anything else counts the retransmissions. */
void tandem_tcp_syn_acknowledged(struct tcp_pcb* pcb, u32_t ack);
/* The MSS of a peer that names none (RFC 9293, section 3.7.1). */
u16_t tandem_tcp_default_mss(const struct tcp_pcb* pcb);

/* ---- Retransmission timer (RFC 6298), in ticks of lwIP's slow timer ---- */

/* The time at which a segment leaves that is to be measured; never 0. */
u32_t tandem_tcp_measure_start(void);
/* Takes the measurement that is under way if `ack` completes it. */
void tandem_tcp_measure(struct tcp_pcb* pcb, u32_t ack);
/* The timeout that follows from what was measured, and the one after `pcb->nrtx` retransmissions. */
s16_t tandem_tcp_rto(const struct tcp_pcb* pcb);
s16_t tandem_tcp_rto_backed_off(const struct tcp_pcb* pcb);
int tandem_tcp_rto_expired(const struct tcp_pcb* pcb);
/* Whether the connection has waited for long enough (RFC 1122, section 4.2.3.5). */
int tandem_tcp_gives_up(const struct tcp_pcb* pcb);

/* ---- Output ---- */

/* The sequence number of a segment without data (ACK, RST): snd_nxt, or the right edge of the peer's window where a window
 * probe, or a window that shrank, left snd_nxt beyond it. A peer discards what lies outside of its window, the ACK in it
 * included (RFC 9293, section 3.10.7.4). */
u32_t tandem_tcp_control_seq(const struct tcp_pcb* pcb);
/* Whether a keepalive may go out: with data under way the retransmission timer asks (RFC 9293, section 3.8.4). */
int tandem_tcp_may_keep_alive(const struct tcp_pcb* pcb);

#ifdef __cplusplus
}
#endif

#endif
