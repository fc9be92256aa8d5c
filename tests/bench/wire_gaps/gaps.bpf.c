// SPDX-License-Identifier: BSD-3-Clause
//
// Times the packets of one IPv4 sender as they reach an interface, before the kernel's own stack has them, and keeps the gaps
// between them. It is the filter of a packet socket, and lets nothing through: no packet is copied for it.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "gaps.h"

#define SOURCE_OFFSET 26 /* of the source address, behind an Ethernet header without a tag */

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct gaps_state);
} state SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, GAPS_KEPT);
  __type(key, __u32);
  __type(value, struct gap);
} gaps SEC(".maps");

/* Set before loading. */
const volatile __u32 source = 0; /* in network byte order */
const volatile __u64 floor_ns = 0;

SEC("socket")
int watch(struct __sk_buff* packet) {
  __u64 now = bpf_ktime_get_ns();
  __u32 key = 0, from = 0;
  struct gaps_state* seen;

  if (bpf_skb_load_bytes(packet, SOURCE_OFFSET, &from, sizeof(from)) != 0 || from != source) return 0;
  seen = bpf_map_lookup_elem(&state, &key);
  if (!seen) return 0;
  if (seen->last_ns != 0 && now - seen->last_ns >= floor_ns) {
    __u32 slot = seen->count & (GAPS_KEPT - 1);
    struct gap* gap = bpf_map_lookup_elem(&gaps, &slot);

    if (gap) {
      gap->from_ns = seen->last_ns;
      gap->to_ns = now;
    }
    ++seen->count;
  }
  seen->last_ns = now;
  return 0;
}

char gaps_license[] SEC("license") = "BSD";
