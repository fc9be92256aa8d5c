// SPDX-License-Identifier: BSD-3-Clause
#include "lwip.hpp"

#include <cstring>

namespace tandem {

ip_addr_t to_lwip(const IpAddress& address) {
  ip_addr_t out{};
  if (address.is_v6()) {
    IP_SET_TYPE_VAL(out, IPADDR_TYPE_V6);
    std::memcpy(ip_2_ip6(&out)->addr, address.octets.data(), 16);
    ip6_addr_clear_zone(ip_2_ip6(&out));
  } else {
    IP_SET_TYPE_VAL(out, IPADDR_TYPE_V4);
    std::memcpy(&ip_2_ip4(&out)->addr, address.octets.data(), 4);
  }
  return out;
}

IpAddress from_lwip(const ip_addr_t& address) {
  IpAddress out;
  if (IP_IS_V6_VAL(address)) {
    out.version = 6;
    std::memcpy(out.octets.data(), ip_2_ip6(&address)->addr, 16);
  } else {
    std::memcpy(out.octets.data(), &ip_2_ip4(&address)->addr, 4);
  }
  return out;
}

TcpPhase phase_of(const tcp_pcb& pcb) {
  switch (pcb.state) {
    case CLOSED:
      return TcpPhase::closed;
    case LISTEN:
      return TcpPhase::listen;
    case SYN_SENT:
      return TcpPhase::syn_sent;
    case SYN_RCVD:
      return TcpPhase::syn_rcvd;
    case ESTABLISHED:
      return TcpPhase::established;
    case FIN_WAIT_1:
      return TcpPhase::fin_wait_1;
    case FIN_WAIT_2:
      return TcpPhase::fin_wait_2;
    case CLOSE_WAIT:
      return TcpPhase::close_wait;
    case CLOSING:
      return TcpPhase::closing;
    case LAST_ACK:
      return TcpPhase::last_ack;
    case TIME_WAIT:
      return TcpPhase::time_wait;
  }
  return TcpPhase::closed;
}

tcp_state lwip_state_of(TcpPhase phase) {
  switch (phase) {
    case TcpPhase::closed:
      return CLOSED;
    case TcpPhase::listen:
      return LISTEN;
    case TcpPhase::syn_sent:
      return SYN_SENT;
    case TcpPhase::syn_rcvd:
      return SYN_RCVD;
    case TcpPhase::established:
      return ESTABLISHED;
    case TcpPhase::fin_wait_1:
      return FIN_WAIT_1;
    case TcpPhase::fin_wait_2:
      return FIN_WAIT_2;
    case TcpPhase::close_wait:
      return CLOSE_WAIT;
    case TcpPhase::closing:
      return CLOSING;
    case TcpPhase::last_ack:
      return LAST_ACK;
    case TcpPhase::time_wait:
      return TIME_WAIT;
  }
  return CLOSED;
}

}  // namespace tandem
