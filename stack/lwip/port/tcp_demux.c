/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The tables of tandem_tcp_demux.h.
 */
#include "tandem_lwip_hooks.h"
#include "tandem_tcp_demux.h"

#include "lwip/opt.h"
#include "lwip/priv/tcp_priv.h"

#include <stdlib.h>
#include <string.h>

/* ---- One table: linear hashing over segments of buckets, which never move ---- */

enum { kSegmentBits = 8, kSegmentBuckets = 1 << kSegmentBits, kMaxBuckets = 1 << 22 };

/* Chains are linked through a pcb's `demux[which]`, each link knowing the pointer that points to it. */
enum which { kByTuple = 0, kByPort = 1 };

struct table {
  struct tcp_pcb**(*segments); /* directory of segments of bucket heads */
  u32_t segment_capacity;
  u32_t round; /* a power of two: buckets when the current round of splitting began */
  u32_t split; /* the next bucket to be split; buckets = round + split */
  u32_t count;
  enum which link;
};

struct demux {
  uint64_t k0, k1;
  struct table connections;
  struct table ports;
  struct table owners;
  struct tcp_pcb* oldest_time_wait;
  u32_t time_wait_count;
  struct tcp_pcb* first_timed;
};

static TANDEM_PER_STACK struct demux* demux;
TANDEM_PER_STACK u32_t tandem_tcp_time_wait_ms = 2 * TCP_MSL;
TANDEM_PER_STACK uint64_t tandem_tcp_steps;

static struct tcp_pcb** bucket_head(const struct table* table, u32_t hash) {
  u32_t index = hash & (2 * table->round - 1);
  if (index >= table->round + table->split) {
    index -= table->round;
  }
  return &table->segments[index >> kSegmentBits][index & (kSegmentBuckets - 1)];
}

static void chain_insert(struct table* table, struct tcp_pcb** head, struct tcp_pcb* pcb) {
  struct tandem_tcp_chain* link = &pcb->demux[table->link];
  link->next = *head;
  link->at = head;
  if (*head != NULL) {
    (*head)->demux[table->link].at = &link->next;
  }
  *head = pcb;
}

static void chain_remove(struct table* table, struct tcp_pcb* pcb) {
  struct tandem_tcp_chain* link = &pcb->demux[table->link];
  *link->at = link->next;
  if (link->next != NULL) {
    link->next->demux[table->link].at = link->at;
  }
  link->next = NULL;
  link->at = NULL;
}

/* Makes room for the segment with this index; without memory the table stays as it is and its chains grow. */
static int segment_ensure(struct table* table, u32_t segment) {
  if (segment >= table->segment_capacity) {
    const u32_t capacity = table->segment_capacity != 0 ? 2 * table->segment_capacity : 4;
    struct tcp_pcb*** grown = realloc(table->segments, capacity * sizeof *grown);
    if (grown == NULL) {
      return 0;
    }
    memset(grown + table->segment_capacity, 0, (capacity - table->segment_capacity) * sizeof *grown);
    table->segments = grown;
    table->segment_capacity = capacity;
  }
  if (table->segments[segment] == NULL) {
    table->segments[segment] = calloc(kSegmentBuckets, sizeof(struct tcp_pcb*));
  }
  return table->segments[segment] != NULL;
}

/* Splits one bucket in two, by the next bit of the hash. */
static void split_one(struct table* table) {
  const u32_t target = table->round + table->split;
  struct tcp_pcb *pcb, *next;
  struct tcp_pcb **from, **to;
  if (target >= kMaxBuckets || !segment_ensure(table, target >> kSegmentBits)) {
    return;
  }
  from = &table->segments[table->split >> kSegmentBits][table->split & (kSegmentBuckets - 1)];
  to = &table->segments[target >> kSegmentBits][target & (kSegmentBuckets - 1)];
  for (pcb = *from; pcb != NULL; pcb = next) {
    next = pcb->demux[table->link].next;
    if ((pcb->demux[table->link].hash & table->round) != 0) {
      chain_remove(table, pcb);
      chain_insert(table, to, pcb);
    }
  }
  if (++table->split == table->round) {
    table->round *= 2;
    table->split = 0;
  }
}

