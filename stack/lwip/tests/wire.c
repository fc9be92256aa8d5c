/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "wire.h"

#include "tandem_lwip_hooks.h"
#include "tandem_stack_state.h"
#include "tandem_tcp_demux.h"

#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/init.h"
#include "lwip/nd6.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

#include <string.h>
#include <sys/mman.h>

uint64_t next_random(uint64_t* state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

/* ---- Stacks ---- */

static __thread struct stack* entered;

struct stack* current_stack(void) {
  return entered;
}

void enter(struct stack* stack) {
  void* block = tandem_stack_state_block();
  const size_t size = tandem_stack_state_size();
  if (stack == entered) {
    return;
  }
  if (entered != NULL) {
    memcpy(entered->image, block, size);
  }
  if (stack != NULL) {
    memcpy(block, stack->image, size);
  }
  entered = stack;
}

u32_t sys_now(void) { return entered != NULL ? entered->wire->now_ms : 0; }

/* ---- Frames that can be read, up to their end, and nothing else ---- */

enum { kPage = 4096, kSlotPages = 4, kSlots = 256 };

struct slot {
  struct pbuf_custom custom; /* first: freeing casts back */
  unsigned char* memory;
  struct slot* next_free;
};

static __thread struct slot* slots;
static __thread struct slot* free_slots;
static __thread unsigned held;

unsigned frames_held(void) { return held; }

static void make_slots(void) {
  unsigned char* memory =
      mmap(NULL, (size_t)kSlots * kSlotPages * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  slots = calloc(kSlots, sizeof *slots);
  CHECK(slots != NULL);
  for (int i = 0; i < kSlots; ++i) {
    slots[i].memory = memory + (size_t)i * kSlotPages * kPage;
    slots[i].next_free = free_slots;
    free_slots = &slots[i];
  }
}

void frames_release(void) {
  if (slots != NULL) {
    CHECK(held == 0);
    munmap(slots[0].memory, (size_t)kSlots * kSlotPages * kPage);
    free(slots);
    slots = NULL;
    free_slots = NULL;
  }
}

static void give_back(struct pbuf* p) {
  struct slot* slot = (struct slot*)p;
  CHECK(mprotect(slot->memory, (kSlotPages - 1) * kPage, PROT_NONE) == 0);
  slot->next_free = free_slots;
  free_slots = slot;
  --held;
}

static struct pbuf* frame_pbuf(const void* data, uint16_t bytes) {
  const size_t room = (size_t)(kSlotPages - 1) * kPage;
  struct slot* slot;
  unsigned char* at;
  struct pbuf* p;
  if (slots == NULL) {
    make_slots();
  }
  slot = free_slots;
  CHECK(slot != NULL && bytes <= room);
  free_slots = slot->next_free;
  ++held;
  CHECK(mprotect(slot->memory, room, PROT_READ | PROT_WRITE) == 0);
  at = slot->memory + room - bytes;
  memcpy(at, data, bytes);
  CHECK(mprotect(slot->memory, room, PROT_READ) == 0);
  slot->custom.custom_free_function = give_back;
  p = pbuf_alloced_custom(PBUF_RAW, bytes, PBUF_REF, &slot->custom, at, bytes);
  CHECK(p != NULL);
  return p;
}

/* ---- The wire ---- */

static err_t link_output(struct netif* netif, struct pbuf* p) {
  struct stack* stack = netif->state;
  struct wire* wire = stack->wire;
  const int to = !stack->side;
  struct frame* frame;
  CHECK(stack == entered);
  frame = malloc(sizeof *frame + p->tot_len);
  CHECK(frame != NULL);
  frame->bytes = p->tot_len;
  CHECK(pbuf_copy_partial(p, frame->data, p->tot_len, 0) == p->tot_len);
  ++wire->frames;
  if (!wire->up || (wire->tap != NULL && !wire->tap(wire, stack->side, frame->data, frame->bytes)) ||
      next_random(&wire->random) % 100 < wire->loss_percent) {
    ++wire->lost;
    free(frame);
    return ERR_OK;
  }
  ++wire->queued[to];
  if (wire->first[to] != NULL && next_random(&wire->random) % 100 < wire->reorder_percent) {
    frame->next = wire->first[to];
    wire->first[to] = frame;
    return ERR_OK;
  }
  frame->next = NULL;
  if (wire->first[to] == NULL) {
    wire->first[to] = frame;
  } else {
    wire->last[to]->next = frame;
  }
  wire->last[to] = frame;
  return ERR_OK;
}

static err_t init_netif(struct netif* netif) {
  struct stack* stack = netif->state;
  netif->hwaddr_len = 6;
  memcpy(netif->hwaddr, "\x02\0\0\0\0\1", 6);
  netif->hwaddr[5] = (u8_t)(stack->side + 1);
  netif->name[0] = 't';
  netif->name[1] = 'd';
  netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP | NETIF_FLAG_MLD6;
  netif->output = etharp_output;
  netif->output_ip6 = ethip6_output;
  netif->linkoutput = link_output;
  return ERR_OK;
}

ip_addr_t address_of(int side, int ipv6) {
  ip_addr_t address;
  if (ipv6) {
    IP_ADDR6(&address, PP_HTONL(0xfd000000), 0, 0, PP_HTONL((u32_t)side + 1));
  } else {
    IP_ADDR4(&address, 10, 0, 0, (u8_t)(side + 1));
  }
  return address;
}

static void open_stack(struct wire* wire, int side, uint16_t mtu) {
  struct stack* stack = &wire->stack[side];
  const ip_addr_t ip4 = address_of(side, 0), ip6 = address_of(side, 1);
  ip4_addr_t mask, none;
  s8_t index;
  memset(stack, 0, sizeof *stack);
  stack->wire = wire;
  stack->side = side;
  stack->image = malloc(tandem_stack_state_size());
  CHECK(stack->image != NULL);
  tandem_stack_state_pristine(stack->image);
  enter(stack);
  lwip_init();
  tandem_tcp_hash_key(next_random(&wire->random), next_random(&wire->random));
  IP4_ADDR(&mask, 255, 255, 255, 0);
  ip4_addr_set_any(&none);
  stack->netif.mtu = mtu;
  CHECK(netif_add(&stack->netif, ip_2_ip4(&ip4), &mask, &none, stack, init_netif, ethernet_input) != NULL);
  stack->netif.mtu = mtu;
  netif_set_default(&stack->netif);
  CHECK(netif_add_ip6_address(&stack->netif, ip_2_ip6(&ip6), &index) == ERR_OK);
  netif_ip6_addr_set_state(&stack->netif, index, IP6_ADDR_PREFERRED);
  netif_set_up(&stack->netif);
  enter(NULL);
}

void wire_open(struct wire* wire, uint64_t seed, uint16_t mtu) {
  memset(wire, 0, sizeof *wire);
  wire->random = seed;
  wire->now_ms = (uint32_t)next_random(&wire->random);
  wire->up = 1;
  open_stack(wire, 0, mtu);
  open_stack(wire, 1, mtu);
}

static void drop_queue(struct wire* wire, int side) {
  while (wire->first[side] != NULL) {
    struct frame* frame = wire->first[side];
    wire->first[side] = frame->next;
    free(frame);
  }
  wire->last[side] = NULL;
  wire->queued[side] = 0;
}

void wire_close(struct wire* wire) {
  wire->up = 0;
  for (int side = 0; side < 2; ++side) {
    enter(&wire->stack[side]);
    tandem_lwip_release();
    enter(NULL);
    free(wire->stack[side].image);
    drop_queue(wire, side);
  }
  frames_release();
}

void wire_inject(struct wire* wire, int side, const void* data, uint16_t bytes) {
  struct stack* stack = &wire->stack[side];
  struct pbuf* p = frame_pbuf(data, bytes);
  enter(stack);
  if (stack->netif.input(p, &stack->netif) != ERR_OK) {
    pbuf_free(p);
  }
}

static int deliver_one(struct wire* wire, int side) {
  struct frame* frame = wire->first[side];
  if (frame == NULL) {
    return 0;
  }
  wire->first[side] = frame->next;
  if (wire->first[side] == NULL) {
    wire->last[side] = NULL;
  }
  --wire->queued[side];
  wire_inject(wire, side, frame->data, frame->bytes);
  free(frame);
  return 1;
}

void wire_deliver(struct wire* wire) {
  int any;
  do {
    any = deliver_one(wire, 0);
    any |= deliver_one(wire, 1);
  } while (any);
}

void wire_run(struct wire* wire, uint32_t ms) {
  const uint32_t end = wire->now_ms + ms;
  wire_deliver(wire);
  while ((int32_t)(end - wire->now_ms) > 0) {
    wire->now_ms += 10;
    for (int side = 0; side < 2; ++side) {
      enter(&wire->stack[side]);
      sys_check_timeouts();
    }
    wire_deliver(wire);
  }
}

/* ---- Hooks ---- */

__thread unsigned long touched_count;
__thread unsigned long out_of_order_bytes;
__thread struct tcp_pcb* dormant;

void tandem_hook_tcp_touched(struct tcp_pcb* pcb) {
  CHECK(pcb->state != LISTEN);
  tandem_tcp_arm(pcb);
  ++touched_count;
}

void tandem_hook_tcp_out_of_order(struct tcp_pcb* pcb, u32_t seqno, struct pbuf* data, u8_t fin) {
  (void)fin;
  CHECK((s32_t)(seqno - pcb->rcv_nxt) > 0);
  CHECK((s32_t)(pcb->rcv_nxt + pcb->rcv_wnd - (seqno + data->tot_len)) >= 0);
  for (const struct pbuf* p = data; p != NULL; p = p->next) {
    CHECK((p->flags & PBUF_FLAG_IS_CUSTOM) == 0);
  }
  out_of_order_bytes += data->tot_len;
}

struct tcp_pcb* tandem_hook_tcp_lookup(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote,
                                       u16_t remote_port) {
  struct tcp_pcb* pcb = dormant;
  if (pcb == NULL || pcb->local_port != local_port || pcb->remote_port != remote_port ||
      !ip_addr_eq(&pcb->local_ip, local) || !ip_addr_eq(&pcb->remote_ip, remote)) {
    return NULL;
  }
  dormant = NULL;
  tandem_tcp_link(pcb);
  return pcb;
}

unsigned tandem_hook_random(void) { return entered != NULL ? (unsigned)next_random(&entered->wire->random) : 4; }
