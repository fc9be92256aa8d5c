/* SPDX-License-Identifier: BSD-3-Clause
 *
 * lwIP's configuration: one process, no operating system underneath (NO_SYS), several stacks, memory from malloc.
 */
#ifndef TANDEM_LWIPOPTS_H
#define TANDEM_LWIPOPTS_H

/* ---- Environment ---- */
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_TIMERS 1
#define LWIP_HOOK_FILENAME "tandem_lwip_hooks.h"

/* ---- Memory: pools are static arrays, which cannot be per stack, so everything comes from malloc ---- */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8
#define LWIP_SUPPORT_CUSTOM_PBUF 1

/* ---- Link layer and neighbours ---- */
#define LWIP_ETHERNET 1
#define LWIP_ARP 1
#define NETIF_MAX_HWADDR_LEN 6
#define ETH_PAD_SIZE 0
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_HAVE_LOOPIF 0
#define LWIP_LOOPBACK_MAX_PBUFS 0
#define LWIP_NETIF_STATUS_CALLBACK 0
#define LWIP_NETIF_LINK_CALLBACK 0
#define LWIP_NETIF_HWADDRHINT 0
#define LWIP_NETIF_TX_SINGLE_PBUF 0
/* Our stack keeps its neighbours itself (stack/src/neighbours.hpp): lwIP's own tables are for its tests, and as small as those let
 * them be. */
#ifndef ARP_TABLE_SIZE
#define ARP_TABLE_SIZE 4
#endif
#define ARP_QUEUEING 1
#define ARP_QUEUE_LEN 32
#define ETHARP_SUPPORT_STATIC_ENTRIES 1
#define ETHARP_TRUST_IP_MAC 0

/* ---- IPv4 ---- */
#define LWIP_IPV4 1
#define LWIP_ICMP 1
#define LWIP_RAW 0
#define LWIP_DHCP 0
#define LWIP_AUTOIP 0
#define LWIP_ACD 0
#define LWIP_IGMP 0
#define LWIP_DNS 0
#define IP_FORWARD 0
#define IP_OPTIONS_ALLOWED 1
#define IP_FRAG 1
#define IP_REASSEMBLY 1
/* Both families share the bound: so many fragments wait at most, then the oldest datagram goes. */
#define IP_REASS_MAX_PBUFS 256
#define IP_REASS_MAXAGE 15

/* ---- IPv6: addresses are configured, never learned ---- */
#define LWIP_IPV6 1
#define LWIP_ICMP6 1
#define LWIP_IPV6_MLD 1
#define LWIP_IPV6_FRAG 1
#define LWIP_IPV6_REASS 1
#define IPV6_REASS_MAXAGE 15
/* Pointers do not fit into the eight bytes of a fragment header. */
#define IPV6_FRAG_COPYHEADER 1
#define LWIP_IPV6_SCOPES 1
/* 64 that are configured, and the link-local one. */
#define LWIP_IPV6_NUM_ADDRESSES 65
#define LWIP_IPV6_FORWARD 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_IPV6_ADDRESS_LIFETIMES 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_DHCP6 0
/* The twin takes over an address that is in use by definition: duplicate address detection would forbid it. */
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_ND6_QUEUEING 1
/* Packets that wait for all unresolved IPv6 neighbours together. */
#define MEMP_NUM_ND6_QUEUE 128
#ifndef LWIP_ND6_NUM_NEIGHBORS
#define LWIP_ND6_NUM_NEIGHBORS 4
#endif
#ifndef LWIP_ND6_NUM_DESTINATIONS
#define LWIP_ND6_NUM_DESTINATIONS 4
#endif
#define LWIP_ND6_NUM_PREFIXES 1
#define LWIP_ND6_NUM_ROUTERS 1
#define LWIP_ND6_ALLOW_RA_UPDATES 0
#define LWIP_ND6_TCP_REACHABILITY_HINTS 1

/* ---- UDP ---- */
#define LWIP_UDP 1
#define LWIP_UDPLITE 0

/* ---- TCP ---- */
#define LWIP_TCP 1
/* The guard of our own TCP (stack/tcp); lwIP's own tests are built without it. */
#define TANDEM_TCP 1
/* Short of memory a new connection is refused, and its SYN comes again. A TIME-WAIT that is ended costs a peer that did
 * not get our last ACK an RST, so only where so many hold the memory does the oldest of them go. */