static void table_init(struct table* table, enum which link) {
  memset(table, 0, sizeof *table);
  table->link = link;
  table->round = kSegmentBuckets;
  if (!segment_ensure(table, 0)) {
    tandem_lwip_assert_failed("memory for a stack's first hash table", __FILE__, __LINE__);
  }
}

static void table_release(struct table* table) {
  LWIP_ASSERT("a table is given back empty", table->count == 0);
  for (u32_t i = 0; i < table->segment_capacity; ++i) {
    free(table->segments[i]);
  }
  free(table->segments);
}

static void table_insert(struct table* table, struct tcp_pcb* pcb, u32_t hash) {
  if (++table->count > table->round + table->split) {
    split_one(table);
  }
  pcb->demux[table->link].hash = hash;
  chain_insert(table, bucket_head(table, hash), pcb);
}

static void table_remove(struct table* table, struct tcp_pcb* pcb) {
  chain_remove(table, pcb);
  --table->count;
}

/* ---- Keys: SipHash-1-3 over 64-bit words ---- */

struct sip {
  uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

static void sip_round(struct sip* s) {
  s->v0 += s->v1;
  s->v1 = rotate(s->v1, 13) ^ s->v0;
  s->v0 = rotate(s->v0, 32);
  s->v2 += s->v3;
  s->v3 = rotate(s->v3, 16) ^ s->v2;
  s->v0 += s->v3;
  s->v3 = rotate(s->v3, 21) ^ s->v0;
  s->v2 += s->v1;
  s->v1 = rotate(s->v1, 17) ^ s->v2;
  s->v2 = rotate(s->v2, 32);
}

static void sip_word(struct sip* s, uint64_t word) {
  s->v3 ^= word;
  sip_round(s);
  s->v0 ^= word;
}

static void sip_address(struct sip* s, const ip_addr_t* address) {
  if (IP_IS_V6(address)) {
    const ip6_addr_t* ip6 = ip_2_ip6(address);
    sip_word(s, ((uint64_t)ip6->addr[0] << 32) | ip6->addr[1]);
    sip_word(s, ((uint64_t)ip6->addr[2] << 32) | ip6->addr[3]);
  } else {
    sip_word(s, ip4_addr_get_u32(ip_2_ip4(address)));
  }
}

static u32_t tuple_hash(const struct demux* d, const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote,
                        u16_t remote_port) {
  struct sip s = {d->k0 ^ UINT64_C(0x736f6d6570736575), d->k1 ^ UINT64_C(0x646f72616e646f6d),
                  d->k0 ^ UINT64_C(0x6c7967656e657261), d->k1 ^ UINT64_C(0x7465646279746573)};
  sip_address(&s, local);
  sip_address(&s, remote);
  sip_word(&s, ((uint64_t)local_port << 16) | remote_port);
  s.v2 ^= 0xff;
  sip_round(&s);
  sip_round(&s);
  sip_round(&s);
  s.v0 ^= s.v1 ^ s.v2 ^ s.v3;
  return (u32_t)(s.v0 ^ (s.v0 >> 32));
}

static u32_t pcb_hash(const struct demux* d, const struct tcp_pcb* pcb) {
  return tuple_hash(d, &pcb->local_ip, pcb->local_port, &pcb->remote_ip, pcb->remote_port);
}

static struct demux* the_demux(void) {
  if (demux == NULL) {
    demux = calloc(1, sizeof *demux);
    if (demux == NULL) {
      tandem_lwip_assert_failed("memory for a stack's first hash table", __FILE__, __LINE__);
    }
    demux->k0 = ((uint64_t)tandem_hook_random() << 32) | tandem_hook_random();
    demux->k1 = ((uint64_t)tandem_hook_random() << 32) | tandem_hook_random();
    table_init(&demux->connections, kByTuple);
    table_init(&demux->ports, kByPort);
    table_init(&demux->owners, kByTuple);
  }
  return demux;
}

void tandem_tcp_hash_key(uint64_t k0, uint64_t k1) {
  struct demux* d = the_demux();
  struct tcp_pcb* const lists[] = {tcp_active_pcbs, tcp_tw_pcbs};
  struct tcp_pcb* pcb;
  for (size_t i = 0; i < LWIP_ARRAYSIZE(lists); ++i) {
    for (pcb = lists[i]; pcb != NULL; pcb = pcb->next) {
      table_remove(&d->connections, pcb);
    }
  }
  d->k0 = k0;
  d->k1 = k1;
  for (size_t i = 0; i < LWIP_ARRAYSIZE(lists); ++i) {
    for (pcb = lists[i]; pcb != NULL; pcb = pcb->next) {
      table_insert(&d->connections, pcb, pcb_hash(d, pcb));
    }
  }
}

void tandem_tcp_demux_release(void) {
  if (demux != NULL) {
    table_release(&demux->connections);
    table_release(&demux->ports);
    table_release(&demux->owners);
    free(demux);
    demux = NULL;
  }
}

u32_t tandem_tcp_connection_count(void) { return demux != NULL ? demux->connections.count : 0; }

u32_t tandem_tcp_time_wait_count(void) { return demux != NULL ? demux->time_wait_count : 0; }

enum { kUnlinked = 0, kOwner, kConnection, kTimeWait };

/* ---- Whom the timers look at ---- */

void tandem_tcp_arm(struct tcp_pcb* pcb) {
  struct tcp_pcb** const head = &the_demux()->first_timed;
  if (pcb->demux_kind != kConnection || pcb->timed_at != NULL) {
    return;
  }
  pcb->timed_next = *head;
  pcb->timed_at = head;
  if (*head != NULL) {
    (*head)->timed_at = &pcb->timed_next;
  }
  *head = pcb;
}

static void rest(struct tcp_pcb* pcb) {
  if (pcb->timed_at != NULL) {
    *pcb->timed_at = pcb->timed_next;
    if (pcb->timed_next != NULL) {
      pcb->timed_next->timed_at = pcb->timed_at;
    }
    pcb->timed_next = NULL;
    pcb->timed_at = NULL;
  }
}

static int is_idle(const struct tcp_pcb* pcb) {
  return (pcb->state == ESTABLISHED || pcb->state == CLOSE_WAIT ||
          (pcb->state == FIN_WAIT_2 && (pcb->flags & TF_RXCLOSED) == 0)) &&
         pcb->rtime < 0 && pcb->persist_backoff == 0 && pcb->unsent == NULL && pcb->refused_data == NULL &&
         (pcb->flags & (TF_ACK_DELAY | TF_ACK_NOW | TF_CLOSEPEND)) == 0 && !ip_get_option(pcb, SOF_KEEPALIVE);
}

struct tcp_pcb* tandem_tcp_first_timed(void) {
  return demux != NULL ? demux->first_timed : NULL;
}

void tandem_tcp_rest_if_idle(struct tcp_pcb* pcb) {
  if (is_idle(pcb)) {
    rest(pcb);
  }
}

/* ---- Linking ---- */

static int is_older(const struct tcp_pcb* a, const struct tcp_pcb* b) { return (s32_t)(a->tmr - b->tmr) < 0; }

/* The younger neighbour of a pcb that comes into TIME_WAIT, NULL if it is the youngest itself, as it is unless a takeover
 * brings it. Whoever takes over links the youngest first, more or less; so the search is from the oldest on, and short. One
 * that belongs far from there outstays its time by no more than the difference to those that it is put among. */
static struct tcp_pcb* younger_in_time_wait(const struct demux* d, const struct tcp_pcb* pcb) {
  enum { kLooks = 64 };
  struct tcp_pcb* younger = d->oldest_time_wait;
  if (tcp_tw_pcbs == NULL || !is_older(pcb, tcp_tw_pcbs)) {
    return NULL;
  }
  for (int i = 0; i < kLooks && is_older(younger, pcb); ++i) {
    younger = younger->prev;
  }
  return younger;
}

void tandem_tcp_register(struct tcp_pcb** list, struct tcp_pcb* pcb) {
  struct demux* d = the_demux();
  struct tcp_pcb* const before = list == &tcp_tw_pcbs ? younger_in_time_wait(d, pcb) : NULL;
  struct tcp_pcb** const place = before != NULL ? &before->next : list;
  pcb->next = *place;
  pcb->prev = before;
  if (pcb->next != NULL) {
    pcb->next->prev = pcb;
  }
  *place = pcb;
  if (list == &tcp_active_pcbs || list == &tcp_tw_pcbs) {
    pcb->demux_kind = list == &tcp_tw_pcbs ? kTimeWait : kConnection;
    tandem_tcp_arm(pcb);
    table_insert(&d->connections, pcb, pcb_hash(d, pcb));
    table_insert(&d->ports, pcb, pcb->local_port);
    if (pcb->demux_kind == kTimeWait) {
      ++d->time_wait_count;
      if (pcb->next == NULL) {
        d->oldest_time_wait = pcb;
      }
    }
  } else {
    pcb->demux_kind = kOwner;
    table_insert(&d->owners, pcb, pcb->local_port);
  }
  tcp_timer_needed();
}

void tandem_tcp_remove(struct tcp_pcb** list, struct tcp_pcb* pcb) {
  struct demux* d = the_demux();
  if (pcb->demux_kind == kUnlinked) {
    return;
  }
  if (pcb->demux_kind == kTimeWait) {
    --d->time_wait_count;
    if (d->oldest_time_wait == pcb) {
      d->oldest_time_wait = pcb->prev;
    }
  }
  LWIP_ASSERT("a pcb is removed from the list that it is on", pcb->prev != NULL || *list == pcb);
  if (pcb->demux_kind == kConnection) {
    rest(pcb);
  }
  if (pcb->prev != NULL) {
    pcb->prev->next = pcb->next;
  } else {
    *list = pcb->next;
  }
  if (pcb->next != NULL) {
    pcb->next->prev = pcb->prev;
  }
  pcb->next = NULL;
  pcb->prev = NULL;
  if (pcb->demux_kind == kOwner) {
    table_remove(&d->owners, pcb);
  } else {
    table_remove(&d->connections, pcb);
    table_remove(&d->ports, pcb);
  }
  pcb->demux_kind = kUnlinked;
}

static struct tcp_pcb** list_of(const struct tcp_pcb* pcb) {
  switch (pcb->state) {
    case LISTEN:
      return &tcp_listen_pcbs.pcbs;
    case CLOSED:
      return &tcp_bound_pcbs;
    case TIME_WAIT:
      return &tcp_tw_pcbs;
    default:
      return &tcp_active_pcbs;
  }
}

void tandem_tcp_link(struct tcp_pcb* pcb) {
  struct tcp_pcb** list = list_of(pcb);
  tandem_tcp_register(list, pcb);
  if (list == &tcp_active_pcbs) {
    tcp_active_pcbs_changed = 1;
  }
}

void tandem_tcp_unlink(struct tcp_pcb* pcb) {
  struct tcp_pcb** list = list_of(pcb);
  tandem_tcp_remove(list, pcb);
  if (list == &tcp_active_pcbs) {
    tcp_active_pcbs_changed = 1;
  }
}

struct tcp_pcb* tandem_tcp_oldest_time_wait(void) {
  return demux != NULL ? demux->oldest_time_wait : NULL;
}

u32_t tandem_tcp_evict_time_wait(u32_t keep) {
  u32_t ended = 0;
  for (; tandem_tcp_time_wait_count() > keep; ++ended) {
    struct tcp_pcb* const oldest = demux->oldest_time_wait;
    tandem_hook_tcp_touched(oldest);
    TCP_RMV(&tcp_tw_pcbs, oldest);
    tcp_free(oldest);
  }
  return ended;
}

/* ---- Looking up ---- */

static int comes_in_here(u8_t bound_netif_idx, u8_t netif_idx) {
  return bound_netif_idx == NETIF_NO_INDEX || netif_idx == NETIF_NO_INDEX || bound_netif_idx == netif_idx;
}

struct tcp_pcb* tandem_tcp_find(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote, u16_t remote_port,
                                u8_t netif_idx) {
  struct demux* d = the_demux();
  const u32_t hash = tuple_hash(d, local, local_port, remote, remote_port);
  struct tcp_pcb* time_wait = NULL;
  struct tcp_pcb* pcb;
  for (pcb = *bucket_head(&d->connections, hash); pcb != NULL; pcb = pcb->demux[kByTuple].next) {
    if (pcb->demux[kByTuple].hash == hash && pcb->local_port == local_port && pcb->remote_port == remote_port &&
        ip_addr_eq(&pcb->remote_ip, remote) && ip_addr_eq(&pcb->local_ip, local) &&
        comes_in_here(pcb->netif_idx, netif_idx)) {
      if (pcb->demux_kind == kConnection) {
        return pcb;
      }
      time_wait = pcb;
    }
  }
  return time_wait;
}

struct tcp_pcb_listen* tandem_tcp_find_listener(const ip_addr_t* local, u16_t local_port, u8_t netif_idx) {
  struct demux* d = the_demux();
  struct tcp_pcb_listen* any = NULL;
  struct tcp_pcb* pcb;
  for (pcb = *bucket_head(&d->owners, local_port); pcb != NULL; pcb = pcb->demux[kByTuple].next) {
    struct tcp_pcb_listen* listener = (struct tcp_pcb_listen*)pcb;
    if (pcb->state != LISTEN || pcb->local_port != local_port || !comes_in_here(pcb->netif_idx, netif_idx)) {
      continue;
    }
    if (IP_IS_ANY_TYPE_VAL(pcb->local_ip)) {
      any = any != NULL ? any : listener;
    } else if (IP_ADDR_PCB_VERSION_MATCH_EXACT(pcb, local)) {
      if (ip_addr_eq(&pcb->local_ip, local)) {
        return listener;
      }
      if (ip_addr_isany(&pcb->local_ip)) {
        any = listener;
      }
    }
  }
  return any;
}

static int addresses_collide(const ip_addr_t* a, const ip_addr_t* b) {
  return IP_IS_V6(a) == IP_IS_V6(b) && (ip_addr_isany(a) || ip_addr_isany(b) || ip_addr_eq(a, b));
}

static int in_chain_collides(const struct table* table, const ip_addr_t* local, u16_t local_port) {
  const struct tcp_pcb* pcb;
  for (pcb = *bucket_head(table, local_port); pcb != NULL; pcb = pcb->demux[table->link].next) {
    if (pcb->local_port == local_port && addresses_collide(&pcb->local_ip, local)) {
      return 1;
    }
  }
  return 0;
}

int tandem_tcp_bind_collides(const ip_addr_t* local, u16_t local_port) {
  const struct demux* d = the_demux();
  return in_chain_collides(&d->owners, local, local_port) || in_chain_collides(&d->ports, local, local_port);
}

int tandem_tcp_connect_collides(const struct tcp_pcb* pcb, u16_t local_port) {
  const struct demux* d = the_demux();
  return in_chain_collides(&d->owners, &pcb->local_ip, local_port) ||
         tandem_tcp_find(&pcb->local_ip, local_port, &pcb->remote_ip, pcb->remote_port, NETIF_NO_INDEX) != NULL;
}
