/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The reset that a segment draws which belongs to no connection: RFC 9293, section 3.10.7.1.
 */
#include <string.h>

#include "lwip/inet_chksum.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/stats.h"
#include "tandem_lwip_hooks.h"
#include "tandem_tcp.h"

void tandem_tcp_reset_for(const struct tandem_tcp_segment* segment) {
  struct tcp_hdr* header;
  struct pbuf* packet;

  if ((segment->flags & TCP_RST) || ip_data.current_input_netif == NULL || !tandem_hook_tcp_may_reset()) {
    return;
  }
  packet = pbuf_alloc(PBUF_IP, TCP_HLEN, PBUF_RAM);
  if (packet == NULL) {
    TCP_STATS_INC(tcp.memerr);
    return;
  }
  header = (struct tcp_hdr*)packet->payload;
  memset(header, 0, TCP_HLEN);
  header->src = lwip_htons(segment->dest);
  header->dest = lwip_htons(segment->src);
  if (segment->flags & TCP_ACK) {
    /* Where the other end says that it expects us, which is what makes it believe the reset. */
    header->seqno = lwip_htonl(segment->ack);
    TCPH_HDRLEN_FLAGS_SET(header, TCP_HLEN / 4, TCP_RST);
  } else {
    header->ackno = lwip_htonl(segment->seq + segment->len);
    TCPH_HDRLEN_FLAGS_SET(header, TCP_HLEN / 4, TCP_RST | TCP_ACK);
  }
  header->chksum = ip_chksum_pseudo(packet, IP_PROTO_TCP, TCP_HLEN, ip_current_dest_addr(), ip_current_src_addr());
  TCP_STATS_INC(tcp.xmit);
  ip_output_if(packet, ip_current_dest_addr(), ip_current_src_addr(), TCP_TTL, 0, IP_PROTO_TCP,
               ip_data.current_input_netif);
  pbuf_free(packet);
}
