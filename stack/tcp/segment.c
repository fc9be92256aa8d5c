/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A segment as the rest of our TCP looks at it. Of the options only timestamps concern segments that are no SYN.
 */
#include "lwip/priv/tcp_priv.h"
#include "tandem_tcp.h"

#define TIMESTAMP_LENGTH 10

struct options {
  const u8_t* first;
  const u8_t* second;
  u16_t first_length;
  u16_t length;
};

static u32_t octet_at(const struct options* options, u16_t at) {
  return at < options->first_length ? options->first[at] : options->second[at - options->first_length];
}

static u32_t word_at(const struct options* options, u16_t at) {
  return octet_at(options, at) << 24 | octet_at(options, (u16_t)(at + 1)) << 16 |
         octet_at(options, (u16_t)(at + 2)) << 8 | octet_at(options, (u16_t)(at + 3));
}

static void read_timestamps(struct tandem_tcp_segment* segment, const struct options* options) {
  u16_t at = 0;

  while (at < options->length && octet_at(options, at) != LWIP_TCP_OPT_EOL) {
    u32_t length;
    if (octet_at(options, at) == LWIP_TCP_OPT_NOP) {
      at++;
      continue;
    }
    length = at + 1 < options->length ? octet_at(options, (u16_t)(at + 1)) : 0;
    if (length < 2 || length > (u32_t)(options->length - at)) {
      return;
    }
    if (octet_at(options, at) == LWIP_TCP_OPT_TS && length == TIMESTAMP_LENGTH) {
      segment->has_ts = 1;
      segment->ts_val = word_at(options, (u16_t)(at + 2));
      return;
    }
    at = (u16_t)(at + length);
  }
}

void tandem_tcp_read_segment(struct tandem_tcp_segment* segment, const struct tcp_hdr* header, u32_t payload,
                             const u8_t* opt1, u16_t opt1_len, const u8_t* opt2, u16_t opt_len) {
  const struct options options = {opt1, opt2, opt1_len, opt_len};

  segment->flags = (u8_t)TCPH_FLAGS(header);
  segment->seq = header->seqno;
  segment->ack = (segment->flags & TCP_ACK) ? header->ackno : 0;
  segment->payload = payload;
  segment->len = payload + ((segment->flags & TCP_SYN) ? 1 : 0) + ((segment->flags & TCP_FIN) ? 1 : 0);
  segment->wnd = header->wnd;
  segment->src = header->src;
  segment->dest = header->dest;
  segment->has_ts = 0;
  segment->ts_val = 0;
  if (opt_len != 0) {
    read_timestamps(segment, &options);
  }
}
