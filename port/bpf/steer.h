/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the steering program and the process that loads it agree on.
 */
#ifndef TANDEM_STEER_H
#define TANDEM_STEER_H

/* Counters, summed over the CPUs by whoever reads them. */
enum steer_counter {
  STEER_TAKEN,      /* given to the socket */
  STEER_PASSED,     /* not ours: left to the kernel */
  STEER_NO_SOCKET,  /* ours, but no socket on this queue: dropped */
  STEER_TRUNCATED,  /* too short to tell: left to the kernel */
  STEER_TOO_LARGE,  /* ours, and larger than a frame of the socket's: dropped */
  STEER_OTHER_VLAN, /* would be ours with another tag, or with none: left to the kernel */
  STEER_COUNTERS
};

/* An owned address; IPv4 as ::ffff:a.b.c.d. Network order. */
struct steer_address {
  __u8 octets[16];
};

/* Ports are bits in 64-bit words: TCP's 1024 words first, then UDP's. */
#define STEER_PORT_WORDS 1024
#define STEER_MAX_ADDRESSES 1024

#endif
