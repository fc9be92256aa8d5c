/* SPDX-License-Identifier: BSD-3-Clause
 *
 * When silence is asked about: RFC 9293, section 3.8.4.
 */
#include "lwip/priv/tcp_priv.h"
#include "tandem_tcp.h"

int tandem_tcp_may_keep_alive(const struct tcp_pcb* pcb) { return pcb->unacked == NULL && pcb->unsent == NULL; }
