// SPDX-License-Identifier: BSD-3-Clause
//
// Gives the AF_XDP socket what is ours alone and leaves everything else to the kernel. Ours are, of what is sent to one host on
// the link, for owned addresses: ARP for them, neighbour solicitations for them and advertisements to them, ICMP, fragments, and
// the owned TCP and UDP ports. What is sent to a group on the link (broadcasts, too) may concern the kernel's stack as well as
// ours, and a program like this one cannot give a frame to both: the kernel gets it, and we a copy through a packet socket
// (src/packet_socket.hpp). What is ours is dropped while no socket is there (a takeover): the kernel must not answer our peers
// with RST.
// Frames of other VLANs than ours, and frames too short to tell, are the kernel's. A tag stays in the frame.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steer.h"

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, __u32);
} sockets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, STEER_MAX_ADDRESSES);
  __type(key, struct steer_address);
  __type(value, __u8);
} addresses SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2 * STEER_PORT_WORDS);
  __type(key, __u32);
  __type(value, __u64);
} ports SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, STEER_COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

/* Set before loading: every port of the protocol is ours. */
const volatile __u8 all_tcp = 0;
const volatile __u8 all_udp = 0;
/* Bytes that the socket can take of a frame. The socket would drop a larger one without a word. */
const volatile __u32 largest = 0xffffffff;
/* Packets may lie in several buffers, of which the program sees the first (Linux 5.18). */
const volatile __u8 frags = 0;
/* The VLAN that we are in; 0: none, and a tag may say no more than a priority. */
const volatile __u16 vlan = 0;

#define TAG_BYTES 4

enum verdict { NOT_OURS, OURS, TOO_SHORT };

#define LINK_GROUP 1         /* of the first octet: sent to more than one */
#define IPV4_FRAGMENT 0x3fff /* more fragments, or an offset */
#define IPV6_EXTENSION_HEADERS 6
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136

static __always_inline void count(__u32 which) {
  __u64* counter = bpf_map_lookup_elem(&counters, &which);

  if (counter) ++*counter;
}

static __always_inline int owned_v6(const void* octets) {
  struct steer_address address;

  __builtin_memcpy(&address, octets, sizeof(address));
  return bpf_map_lookup_elem(&addresses, &address) != 0;
}

static __always_inline int owned_v4(const void* octets) {
  struct steer_address address = {};

  address.octets[10] = 0xff;
  address.octets[11] = 0xff;
  __builtin_memcpy(address.octets + 12, octets, 4);
  return bpf_map_lookup_elem(&addresses, &address) != 0;
}

static __always_inline int owned_port(__u32 first_word, __u16 port) {
  __u32 word = first_word + (port >> 6);
  const __u64* bits = bpf_map_lookup_elem(&ports, &word);

  return bits && (*bits >> (port & 63) & 1);
}

/* The transport header of a packet to an owned address. */
static __always_inline enum verdict transport(__u8 protocol, const __u8* at, const __u8* end) {
  __u8 all;

  if (protocol == IPPROTO_ICMP) return OURS;
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return NOT_OURS;
  all = protocol == IPPROTO_TCP ? all_tcp : all_udp;
  if (all) return OURS;
  if (at + 4 > end) return TOO_SHORT;
  return owned_port(protocol == IPPROTO_TCP ? 0 : STEER_PORT_WORDS, (__u16)(at[2] << 8 | at[3])) ? OURS : NOT_OURS;
}

static __always_inline enum verdict arp(const __u8* at, const __u8* end) {
  if (at + 28 > end) return TOO_SHORT;
  return owned_v4(at + 24) ? OURS : NOT_OURS;
}

static __always_inline enum verdict ipv4(const __u8* at, const __u8* end) {
  __u32 header;

  if (at + 20 > end) return TOO_SHORT;
  if (!owned_v4(at + 16)) return NOT_OURS;
  header = (at[0] & 15) * 4;
  if (header < 20 || at[0] >> 4 != 4) return NOT_OURS;
  if ((at[6] << 8 | at[7]) & IPV4_FRAGMENT) return OURS;
  return transport(at[9], at + header, end);
}

static __always_inline enum verdict icmpv6(const __u8* at, const __u8* end, int to_owned) {
  if (at + 8 > end) return TOO_SHORT;
  if (at[0] == ND_SOLICITATION) {
    if (at + 24 > end) return TOO_SHORT;
    return owned_v6(at + 8) ? OURS : NOT_OURS;
  }
  return to_owned ? OURS : NOT_OURS;
}

static __always_inline enum verdict ipv6(const __u8* at, const __u8* end) {
  const __u8* header;
  __u8 next;
  int to_owned;
  int i;

  if (at + 40 > end) return TOO_SHORT;
  to_owned = owned_v6(at + 24);
  /* Solicitations go to a multicast address. */
  if (!to_owned && at[24] != 0xff) return NOT_OURS;
  next = at[6];
  header = at + 40;
#pragma unroll
  for (i = 0; i < IPV6_EXTENSION_HEADERS; i++) {
    if (next == IPPROTO_FRAGMENT) return to_owned ? OURS : NOT_OURS;
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS) break;
    if (header + 8 > end) return TOO_SHORT;
    next = header[0];
    header += (header[1] + 1) * 8;
  }
  if (next == IPPROTO_ICMPV6) return icmpv6(header, end, to_owned);
  if (next == IPPROTO_ICMP || !to_owned) return NOT_OURS;
  return transport(next, header, end);
}

SEC("xdp")
int tandem_steer(struct xdp_md* ctx) {
  const __u8* at = (const __u8*)(long)ctx->data;
  const __u8* end = (const __u8*)(long)ctx->data_end;
  enum verdict verdict = NOT_OURS;
  int in_our_vlan;
  __u64 bytes;
  __u16 type;
  int action;

  if (at + ETH_HLEN > end) {
    count(STEER_TRUNCATED);
    return XDP_PASS;
  }
  if (at[0] & LINK_GROUP) {
    count(STEER_PASSED);
    return XDP_PASS;
  }
  type = (__u16)(at[12] << 8 | at[13]);
  at += ETH_HLEN;
  if (type == ETH_P_8021Q) {
    if (at + TAG_BYTES > end) {
      count(STEER_TRUNCATED);
      return XDP_PASS;
    }
    in_our_vlan = ((at[0] << 8 | at[1]) & 0xfff) == vlan;
    type = (__u16)(at[2] << 8 | at[3]);
    at += TAG_BYTES;
  } else {
    in_our_vlan = !vlan;
  }
  if (type == ETH_P_IP)
    verdict = ipv4(at, end);
  else if (type == ETH_P_IPV6)
    verdict = ipv6(at, end);
  else if (type == ETH_P_ARP)
    verdict = arp(at, end);

  if (verdict != OURS) {
    count(verdict == TOO_SHORT ? STEER_TRUNCATED : STEER_PASSED);
    return XDP_PASS;
  }
  if (!in_our_vlan) {
    count(STEER_OTHER_VLAN);
    return XDP_PASS;
  }
  bytes = frags ? bpf_xdp_get_buff_len(ctx) : (__u64)(end - (const __u8*)(long)ctx->data);
  if (bytes > largest) {
    count(STEER_TOO_LARGE);
    return XDP_DROP;
  }
  action = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);
  count(action == XDP_REDIRECT ? STEER_TAKEN : STEER_NO_SOCKET);
  return action;
}

char steer_license[] SEC("license") = "BSD";
