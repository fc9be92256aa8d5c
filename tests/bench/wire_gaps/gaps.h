/* SPDX-License-Identifier: BSD-3-Clause */
/* What the program in the kernel and its reader share. */
#pragma once

#define GAPS_KEPT 65536 /* a power of two; the oldest is overwritten */

struct gaps_state {
  unsigned long long last_ns; /* of the last packet; CLOCK_MONOTONIC; 0 = none yet */
  unsigned long long count;   /* gaps ever recorded: the newest is at (count - 1) % GAPS_KEPT */
};

struct gap {
  unsigned long long from_ns, to_ns; /* the packets before and behind it */
};
