/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the tests of the patched lwIP share: stacks as images of the per-stack state, and an Ethernet wire between two of
 * them with loss and reordering from a seed. Received frames lie in read-only memory that ends where an unmapped page
 * begins, so a stack that writes into a frame, or reads beyond one, dies.
 */
#ifndef TANDEM_LWIP_TESTS_WIRE_H
#define TANDEM_LWIP_TESTS_WIRE_H

#include "lwip/netif.h"
#include "lwip/tcp.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                       \
    }                                                                                \
  } while (0)

struct frame {
  struct frame* next;
  uint16_t bytes;
  unsigned char data[];
};

struct wire;

struct stack {
  void* image;
  struct netif netif;
  struct wire* wire;
  int side; /* 0 or 1 on its wire */
};

struct wire {
  struct stack stack[2];
  struct frame *first[2], *last[2]; /* frames on their way to a side */
  unsigned queued[2];
  uint32_t now_ms;
  uint64_t random;
  unsigned loss_percent, reorder_percent;
  int up;
  unsigned long frames, lost;
  /* Sees each frame that a side sends before it travels; returns 0 to drop it. May be NULL. */
  int (*tap)(struct wire* wire, int from, const unsigned char* data, uint16_t bytes);
  void* tap_argument;
};

/* Random numbers from a seed (SplitMix64). */
uint64_t next_random(uint64_t* state);

/* Makes `stack` the current one of this thread; NULL leaves none. */
void enter(struct stack* stack);
struct stack* current_stack(void);

/* Two stacks with addresses 10.0.0.1, 10.0.0.2 and fd00::1, fd00::2, joined. Both are linked from `wire`. */
void wire_open(struct wire* wire, uint64_t seed, uint16_t mtu);
/* Also checks that every frame was given back. */
void wire_close(struct wire* wire);

/* Delivers what is under way, both ways, until nothing is. */
void wire_deliver(struct wire* wire);
/* Lets `ms` pass, delivering and running timers in steps of 10 ms. */
void wire_run(struct wire* wire, uint32_t ms);
/* Feeds one frame to a side as if received. */
void wire_inject(struct wire* wire, int side, const void* data, uint16_t bytes);

ip_addr_t address_of(int side, int ipv6);

/* Frames that the calling thread's stacks still hold on to. */
unsigned frames_held(void);
/* Gives the calling thread's frames back; wire_close() does it, a thread that ends without it has to. */
void frames_release(void);

/* What the hooks saw on this thread. */
extern __thread unsigned long touched_count;
extern __thread unsigned long out_of_order_bytes;
extern __thread struct tcp_pcb* dormant; /* what the lookup hook links and returns, once */

#endif
