/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments that meet a connection before it is synchronized.
 */
#ifndef TANDEM_TCP_HANDSHAKE_H
#define TANDEM_TCP_HANDSHAKE_H

#include "tandem_tcp.h"

/* RFC 9293, section 3.10.7.3. */
enum tandem_tcp_verdict tandem_tcp_syn_sent(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment);
/* A SYN in SYN-RECEIVED: the one that was received, the SYN-ACK of a simultaneous open, or a stranger. */
enum tandem_tcp_verdict tandem_tcp_syn_again(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment,
                                             int in_window);

#endif
