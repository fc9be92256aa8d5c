/* SPDX-License-Identifier: BSD-3-Clause
 *
 * SYN cookies (RFC 4987, section 3.6): an initial sequence number that says all that a listener has to know of a SYN, so that
 * nothing is kept until the peer's ACK brings it back. Whoever has the secret can read it, so a twin that takes over does.
 *
 *   bits 31 to 8   keyed hash of the two ends, the peer's initial sequence number, the period and the eight bits below
 *   bits 7 to 5    which maximum segment size
 *   bit  4         selective acknowledgements                       these eight are hidden by another keyed hash, so that a
 *   bits 3 to 0    the peer's window scale, 15: none                cookie tells nobody else anything
 *
 * Timestamps need no bit: the ACK has them or has not. A cookie is good in its period and in the next one.
 */
#include "lwip/priv/tcp_priv.h"
#include "tandem_lwip_hooks.h"
#include "tandem_tcp_limits.h"

/* What links have: the smallest that counts, two of tunnels, Ethernet's with and without PPPoE over both versions, and a jumbo
 * frame's. A peer gets the largest that is not above its own. */
static const u16_t kSizes[8] = {TANDEM_TCP_MSS_MIN, 536, 1220, 1360, 1420, 1440, 1460, 8940};

enum { kNoScale = 15, kHides = 0x100 };

static u8_t size_index(u16_t mss) {
  u8_t index = 0;
  while (index + 1U < LWIP_ARRAYSIZE(kSizes) && kSizes[index + 1U] <= mss) {
    ++index;
  }
  return index;
}

static u32_t seal(const struct tandem_tcp_syn* syn, u32_t period, u8_t said) {
  const u8_t hidden = (u8_t)(said ^ tandem_hook_tcp_cookie_hash(syn, period, kHides));
  return ((u32_t)tandem_hook_tcp_cookie_hash(syn, period, said) << 8) | hidden;
}

u32_t tandem_tcp_cookie_make(const struct tcp_pcb* pcb) {
  const struct tandem_tcp_syn syn = {&pcb->local_ip, &pcb->remote_ip, pcb->local_port, pcb->remote_port,
                                     pcb->rcv_nxt - 1};
  const u8_t scale = (pcb->flags & TF_WND_SCALE) != 0 ? pcb->snd_scale : kNoScale;
  const u8_t sack = (pcb->flags & TF_SACK) != 0;
  return seal(&syn, tandem_hook_tcp_cookie_period(), (u8_t)((size_index(pcb->mss) << 5) | (sack << 4) | scale));
}

int tandem_tcp_cookie_read(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote, u16_t remote_port,
                           u32_t irs, u32_t iss, struct tandem_tcp_cookie* out) {
  const struct tandem_tcp_syn syn = {local, remote, local_port, remote_port, irs};
  const u32_t now = tandem_hook_tcp_cookie_period();
  for (u32_t age = 0; age < TANDEM_TCP_COOKIE_PERIODS; ++age) {
    const u8_t said = (u8_t)(iss ^ tandem_hook_tcp_cookie_hash(&syn, now - age, kHides));
    if (seal(&syn, now - age, said) == iss) {
      out->mss = kSizes[said >> 5];
      out->sack = (said >> 4) & 1;
      out->scales = (said & 0xf) != kNoScale;
      out->scale = (u8_t)(out->scales ? said & 0xf : 0);
      return 1;
    }
  }
  return 0;
}
