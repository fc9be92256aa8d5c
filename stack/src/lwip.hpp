// SPDX-License-Identifier: BSD-3-Clause
//
// The one place that includes lwIP's headers, and the conversions between its types and ours.
#pragma once

#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/icmp6.h"
#include "lwip/inet_chksum.h"
#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/memp.h"
#include "lwip/mld6.h"
#include "lwip/nd6.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/nd6_priv.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/tcp.h"
#include "lwip/stats.h"
#include "lwip/tcp.h"
#include "lwip/udp.h"
#include "netif/ethernet.h"
#include "tandem/address.hpp"
#include "tandem/tcp_state.hpp"
#include "tandem_lwip_hooks.h"
#include "tandem_stack_state.h"
#include "tandem_tcp_demux.h"
#include "tandem_tcp_limits.h"

namespace tandem {

[[nodiscard]] ip_addr_t to_lwip(const IpAddress& address);
[[nodiscard]] IpAddress from_lwip(const ip_addr_t& address);
[[nodiscard]] TcpPhase phase_of(const tcp_pcb& pcb);
[[nodiscard]] tcp_state lwip_state_of(TcpPhase phase);

/// Milliseconds of one tick of lwIP's slow TCP timer, the unit of its retransmission timer.
inline constexpr std::uint32_t kTcpTickMs = TCP_SLOW_INTERVAL;
inline constexpr std::uint32_t kTcpFastMs = TCP_FAST_INTERVAL;

[[nodiscard]] inline bool seq_before(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

/// Sequence number of a segment on one of the send lists (those are kept in network order).
[[nodiscard]] inline std::uint32_t seq_of(const tcp_seg& segment) { return lwip_ntohl(segment.tcphdr->seqno); }

}  // namespace tandem
