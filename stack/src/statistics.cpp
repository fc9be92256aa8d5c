// SPDX-License-Identifier: BSD-3-Clause
#include "lwip.hpp"
#include "stack_impl.hpp"

namespace tandem {

void Stack::Impl::read_counters() {
  const auto& from = lwip_stats;
  const auto malformed = [](const stats_proto& protocol) {
    return std::uint64_t{protocol.lenerr} + protocol.opterr + protocol.err;
  };
  counters.ip_malformed = malformed(from.ip) + malformed(from.ip6) + malformed(from.ip_frag) + malformed(from.ip6_frag);
  counters.tcp_malformed = from.tcp.lenerr + from.tcp.opterr;
  counters.udp_malformed = from.udp.lenerr;
  counters.icmp_malformed = malformed(from.icmp) + malformed(from.icmp6) + malformed(from.nd6);
  counters.checksum_errors =
      std::uint64_t{from.ip.chkerr} + from.tcp.chkerr + from.udp.chkerr + from.icmp.chkerr + from.icmp6.chkerr;
  neighbours.read_counters(counters);
  counters.segments_in = from.tcp.recv;
  counters.segments_out = from.tcp.xmit;
  counters.time_wait = time_wait_count;
  counters.tcp_steps = tandem_tcp_steps;
}

}  // namespace tandem
