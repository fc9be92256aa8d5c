/* SPDX-License-Identifier: BSD-3-Clause */
#include "stream.h"

#include "lwip/priv/tcp_priv.h"

#include <string.h>

uint8_t stream_byte(uint64_t position, uint8_t key) {
  uint64_t x = (position + 1) * UINT64_C(0x9e3779b97f4a7c15) + key;
  return (uint8_t)(x >> 32);
}

static void read_unread(struct stream* s) {
  while (s->reading && s->pcb != NULL && s->consumed < s->received) {
    const uint64_t n = s->received - s->consumed;
    const u16_t piece = (u16_t)LWIP_MIN(n, 0xffff);
    s->consumed += piece;
    tcp_recved(s->pcb, piece);
  }
}

static err_t on_receive(void* arg, struct tcp_pcb* pcb, struct pbuf* p, err_t err) {
  struct stream* s = arg;
  CHECK(err == ERR_OK && current_stack() == s->stack && pcb == s->pcb);
  if (p == NULL) {
    s->eof = 1;
    return ERR_OK;
  }
  for (const struct pbuf* q = p; q != NULL; q = q->next) {
    const uint8_t* bytes = q->payload;
    for (u16_t i = 0; i < q->len; ++i) {
      CHECK(bytes[i] == stream_byte(s->received, s->key_in));
      ++s->received;
    }
  }
  pbuf_free(p);
  read_unread(s);
  return ERR_OK;
}

static err_t on_sent(void* arg, struct tcp_pcb* pcb, u16_t bytes) {
  struct stream* s = arg;
  CHECK(pcb == s->pcb);
  s->acknowledged += bytes;
  return ERR_OK;
}

static void on_error(void* arg, err_t err) {
  struct stream* s = arg;
  s->pcb = NULL;
  s->error = err;
}

static void adopt(struct stream* s, struct tcp_pcb* pcb) {
  s->pcb = pcb;
  s->stack = current_stack();
  tcp_arg(pcb, s);
  tcp_recv(pcb, on_receive);
  tcp_sent(pcb, on_sent);
  tcp_err(pcb, on_error);
}

static err_t on_connected(void* arg, struct tcp_pcb* pcb, err_t err) {
  struct stream* s = arg;
  (void)pcb;
  CHECK(err == ERR_OK);
  s->connected = 1;
  if (s->early != 0) {
    stream_work(s);
  }
  return ERR_OK;
}

static err_t on_accept(void* arg, struct tcp_pcb* pcb, err_t err) {
  struct stream* listener = arg;
  CHECK(err == ERR_OK && listener->accept_as != NULL);
  adopt(listener->accept_as, pcb);
  listener->accept_as->connected = 1;
  listener->accept_as = NULL;
  return ERR_OK;
}

void stream_pair(struct wire* wire, struct stream* client, struct stream* server, int ipv6, uint16_t port) {
  struct stream listener;
  const ip_addr_t here = address_of(1, ipv6);
  struct tcp_pcb* pcb;
  memset(&listener, 0, sizeof listener);
  listener.accept_as = server;

  enter(&wire->stack[1]);
  pcb = tcp_new_ip_type(ipv6 ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4);
  CHECK(pcb != NULL && tcp_bind(pcb, ipv6 ? IP6_ADDR_ANY : IP4_ADDR_ANY, port) == ERR_OK);
  pcb = tcp_listen(pcb);
  CHECK(pcb != NULL);
  tcp_arg(pcb, &listener);
  tcp_accept(pcb, on_accept);

  enter(&wire->stack[0]);
  client->pcb = tcp_new_ip_type(ipv6 ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4);
  CHECK(client->pcb != NULL);
  adopt(client, client->pcb);
  CHECK(tcp_connect(client->pcb, &here, port, on_connected) == ERR_OK);
  if (client->early != 0) {
    const uint64_t all = client->to_write;
    client->to_write = client->early;
    stream_work(client);
    CHECK(client->written == client->early);
    client->to_write = all;
  }
  for (int i = 0; i < 2000 && !(client->connected && server->connected); ++i) {
    wire_run(wire, 10);
  }
  CHECK(client->connected && server->connected);
  enter(&wire->stack[1]);
  tcp_close(pcb);
}

void stream_work(struct stream* s) {
  unsigned char buffer[0xffff];
  if (s->pcb == NULL) {
    return;
  }
  enter(s->stack);
  read_unread(s);
  while (s->written < s->to_write) {
    uint64_t n = LWIP_MIN(s->to_write - s->written, (uint64_t)0xffff);
    const unsigned want = s->piece != 0 ? s->piece : 1 + (unsigned)(next_random(&s->stack->wire->random) % 9000);
    n = LWIP_MIN(n, want);
    if (n > s->pcb->snd_buf) {
      break;
    }
    if (s->reference != NULL) {
      if (tcp_write(s->pcb, s->reference + s->written, (u16_t)n, 0) != ERR_OK) {
        break;
      }
    } else {
      for (uint64_t i = 0; i < n; ++i) {
        buffer[i] = stream_byte(s->written + i, s->key_out);
      }
      if (tcp_write(s->pcb, buffer, (u16_t)n, TCP_WRITE_FLAG_COPY) != ERR_OK) {
        break;
      }
    }
    s->written += n;
  }
  CHECK(tcp_output(s->pcb) == ERR_OK);
  if (s->closing && s->written == s->to_write && !s->closed) {
    s->closed = 1;
    CHECK(tcp_shutdown(s->pcb, 0, 1) == ERR_OK);
  }
}

void stream_finish(struct wire* wire, struct stream* a, struct stream* b, uint32_t limit_ms) {
  const uint32_t begin = wire->now_ms;
  for (;;) {
    stream_work(a);
    stream_work(b);
    wire_run(wire, 10);
    if (a->received == b->to_write && b->received == a->to_write && a->acknowledged == a->to_write &&
        b->acknowledged == b->to_write && (!a->closing || b->eof) && (!b->closing || a->eof)) {
      return;
    }
    if (wire->now_ms - begin >= limit_ms) {
      fprintf(stderr, "stream_finish: a wrote %llu got %llu of %llu, b wrote %llu got %llu of %llu\n",
              (unsigned long long)a->written, (unsigned long long)a->received, (unsigned long long)b->to_write,
              (unsigned long long)b->written, (unsigned long long)b->received, (unsigned long long)a->to_write);
      CHECK(!"both streams arrived in time");
    }
  }
}
