/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the hooks of tandem_lwip_hooks.h do as long as nobody else defines them.
 */
#include "tandem_lwip_hooks.h"
#include "tandem_tcp_demux.h"

#include "lwip/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define WEAK __attribute__((weak))

WEAK void tandem_hook_tcp_touched(struct tcp_pcb* pcb) { tandem_tcp_arm(pcb); }

WEAK void tandem_hook_tcp_out_of_order(struct tcp_pcb* pcb, u32_t seqno, struct pbuf* data, u8_t fin) {
  (void)pcb;
  (void)seqno;
  (void)data;
  (void)fin;
}

WEAK struct tcp_pcb* tandem_hook_tcp_lookup(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote,
                                            u16_t remote_port) {
  (void)local;
  (void)local_port;
  (void)remote;
  (void)remote_port;
  return NULL;
}

WEAK u32_t tandem_hook_tcp_isn(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote, u16_t remote_port) {
  (void)local;
  (void)local_port;
  (void)remote;
  (void)remote_port;
  return (u32_t)tandem_hook_random();
}

WEAK u32_t tandem_hook_tcp_tsval(const struct tcp_pcb* pcb) {
  (void)pcb;
  return sys_now();
}

WEAK unsigned tandem_hook_random(void) {
  unsigned value;
  /* Cannot fail for so few bytes on any kernel that this library runs on; without randomness nothing may go on. */
  if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value) {
    abort();
  }
  return value;
}

WEAK int tandem_hook_tcp_may_answer(const struct tcp_pcb* pcb) {
  (void)pcb;
  return 1;
}

WEAK int tandem_hook_tcp_is_active_open(const struct tcp_pcb* pcb) {
  (void)pcb;
  return 0;
}

WEAK int tandem_hook_tcp_admit(const struct tcp_pcb_listen* listener) {
  (void)listener;
  return TANDEM_SYN_KEEP;
}

WEAK uint64_t tandem_hook_tcp_cookie_hash(const struct tandem_tcp_syn* syn, u32_t period, u32_t data) {
  (void)syn;
  (void)period;
  (void)data;
  return 0;
}

WEAK u32_t tandem_hook_tcp_cookie_period(void) { return 0; }

WEAK int tandem_hook_tcp_takes_cookies(void) { return 0; }

WEAK int tandem_hook_tcp_is_flooded(void) { return 0; }

WEAK int tandem_hook_tcp_ends_time_wait(struct tcp_pcb* pcb) {
  (void)pcb;
  return 1;
}

WEAK int tandem_hook_tcp_may_challenge(struct tcp_pcb* pcb) {
  (void)pcb;
  return 1;
}

WEAK int tandem_hook_tcp_may_reset(void) { return 1; }

WEAK int tandem_hook_icmp_may_complain(void) { return 1; }

WEAK int tandem_hook_owns_timers(void) { return 0; }

WEAK int tandem_hook_nd6_input(struct pbuf* message, struct netif* netif) {
  (void)message;
  (void)netif;
  return 0;
}

WEAK u16_t tandem_hook_nd6_path_mtu(const ip6_addr_t* destination) {
  (void)destination;
  return 0;
}

WEAK int tandem_hook_nd6_reachable(const ip6_addr_t* host) {
  (void)host;
  return 0;
}

WEAK const ip_addr_t* tandem_hook_ip6_source(struct netif* netif, const ip6_addr_t* destination) {
  (void)netif;
  (void)destination;
  return NULL;
}

void tandem_lwip_assert_failed(const char* what, const char* file, int line) {
  fprintf(stderr, "lwIP: \"%s\" does not hold (%s:%d)\n", what, file, line);
  fflush(NULL);
  abort();
}