#define TANDEM_TCP_GIVES_UP_CLOSING 0
#define TANDEM_TCP_TIME_WAIT_SPARED 4096
/* The ceiling; what a connection really uses is the lesser of this and the MTU. */
#define TCP_MSS 8960
#define TCP_CALCULATE_EFF_SEND_MSS 1
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 8
/* The ceilings of both windows. What a connection announces is its tandem_rcv_wnd_max (TANDEM_TCP_RCV_WND_DEFAULT at
 * first), what an application may leave unsent is the C++ face's business. */
#define TCP_WND (0xffffUL << TCP_RCV_SCALE)
#define TANDEM_TCP_RCV_WND_DEFAULT (4UL * 1024 * 1024)
#define TCP_SND_BUF (16UL * 1024 * 1024)
#define TCP_SND_QUEUELEN 0x100000
#define TCP_SNDLOWAT (2 * TCP_MSS + 1)
#define TCP_SNDQUEUELOWAT (TCP_SND_QUEUELEN / 2)
#define TCP_OVERSIZE 1460
/* The coarse timer runs every 100 ms instead of 500: the retransmission timeout's floor is three of its ticks. Delayed
 * ACKs wait for the fine timer, 50 ms. */
#define TCP_TMR_INTERVAL 50
/* RFC 6298: one second before the first measurement. */
#define LWIP_TCP_RTO_TIME 1000
/* RFC 1122, section 4.2.3.5: three minutes for a SYN, after 1, 2, 4, ... and 64 seconds; a minute for the answer to one. */
#define TCP_SYNMAXRTX 7
#define TCP_SYN_RCVD_TIMEOUT 62000
/* RFC 6928. */
#define LWIP_TCP_CALC_INITIAL_CWND(mss) ((tcpwnd_size_t)LWIP_MIN((10U * (mss)), LWIP_MAX((2U * (mss)), 14600U)))
#define LWIP_TCP_TIMESTAMPS 1
#define TCP_QUEUE_OOSEQ 1
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_MAX_SACK_NUM 4
/* Data that was selectively acknowledged is never dropped again by age: the peer would see reneging. */
#define TCP_OOSEQ_TIMEOUT 0x10000UL
#define LWIP_TCP_KEEPALIVE 1
#define LWIP_TCP_PCB_NUM_EXT_ARGS 1
#define TCP_LISTEN_BACKLOG 1
#define TCP_DEFAULT_LISTEN_BACKLOG 0xff
#define SO_REUSE 0
#define LWIP_EVENT_API 0
#define LWIP_CALLBACK_API 1
#define LWIP_ALTCP 0

/* ---- Checksums: all in software, verified on the way in; the function is ours (checksum.c). What a virtual link left
 * unfinished is not verified: then the interface's flags say so for one packet (unfinished_checksum.cpp). ---- */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define CHECKSUM_GEN_IP 1
#define CHECKSUM_GEN_UDP 1
#define CHECKSUM_GEN_TCP 1
#define CHECKSUM_GEN_ICMP 1
#define CHECKSUM_GEN_ICMP6 1
#define CHECKSUM_CHECK_IP 1
#define CHECKSUM_CHECK_UDP 1
#define CHECKSUM_CHECK_TCP 1
#define CHECKSUM_CHECK_ICMP 1
#define CHECKSUM_CHECK_ICMP6 1

/* ---- Counters: per stack, 32 bits; malformed frames show up in them ---- */
#define LWIP_STATS 1
#define LWIP_STATS_LARGE 1
#define LWIP_STATS_DISPLAY 0
#define LINK_STATS 1
#define ETHARP_STATS 1
#define IP_STATS 1
#define IPFRAG_STATS 1
#define ICMP_STATS 1
#define IGMP_STATS 0
#define UDP_STATS 1
#define TCP_STATS 1
#define IP6_STATS 1
#define ICMP6_STATS 1
#define IP6_FRAG_STATS 1
#define MLD6_STATS 1
#define ND6_STATS 1
#define MEM_STATS 0
#define MEMP_STATS 0
#define SYS_STATS 0

/* tandem_hook_tcp_isn() chooses initial sequence numbers (RFC 6528). */
#define LWIP_HOOK_TCP_ISN tandem_hook_tcp_isn

#endif
