/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Hostile frames: what a neighbour may send that no honest host would. Frames end where unmapped memory begins and are
 * read-only, so reading beyond one, or writing into one, kills the test, as does any failed assertion of lwIP.
 *
 *   hostile_tests              fixed malformed frames, then mutations from fixed seeds
 *   hostile_tests SEED COUNT   COUNT mutations from SEED
 */
#include "stream.h"

#include "tandem_lwip_hooks.h"
#include "tandem_tcp_demux.h"

#include "lwip/etharp.h"
#include "lwip/icmp6.h"
#include "lwip/inet_chksum.h"
#include "lwip/ip.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/nd6.h"
#include "lwip/priv/nd6_priv.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ethernet.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/ip6.h"
#include "lwip/prot/tcp.h"
#include "lwip/stats.h"
#include "lwip/sys.h"
#include "lwip/udp.h"

#include <string.h>

enum { kMaxFrame = 2000 };

struct bytes {
  unsigned char data[kMaxFrame];
  uint16_t size;
};

/* ---- Building ---- */

static void put(struct bytes* b, const void* data, size_t size) {
  CHECK(b->size + size <= kMaxFrame);
  memcpy(b->data + b->size, data, size);
  b->size = (uint16_t)(b->size + size);
}

static void put8(struct bytes* b, unsigned value) {
  const unsigned char byte = (unsigned char)value;
  put(b, &byte, 1);
}

static void put16(struct bytes* b, unsigned value) {
  put8(b, value >> 8);
  put8(b, value);
}

static void put32(struct bytes* b, uint32_t value) {
  put16(b, value >> 16);
  put16(b, value);
}

static uint16_t get16(const struct bytes* b, size_t at) { return (uint16_t)(b->data[at] << 8 | b->data[at + 1]); }

static void set16(struct bytes* b, size_t at, unsigned value) {
  b->data[at] = (unsigned char)(value >> 8);
  b->data[at + 1] = (unsigned char)value;
}

/* From side 0 to side 1 of the wire. */
static void begin_ethernet(struct bytes* b, unsigned type, int multicast) {
  b->size = 0;
  put(b, multicast ? "\x33\x33\xff\0\0\2" : "\x02\0\0\0\0\2", 6);
  put(b, "\x02\0\0\0\0\1", 6);
  put16(b, type);
}

static void begin_ip4(struct bytes* b, unsigned protocol, unsigned id, unsigned fragment) {
  begin_ethernet(b, ETHTYPE_IP, 0);
  put16(b, 0x4500);
  put16(b, 0); /* length: finish() */
  put16(b, id);
  put16(b, fragment);
  put8(b, 64);
  put8(b, protocol);
  put16(b, 0);
  put(b, "\x0a\0\0\1\x0a\0\0\2", 8);
}

