/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Protection against wrapped sequence numbers, and what is echoed: RFC 7323, sections 4.3 and 5.
 */
#ifndef TANDEM_TCP_TIMESTAMPS_H
#define TANDEM_TCP_TIMESTAMPS_H

#include "tandem_tcp.h"

/* Whether the segment's timestamp is older than one that the peer has sent with what we have. */
int tandem_tcp_timestamp_is_old(const struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment);
/* Whether the segment lacks the timestamp that was negotiated. */
int tandem_tcp_timestamp_is_missing(const struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment);
/* Remembers the timestamp of an acceptable segment, if it is the one to be echoed. */
void tandem_tcp_remember_timestamp(struct tcp_pcb* pcb, const struct tandem_tcp_segment* segment);

#endif
