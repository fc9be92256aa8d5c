/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A TCP application for the tests: writes a stream that follows from its position, verifies the one it receives, and
 * leaves received bytes unread for as long as it is told to.
 */
#ifndef TANDEM_LWIP_TESTS_STREAM_H
#define TANDEM_LWIP_TESTS_STREAM_H

#include "wire.h"

struct stream {
  struct tcp_pcb* pcb;
  struct stack* stack;
  uint64_t to_write, written, acknowledged, received, consumed;
  uint8_t key_out, key_in;  /* the two streams of a connection differ */
  unsigned char* reference; /* not NULL: written by reference from here */
  unsigned piece;           /* bytes a write; 0: random */
  unsigned early;           /* of a client: bytes written before it is connected, the rest as soon as it is */
  int reading;              /* 0: received bytes stay unread */
  int closing;              /* close when all is written */
  int connected, eof, closed;
  err_t error;
  struct stream* accept_as; /* of a listener: what the next accepted connection is */
};

uint8_t stream_byte(uint64_t position, uint8_t key);

/* Side 1 listens, side 0 connects (its local port free or given); returns when both are established. */
void stream_pair(struct wire* wire, struct stream* client, struct stream* server, int ipv6, uint16_t port);

/* Writes what fits and reads what may be read; call it again after time has passed. */
void stream_work(struct stream* stream);

/* Runs until both have got everything, within a bound of virtual time. */
void stream_finish(struct wire* wire, struct stream* a, struct stream* b, uint32_t limit_ms);

#endif