static void begin_ip6(struct bytes* b, unsigned next, int multicast) {
  begin_ethernet(b, ETHTYPE_IPV6, multicast);
  put32(b, 0x60000000);
  put16(b, 0);
  put8(b, next);
  put8(b, 255);
  put(b, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
  put(b, multicast ? "\xff\2\0\0\0\0\0\0\0\0\0\1\xff\0\0\2" : "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
}

static unsigned sum_of(const unsigned char* data, size_t size, unsigned long sum) {
  for (size_t i = 0; i + 1 < size; i += 2) {
    sum += (unsigned)(data[i] << 8 | data[i + 1]);
  }
  if (size & 1) {
    sum += (unsigned)(data[size - 1] << 8);
  }
  while (sum >> 16) {
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return (unsigned)sum;
}

/* Makes lengths and checksums right as far as that is possible, so that what else is wrong gets through to the code
 * behind them. */
static void finish(struct bytes* b, int fix_lengths) {
  const unsigned type = b->size >= 14 ? get16(b, 12) : 0;
  size_t payload = 0, end = b->size;
  unsigned protocol = 0;
  unsigned long pseudo = 0;
  if (type == ETHTYPE_IP && b->size >= 34) {
    const size_t header = (size_t)(b->data[14] & 15) * 4;
    if (fix_lengths) {
      set16(b, 16, (unsigned)b->size - 14);
    }
    if (header < 20 || 14 + header > b->size) {
      return;
    }
    set16(b, 24, 0);
    set16(b, 24, ~sum_of(b->data + 14, header, 0));
    if ((get16(b, 20) & 0x3fff) != 0 || 14u + get16(b, 16) > b->size || get16(b, 16) < header) {
      return;
    }
    payload = 14 + header;
    end = 14u + get16(b, 16);
    protocol = b->data[23];
    pseudo = sum_of(b->data + 26, 8, protocol + (unsigned long)(end - payload));
  } else if (type == ETHTYPE_IPV6 && b->size >= 54) {
    if (fix_lengths) {
      set16(b, 18, (unsigned)b->size - 54);
    }
    if (54u + get16(b, 18) > b->size) {
      return;
    }
    end = 54u + get16(b, 18);
    payload = 54;
    protocol = b->data[20];
    while ((protocol == 0 || protocol == 43 || protocol == 60 || protocol == 44) && payload + 8 <= end) {
      const size_t length = protocol == 44 ? 8 : 8 * (1 + (size_t)b->data[payload + 1]);
      if (protocol == 44 && (get16(b, payload + 2) & 0xfff9) != 0) {
        return;
      }
      protocol = b->data[payload];
      payload += length;
    }
    if (payload >= end) {
      return;
    }
    pseudo = sum_of(b->data + 22, 32, protocol + (unsigned long)(end - payload));
  }
  const size_t at = protocol == 6 ? 16 : protocol == 17 ? 6 : protocol == 58 || protocol == 1 ? 2 : 0;
  if (at != 0 && payload + at + 2 <= end) {
    set16(b, payload + at, 0);
    set16(b, payload + at, ~sum_of(b->data + payload, end - payload, protocol == 1 ? 0 : pseudo));
  }
}

static void send_to_side_1(struct wire* wire, struct bytes* b) {
  finish(b, 1);
  wire_inject(wire, 1, b->data, b->size);
}

static void put_tcp(struct bytes* b, const struct stream* from, s32_t seq_offset, s32_t ack_offset, unsigned flags,
                    unsigned option_bytes) {
  const struct tcp_pcb* pcb = from->pcb;
  /* Without the timestamps that were negotiated nothing would be looked at. */
  const int timestamps = pcb != NULL && (pcb->flags & TF_TIMESTAMP) && option_bytes == 0;
  option_bytes += timestamps ? 12 : 0;
  put16(b, pcb != NULL ? pcb->local_port : 4000);
  put16(b, pcb != NULL ? pcb->remote_port : 7);
  put32(b, pcb != NULL ? pcb->snd_nxt + (u32_t)seq_offset : (u32_t)seq_offset);
  put32(b, pcb != NULL ? pcb->rcv_nxt + (u32_t)ack_offset : (u32_t)ack_offset);
  put16(b, (5 + option_bytes / 4) << 12 | flags);
  put16(b, 1000);
  put16(b, 0);
  put16(b, 0);
  if (timestamps) {
    put(b, "\1\1\x08\x0a", 4);
    put32(b, sys_now());
    put32(b, pcb->ts_recent);
  }
}

/* ---- Fixed frames ---- */

static void truncated_frames_are_dropped(struct wire* wire) {
  struct bytes whole;
  begin_ethernet(&whole, ETHTYPE_ARP, 0);
  put(&whole, "\0\1\x08\0\6\4\0\1\x02\0\0\0\0\1\x0a\0\0\1\0\0\0\0\0\0\x0a\0\0\2", 28);
  for (uint16_t size = 0; size <= whole.size; ++size) {
    wire_inject(wire, 1, whole.data, size);
  }
  for (int type = 0; type < 2; ++type) {
    if (type == 0) {
      begin_ip4(&whole, 1, 1, 0);
    } else {
      begin_ip6(&whole, 58, 0);
    }
    put(&whole, type == 0 ? "\x08\0\0\0\0\1\0\1" : "\x80\0\0\0\0\1\0\1", 8);
    finish(&whole, 1);
    for (uint16_t size = 0; size <= whole.size; ++size) {
      wire_inject(wire, 1, whole.data, size);
    }
  }
}

static void extension_headers_are_kept_within_the_packet(struct wire* wire) {
  static const unsigned headers[] = {0, 60, 43, 44};
  struct bytes b;
  for (size_t h = 0; h < 4; ++h) {
    for (unsigned size = 0; size < 24; ++size) {
      for (unsigned length = 0; length < 4; ++length) {
        for (unsigned option = 0; option < 256; option += 37) {
          begin_ip6(&b, headers[h], 0);
          for (unsigned i = 0; i < size; ++i) {
            put8(&b, i == 0 ? 6 : i == 1 ? length : option);
          }
          send_to_side_1(wire, &b);
          /* An option that begins in the header's last byte. */
          begin_ip6(&b, headers[h], 0);
          for (unsigned i = 0; i < size; ++i) {
            put8(&b, i == 0 ? 59 : i == 1 ? length : i + 1 == size ? 5 : 0);
          }
          send_to_side_1(wire, &b);
        }
      }
    }
  }
}

static void neighbour_options_are_kept_within_the_packet(struct wire* wire) {
  static const unsigned types[] = {ICMP6_TYPE_NS, ICMP6_TYPE_NA, ICMP6_TYPE_RA, ICMP6_TYPE_RD, ICMP6_TYPE_PTB};
  struct bytes b;
  for (size_t t = 0; t < 5; ++t) {
    for (unsigned size = 0; size < 80; ++size) {
      for (unsigned length = 0; length < 5; ++length) {
        begin_ip6(&b, 58, 0);
        if (types[t] == ICMP6_TYPE_RA || types[t] == ICMP6_TYPE_RD) {
          memcpy(b.data + 22, "\xfe\x80", 2);
        }
        put8(&b, types[t]);
        put8(&b, 0);
        put16(&b, 0);
        put32(&b, 0x60000000);
        for (unsigned i = 0; i < size; ++i) {
          static const unsigned char target[] = "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2";
          put8(&b, i < 16 ? target[i] : i % 8 == 0 ? 1 + (size & 1) : length);
        }
        send_to_side_1(wire, &b);
      }
    }
  }
}

/* A packet from the unspecified address, to all that have our address: what is wrong with it is nobody's business, and nothing is
 * kept for nobody. */
static void no_error_is_sent_to_nobody(struct wire* wire) {
  struct bytes b;
  enter(&wire->stack[1]);
  const unsigned sent = lwip_stats.icmp6.xmit;
  for (unsigned next = 0; next < 256; ++next) {
    begin_ip6(&b, next, 1);
    memset(b.data + 22, 0, 16);
    put(&b, "\xfd\0\xc2\4\0\0\0\0", 8);
    send_to_side_1(wire, &b);
  }
  enter(&wire->stack[1]);
  CHECK(lwip_stats.icmp6.xmit == sent);
  for (int i = 0; i < LWIP_ND6_NUM_NEIGHBORS; ++i) {
    CHECK(neighbor_cache[i].state != ND6_NO_ENTRY || neighbor_cache[i].q == NULL);
  }
}

/* Makes side 1 know its neighbour by echo requests: an answer needs the address, and a place in the caches. */
static void ping6(struct wire* wire) {
  struct bytes b;
  begin_ip6(&b, 58, 0);
  put(&b, "\x80\0\0\0\0\1\0\1", 8);
  send_to_side_1(wire, &b);
  wire_deliver(wire);
}

static void a_path_cannot_be_made_too_narrow(struct wire* wire) {
  struct bytes b;
  const ip_addr_t peer = address_of(0, 1);
  ping6(wire);
  for (uint32_t mtu = 1480; mtu <= 1480; mtu -= 40) {
    begin_ip6(&b, 58, 0);
    put8(&b, ICMP6_TYPE_PTB);
    put8(&b, 0);
    put16(&b, 0);
    put32(&b, mtu);
    put(&b, "\x60\0\0\0\0\0\6\x40", 8);
    put(&b, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
    put(&b, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    send_to_side_1(wire, &b);
    enter(&wire->stack[1]);
    CHECK(nd6_get_destination_mtu(ip_2_ip6(&peer), &wire->stack[1].netif) == LWIP_MAX(mtu, 1280));
  }
}

static void tcp_options_are_kept_within_the_header(struct wire* wire, struct stream* from) {
  struct bytes b;
  for (unsigned kind = 0; kind < 12; ++kind) {
    for (unsigned at = 0; at < 4; ++at) {
      for (unsigned length = 0; length < 44; ++length) {
        for (int syn = 0; syn < 2; ++syn) {
          begin_ip4(&b, 6, 1, 0);
          put_tcp(&b, from, 0, 0, syn ? TCP_SYN : TCP_ACK, 4);
          for (unsigned i = 0; i < 4; ++i) {
            put8(&b, i < at ? 1 : i == at ? kind : length);
          }
          if (syn) {
            set16(&b, 34, 5000 + kind * 4 + at); /* another remote port: a new connection each */
          }
          send_to_side_1(wire, &b);
        }
      }
    }
  }
}

static void fragments_are_bounded_in_number_and_size(struct wire* wire) {
  struct bytes b;
  for (unsigned id = 0; id < 1000; ++id) {
    begin_ip4(&b, 17, id, 0x2000 | (id & 7));
    for (int i = 0; i < 64; ++i) {
      put8(&b, 0);
    }
    send_to_side_1(wire, &b);
    begin_ip6(&b, 44, 0);
    put8(&b, 17);
    put8(&b, 0);
    put16(&b, (id & 7) << 3 | 1);
    put32(&b, id);
    for (int i = 0; i < 64; ++i) {
      put8(&b, 0);
    }
    send_to_side_1(wire, &b);
  }
  CHECK(frames_held() == 0); /* what waits was copied */
  /* Datagrams longer than can be, in either order of their ends. */
  for (unsigned id = 2000; id < 2008; ++id) {
    for (unsigned n = 0; n < 50; ++n) {
      const unsigned offset = (id & 1 ? n : 49 - n) * 1400 / 8;
      begin_ip4(&b, 17, id, (n == (id & 2 ? 49u : 20u) ? 0 : 0x2000) | offset);
      for (int i = 0; i < 1400; ++i) {
        put8(&b, 0);
      }
      send_to_side_1(wire, &b);
      begin_ip6(&b, 44, 0);
      put8(&b, 17);
      put8(&b, 0);
      put16(&b, offset << 3 | (n == (id & 2 ? 49u : 20u) ? 0 : 1));
      put32(&b, id);
      for (int i = 0; i < 1400; ++i) {
        put8(&b, 0);
      }
      send_to_side_1(wire, &b);
    }
  }
  CHECK(frames_held() == 0);
  wire_run(wire, 60000); /* all time out */
}

static void set_sequence(struct bytes* b, u32_t seqno) {
  set16(b, 38, seqno >> 16);
  set16(b, 40, seqno);
}

static void set_window(struct bytes* b, unsigned window) { set16(b, 48, window); }

/* Data, FINs and overlaps that no correct sender produces, at the edges of a small window; then the gaps are filled. */
static void impossible_sequences_leave_the_window_sound(uint64_t seed) {
  static const s32_t near[] = {-3, -1, 0, 1, 2, 5, 700, 1400, 2000};
  uint64_t random = seed;
  struct wire wire;
  struct stream from, to;
  struct bytes b;
  memset(&from, 0, sizeof from);
  memset(&to, 0, sizeof to);
  wire_open(&wire, seed, 1500);
  enter(&wire.stack[1]);
  tandem_tcp_rcv_wnd_default = 4096;
  stream_pair(&wire, &from, &to, 0, 8);
  wire.loss_percent = 100;
  enter(&wire.stack[1]);
  to.reading = 0;
  tcp_recv(to.pcb, NULL);
  for (int i = 0; i < 60 && to.pcb != NULL && to.pcb->state == ESTABLISHED; ++i) {
    const u32_t window = to.pcb->rcv_ann_right_edge - to.pcb->rcv_nxt;
    const unsigned length = (unsigned)(next_random(&random) % 4 * (next_random(&random) % 400));
    s32_t offset = near[next_random(&random) % 9];
    if (next_random(&random) % 2) {
      offset = (s32_t)window - offset;
    }
    if (i >= 40) {
      offset = 0; /* in order: what was stored comes out */
    }
    begin_ip4(&b, 6, 1, 0);
    put_tcp(&b, &from, 0, 0, TCP_ACK | (i < 40 && next_random(&random) % 6 == 0 ? TCP_FIN : 0), 0);
    set_sequence(&b, to.pcb->rcv_nxt + (u32_t)offset);
    for (unsigned n = 0; n < length; ++n) {
      put8(&b, 0);
    }
    send_to_side_1(&wire, &b);
    CHECK(frames_held() == 0);
    enter(&wire.stack[1]);
    CHECK((s32_t)(to.pcb->rcv_ann_right_edge - to.pcb->rcv_nxt) >= 0);
    for (const struct tcp_seg* seg = to.pcb->ooseq; seg != NULL; seg = seg->next) {
      CHECK((s32_t)(to.pcb->rcv_ann_right_edge - (seg->tcphdr->seqno + TCP_TCPLEN(seg))) >= 0);
      CHECK(seg->next == NULL || (s32_t)(seg->next->tcphdr->seqno - (seg->tcphdr->seqno + seg->len)) >= 0);
    }
    CHECK(to.pcb->rcv_wnd <= TCP_WND);
  }
  wire_close(&wire);
}

static err_t leave_unread(void* arg, struct tcp_pcb* pcb, struct pbuf* p, err_t err) {
  (void)arg;
  (void)pcb;
  (void)err;
  if (p != NULL) {
    pbuf_free(p);
  }
  return ERR_OK;
}

static void a_shut_window_takes_nothing_and_does_not_answer_acks(u32_t limit) {
  struct wire wire;
  struct stream from, to;
  struct bytes b;
  unsigned long before;
  memset(&from, 0, sizeof from);
  memset(&to, 0, sizeof to);
  wire_open(&wire, 5, 1500);
  enter(&wire.stack[1]);
  tandem_tcp_rcv_wnd_default = limit;
  stream_pair(&wire, &from, &to, 0, 8);
  wire.loss_percent = 100;
  enter(&wire.stack[1]);
  tcp_recv(to.pcb, leave_unread);
  for (u32_t i = 0; i < limit / 1000 + 5; ++i) {
    const u32_t edge = to.pcb->rcv_ann_right_edge;
    begin_ip4(&b, 6, 1, 0);
    put_tcp(&b, &from, 0, 0, TCP_ACK, 0);
    set_sequence(&b, to.pcb->rcv_nxt);
    for (unsigned n = 0; n < 1000; ++n) {
      put8(&b, 0);
    }
    send_to_side_1(&wire, &b);
    enter(&wire.stack[1]);
    CHECK((s32_t)(edge - to.pcb->rcv_nxt) >= 0);
  }
  CHECK(to.pcb->rcv_nxt == to.pcb->rcv_ann_right_edge);
  wire_run(&wire, 1000);
  before = wire.frames;
  begin_ip4(&b, 6, 1, 0);
  put_tcp(&b, &from, 0, 0, TCP_ACK, 0);
  set_sequence(&b, to.pcb->rcv_nxt);
  send_to_side_1(&wire, &b);
  CHECK(wire.frames == before);
  /* A few bytes read are a window again, and the other side hears of it without asking. */
  enter(&wire.stack[1]);
  tcp_recved(to.pcb, 900);
  CHECK(wire.frames == before);
  tcp_recved(to.pcb, 700);
  CHECK(wire.frames == before + 1);
  wire_close(&wire);
}

/* A FIN was stored out of order; then data covers it, goes on behind it and ends at the window's edge. */
static void a_fin_with_data_behind_it_does_not_count(void) {
  struct wire wire;
  struct stream from, to;
  struct bytes b;
  u32_t edge;
  memset(&from, 0, sizeof from);
  memset(&to, 0, sizeof to);
  wire_open(&wire, 8, 1500);
  enter(&wire.stack[1]);
  tandem_tcp_rcv_wnd_default = 1000;
  stream_pair(&wire, &from, &to, 0, 8);
  wire.loss_percent = 100;
  enter(&wire.stack[1]);
  tcp_recv(to.pcb, leave_unread);
  edge = to.pcb->rcv_ann_right_edge;
  for (int in_order = 0; in_order < 2; ++in_order) {
    begin_ip4(&b, 6, 1, 0);
    put_tcp(&b, &from, 0, 0, TCP_ACK | (in_order ? 0 : TCP_FIN), 0);
    set_sequence(&b, to.pcb->rcv_nxt + (in_order ? 0 : 100));
    for (int n = 0; n < (in_order ? 1200 : 10); ++n) {
      put8(&b, 0);
    }
    send_to_side_1(&wire, &b);
    enter(&wire.stack[1]);
  }
  CHECK(to.pcb->rcv_nxt == edge && to.pcb->state == ESTABLISHED);
  wire_close(&wire);
}

/* The window closes while data is under way, a timeout puts it back to be sent, and then it is acknowledged after all. */
static void an_ack_for_what_was_put_back_ends_the_probing(void) {
  struct wire wire;
  struct stream a, b;
  struct bytes frame;
  memset(&a, 0, sizeof a);
  memset(&b, 0, sizeof b);
  wire_open(&wire, 6, 1500);
  stream_pair(&wire, &a, &b, 0, 8);
  wire_run(&wire, 1000);
  wire.loss_percent = 100;
  b.to_write = 1000;
  stream_work(&b);
  begin_ip4(&frame, 6, 1, 0);
  put_tcp(&frame, &a, 0, 1, TCP_ACK, 0); /* (an older window would not count) */
  set_window(&frame, 0);
  send_to_side_1(&wire, &frame);
  wire_run(&wire, 3000);
  CHECK(b.pcb->unacked == NULL && b.pcb->unsent != NULL && b.pcb->persist_backoff > 0);
  begin_ip4(&frame, 6, 1, 0);
  put_tcp(&frame, &a, 0, 1000, TCP_ACK, 0);
  set_window(&frame, 0);
  send_to_side_1(&wire, &frame);
  CHECK(b.pcb->unsent == NULL);
  wire_run(&wire, 10000);
  CHECK(b.pcb != NULL && b.pcb->state == ESTABLISHED);
  wire_close(&wire);
}

/* Segments are cut to half of the largest window that was seen; beside the timestamps a byte has to fit in. */
static void a_narrow_window_makes_no_empty_segment(void) {
  static const char data[100];
  for (u32_t window = 2; window <= 60; ++window) {
    struct wire wire;
    struct stream from, to;
    u32_t length = 0;
    memset(&from, 0, sizeof from);
    memset(&to, 0, sizeof to);
    wire_open(&wire, window, 1500);
    stream_pair(&wire, &from, &to, 0, 8);
    enter(&wire.stack[0]);
    CHECK((from.pcb->flags & TF_TIMESTAMP) != 0);
    from.pcb->snd_wnd = from.pcb->snd_wnd_max = window;
    CHECK(tcp_write(from.pcb, data, sizeof data, 0) == ERR_OK);
    for (const struct tcp_seg* segment = from.pcb->unsent; segment != NULL; segment = segment->next) {
      CHECK(segment->len >= 1 && segment->len <= window);
      length += segment->len;
    }
    CHECK(length == sizeof data);
    wire_close(&wire);
  }
}

/* A SYN-ACK with a wrong acknowledgement must not negotiate anything. */
static void a_forged_syn_ack_sets_no_option(void) {
  struct wire wire;
  struct tcp_pcb* pcb;
  struct bytes b;
  const ip_addr_t peer = address_of(0, 0);
  wire_open(&wire, 7, 1500);
  enter(&wire.stack[1]);
  pcb = tcp_new_ip_type(IPADDR_TYPE_V4);
  wire.up = 0;
  CHECK(tcp_connect(pcb, &peer, 80, NULL) == ERR_OK);
  begin_ip4(&b, 6, 1, 0);
  put16(&b, 80);
  put16(&b, pcb->local_port);
  put32(&b, 1234);
  put32(&b, pcb->snd_nxt + 5);
  put16(&b, 10 << 12 | TCP_SYN | TCP_ACK);
  put16(&b, 1000);
  put32(&b, 0);
  put(&b, "\2\4\0\x50\4\2\x08\x0a\0\0\0\1\0\0\0\0\1\3\3\7", 20);
  send_to_side_1(&wire, &b);
  enter(&wire.stack[1]);
  CHECK(pcb->state == SYN_SENT && (pcb->flags & (TF_WND_SCALE | TF_TIMESTAMP | TF_SACK)) == 0 && pcb->mss > 80);
  wire_close(&wire);
}

static void out_of_order_segments_are_bounded(struct wire* wire, struct stream* from, struct stream* to) {
  struct bytes b;
  unsigned count = 0;
  for (u32_t i = 0; i < 2 * TANDEM_TCP_OOSEQ_MAX; ++i) {
    begin_ip4(&b, 6, 1, 0);
    put_tcp(&b, from, 0, 0, TCP_ACK, 0);
    {
      const u32_t seqno = to->pcb->rcv_nxt + 2 + 2 * i;
      set16(&b, 38, seqno >> 16);
      set16(&b, 40, seqno);
    }
    put8(&b, 0);
    send_to_side_1(wire, &b);
  }
  enter(&wire->stack[1]);
  for (const struct tcp_seg* seg = to->pcb->ooseq; seg != NULL; seg = seg->next) {
    ++count;
  }
  CHECK(count > 1000 && count <= TANDEM_TCP_OOSEQ_MAX);
}

/* ---- Mutations ---- */

/* One honest frame of some kind. */
static void make_seed_frame(struct bytes* b, uint64_t* random, const struct stream* from) {
  const unsigned kind = (unsigned)(next_random(random) % 12);
  const unsigned payload = (unsigned)(next_random(random) % 200);
  switch (kind) {
    case 0:
      begin_ethernet(b, ETHTYPE_ARP, 0);
      put(b, "\0\1\x08\0\6\4\0", 7);
      put8(b, 1 + (unsigned)(next_random(random) % 2));
      put(b, "\x02\0\0\0\0\1\x0a\0\0\1\0\0\0\0\0\0\x0a\0\0\2", 20);
      return;
    case 1:
      begin_ip4(b, 6, 1, 0);
      put_tcp(b, from, (s32_t)(next_random(random) % 3000) - 100, (s32_t)(next_random(random) % 200) - 100,
              (unsigned)(next_random(random) % 64), 0);
      break;
    case 2:
      begin_ip4(b, 6, 1, 0);
      put_tcp(b, from, (s32_t)(next_random(random) % 3000) - 100, (s32_t)(next_random(random) % 200) - 100,
              (unsigned)(next_random(random) % 64), 12);
      put(b, "\1\1\x08\x0a\0\0\0\1\0\0\0\1", 12);
      break;
    case 3:
      begin_ip4(b, 6, 1, 0);
      put_tcp(b, from, (s32_t)next_random(random), 0, TCP_SYN, 20);
      set16(b, 34, (unsigned)next_random(random));
      put(b, "\2\4\5\xb4\4\2\x08\x0a\0\0\0\1\0\0\0\0\1\3\3\7", 20);
      break;
    case 4:
      begin_ip4(b, 17, 1, 0);
      put16(b, 5000);
      put16(b, next_random(random) % 2 ? 69 : 70);
      put16(b, 8 + payload);
      put16(b, 0);
      break;
    case 5:
      begin_ip4(b, 1, 1, 0);
      put16(b, next_random(random) % 2 ? 0x0800 : 0x0301);
      put16(b, 0);
      put32(b, 0x00010001);
      break;
    case 6:
      begin_ip4(b, (unsigned)(next_random(random) % 2 ? 6 : 17), (unsigned)(next_random(random) % 4),
                (unsigned)(next_random(random) % 2 ? 0x2000 : 0) | (unsigned)(next_random(random) % 60));
      break;
    case 7:
      begin_ip6(b, 58, (int)(next_random(random) % 2));
      put8(b, 128 + (unsigned)(next_random(random) % 16));
      put8(b, 0);
      put16(b, 0);
      put32(b, 0x60000000);
      put(b, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
      put(b, "\1\1\x02\0\0\0\0\1", 8);
      break;
    case 8:
      begin_ip6(b, 44, 0);
      put8(b, next_random(random) % 2 ? 6 : 60);
      put8(b, 0);
      put16(b, (unsigned)(next_random(random) % 40) << 3 | (unsigned)(next_random(random) % 2));
      put32(b, (uint32_t)(next_random(random) % 4));
      break;
    case 9:
      begin_ip6(b, 0, 0);
      put(b, "\x3c\0\5\2\0\0\1\0", 8);
      put(b, "\x2b\0\1\4\0\0\0\0", 8);
      put(b, "\x3a\0\0\0\0\0\0\0", 8);
      put(b, "\x80\0\0\0\0\1\0\1", 8);
      break;
    case 10:
      begin_ip6(b, 6, 0);
      put_tcp(b, from, 0, 0, (unsigned)(next_random(random) % 64), 0);
      break;
    default:
      begin_ip6(b, 17, 0);
      put16(b, 5000);
      put16(b, 69);
      put16(b, 8 + payload);
      put16(b, 0);
      break;
  }
  for (unsigned i = 0; i < payload; ++i) {
    put8(b, (unsigned)next_random(random));
  }
}

static void mutate(struct bytes* b, uint64_t* random) {
  const unsigned times = (unsigned)(next_random(random) % 6);
  finish(b, 1);
  for (unsigned i = 0; i < times; ++i) {
    const uint16_t at = (uint16_t)(next_random(random) % b->size);
    switch (next_random(random) % 5) {
      case 0:
        b->data[at] = (unsigned char)next_random(random);
        break;
      case 1:
        b->data[at] ^= (unsigned char)(1u << next_random(random) % 8);
        break;
      case 2:
        b->data[at] = next_random(random) % 2 ? 0 : 0xff;
        break;
      case 3:
        b->size = (uint16_t)(next_random(random) % 8 == 0 && at > 0 ? at : b->size);
        break;
      default:
        if (b->size > 60) {
          b->data[14 + next_random(random) % 46] = (unsigned char)next_random(random);
        }
        break;
    }
  }
  finish(b, next_random(random) % 2 == 0);
}

static void accept_udp(void* arg, struct udp_pcb* pcb, struct pbuf* p, const ip_addr_t* address, u16_t port) {
  (void)arg;
  udp_sendto(pcb, p, address, port);
  pbuf_free(p);
}

static err_t accept_tcp(void* arg, struct tcp_pcb* pcb, err_t err) {
  (void)arg;
  (void)pcb;
  return err;
}

static void listen_and_answer(struct wire* wire) {
  struct tcp_pcb* pcb;
  struct udp_pcb* udp;
  enter(&wire->stack[1]);
  pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);
  CHECK(tcp_bind(pcb, IP_ANY_TYPE, 7) == ERR_OK);
  pcb = tcp_listen(pcb);
  tcp_accept(pcb, accept_tcp);
  udp = udp_new_ip_type(IPADDR_TYPE_ANY);
  CHECK(udp_bind(udp, IP_ANY_TYPE, 69) == ERR_OK);
  udp_recv(udp, accept_udp, NULL);
}

static void survive_mutations(uint64_t seed, unsigned long count) {
  struct wire wire;
  struct stream a, b;
  struct bytes frame;
  uint64_t random = seed;
  memset(&a, 0, sizeof a);
  memset(&b, 0, sizeof b);
  wire_open(&wire, seed, 1500);
  stream_pair(&wire, &a, &b, (int)(seed & 1), 8);
  listen_and_answer(&wire);
  b.to_write = 1 << 20;
  for (unsigned long i = 0; i < count; ++i) {
    make_seed_frame(&frame, &random, &a);
    mutate(&frame, &random);
    wire_inject(&wire, 1, frame.data, frame.size);
    CHECK(frames_held() == 0);
    if (i % 64 == 0) {
      wire.loss_percent = 90; /* what side 1 answers hardly matters */
      wire_run(&wire, (uint32_t)(next_random(&random) % 400));
      wire.loss_percent = 0;
      if (b.pcb != NULL && (b.pcb->state == ESTABLISHED || b.pcb->state == CLOSE_WAIT)) {
        b.key_in = 0;
        enter(&wire.stack[1]);
        tcp_recv(b.pcb, NULL); /* hostile bytes are not the stream's */
      }
    }
  }
  wire_close(&wire);
}

int main(int argc, char** argv) {
  struct wire wire;
  struct stream a, b;
  if (argc == 3) {
    survive_mutations(strtoull(argv[1], NULL, 0), strtoul(argv[2], NULL, 0));
    return 0;
  }
  memset(&a, 0, sizeof a);
  memset(&b, 0, sizeof b);
  wire_open(&wire, 1, 1500);
  stream_pair(&wire, &a, &b, 0, 8);
  listen_and_answer(&wire);
  truncated_frames_are_dropped(&wire);
  extension_headers_are_kept_within_the_packet(&wire);
  neighbour_options_are_kept_within_the_packet(&wire);
  no_error_is_sent_to_nobody(&wire);
  a_path_cannot_be_made_too_narrow(&wire);
  wire_run(&wire, 1000);
  tcp_options_are_kept_within_the_header(&wire, &a);
  fragments_are_bounded_in_number_and_size(&wire);
  wire.loss_percent = 100;
  out_of_order_segments_are_bounded(&wire, &a, &b);
  wire_close(&wire);

  a_shut_window_takes_nothing_and_does_not_answer_acks(4096);
  a_shut_window_takes_nothing_and_does_not_answer_acks(1 << 17);
  a_fin_with_data_behind_it_does_not_count();
  an_ack_for_what_was_put_back_ends_the_probing();
  a_narrow_window_makes_no_empty_segment();
  a_forged_syn_ack_sets_no_option();
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    impossible_sequences_leave_the_window_sound(seed);
  }
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    survive_mutations(seed, 3000);
  }
  return 0;
}
