// SPDX-License-Identifier: BSD-3-Clause
//
// What the patched lwIP asks of us and tells us (tandem_lwip_hooks.h). Always within a StackScope.
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"

namespace {

using tandem::Connection;
using tandem::StackScope;

tandem::IpAddress address_of(const ip6_addr_t& address) {
  tandem::IpAddress out = tandem::IpAddress::any(6);
  std::memcpy(out.octets.data(), address.addr, out.octets.size());
  return out;
}

Connection::Impl* connection_of(const tcp_pcb* pcb) { return static_cast<Connection::Impl*>(pcb->ext_args[0].data); }

}  // namespace

extern "C" {

u32_t sys_now(void) { return StackScope::current().now_ms(); }

void tandem_hook_tcp_touched(tcp_pcb* pcb) {
  tandem_tcp_arm(pcb);
  if (auto* const connection = connection_of(pcb)) {
    connection->kick_answered = connection->kick_answered || connection->stack.in_input;
    connection->stack.last_touched = connection;
    connection->stack.touch(*connection);
    // What we ourselves let out needs no second look.
    if (connection->stack.in_input || connection->stack.in_timers) {
      connection->stack.give_work(*connection);
    }
  }
}

void tandem_hook_tcp_out_of_order(tcp_pcb* pcb, u32_t seqno, pbuf* data, u8_t fin) {
  auto* const connection = connection_of(pcb);
  if (connection == nullptr || !connection->announced || connection->stack.observer == nullptr) {
    return;
  }
  auto& observer = *connection->stack.observer;
  if (data->len == data->tot_len) {
    observer.on_out_of_order(connection->handle, seqno, {static_cast<const std::uint8_t*>(data->payload), data->len},
                             fin != 0);
    return;
  }
  std::vector<std::uint8_t> copy(data->tot_len);
  pbuf_copy_partial(data, copy.data(), data->tot_len, 0);
  observer.on_out_of_order(connection->handle, seqno, copy, fin != 0);
}

tcp_pcb* tandem_hook_tcp_lookup(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote, u16_t remote_port) {
  auto& stack = StackScope::current();
  if (stack.urgent.size() + stack.idle.size() == 0) {
    return nullptr;
  }
  const auto found =
      stack.by_tuple.find({{tandem::from_lwip(*local), local_port}, {tandem::from_lwip(*remote), remote_port}});
  if (found == stack.by_tuple.end()) {
    return nullptr;
  }
  if (!found->second->ensure_linked()) {
    // Memory is short. The connection exists all the same, so no RST may say otherwise; the peer sends its segment again.
    stack.muted_for_input = stack.in_input;
    return nullptr;
  }
  return found->second->pcb;
}

u32_t tandem_hook_tcp_isn(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote, u16_t remote_port) {
  // RFC 6528: a clock of four microseconds plus a keyed hash of the tuple.
  constexpr std::uint64_t kClockNs = 4000;
  auto& stack = StackScope::current();
  const auto bytes =
      tandem::TupleHash::bytes_of({{tandem::from_lwip(*local), local_port}, {tandem::from_lwip(*remote), remote_port}});
  const auto iss = static_cast<u32_t>(stack.now_ns() / kClockNs + tandem::siphash(stack.isn_key, bytes));
  return stack.least_iss && tandem::seq_before(iss, *stack.least_iss) ? *stack.least_iss : iss;
}

u32_t tandem_hook_tcp_tsval(const tcp_pcb* pcb) {
  const auto now = StackScope::current().now_ms();
  auto* const connection = pcb != nullptr ? connection_of(pcb) : nullptr;
  if (connection == nullptr) {
    return now;
  }
  connection->ts_val = now + connection->ts_offset;
  if (connection->ts_val == 0) {
    // A state whose TSval is 0 says that none was sent: whoever takes over right then would go back behind it.
    connection->ts_val = 1;
  }
  return connection->ts_val;
}

int tandem_hook_tcp_may_answer(const tcp_pcb* pcb) {
  // As often as Linux answers such segments. Many that were late would each get an answer else, and two such hosts none of them less.
  constexpr std::uint64_t kEveryNs = 500'000'000;
  auto* const connection = connection_of(pcb);
  if (connection == nullptr) {
    return 1;
  }
  auto& stack = StackScope::current();
  const auto now = stack.now_ns();
  if (now < connection->may_answer_ns) {
    ++stack.counters.challenge_acks_limited;
    return 0;
  }
  connection->may_answer_ns = now + kEveryNs;
  return 1;
}

int tandem_hook_tcp_is_active_open(const tcp_pcb* pcb) {
  const auto* const connection = connection_of(pcb);
  return connection != nullptr && connection->active_open ? 1 : 0;
}

int tandem_hook_tcp_admit(const tcp_pcb_listen* listener) {
  return StackScope::current().admit(*static_cast<const tandem::Listener*>(listener->ext_args[0].data));
}

uint64_t tandem_hook_tcp_cookie_hash(const tandem_tcp_syn* syn, u32_t period, u32_t data) {
  const auto tuple = tandem::TupleHash::bytes_of(
      {{tandem::from_lwip(*syn->local), syn->local_port}, {tandem::from_lwip(*syn->remote), syn->remote_port}});
  const std::array<u32_t, 3> rest{syn->irs, period, data};
  std::array<std::uint8_t, sizeof tuple + sizeof rest> bytes{};
  std::copy(tuple.begin(), tuple.end(), bytes.begin());
  std::memcpy(bytes.data() + sizeof tuple, rest.data(), sizeof rest);
  return tandem::siphash(StackScope::current().cookie_key, bytes);
}

u32_t tandem_hook_tcp_cookie_period(void) {
  auto& stack = StackScope::current();
  return static_cast<u32_t>(stack.now_ns() / stack.cookie_period_ns());
}

int tandem_hook_tcp_takes_cookies(void) {
  auto& stack = StackScope::current();
  return stack.now_ns() < stack.cookies_until_ns ? 1 : 0;
}

int tandem_hook_tcp_is_flooded(void) { return StackScope::current().is_flooded() ? 1 : 0; }

int tandem_hook_tcp_ends_time_wait(tcp_pcb* pcb) {
  auto* const connection = connection_of(pcb);
  return connection == nullptr || connection->stack.end_time_wait(*connection) ? 1 : 0;
}

int tandem_hook_tcp_may_challenge(tcp_pcb* pcb) {
  auto& stack = StackScope::current();
  auto* const connection = connection_of(pcb);
  auto& limited = stack.counters.challenge_acks_limited;
  return (connection == nullptr ||
          stack.may_answer(connection->challenges, stack.options.limits.challenge_acks, limited)) &&
                 stack.may_answer(stack.challenges, stack.options.limits.all_challenge_acks, limited)
             ? 1
             : 0;
}

int tandem_hook_tcp_may_reset(void) {
  auto& stack = StackScope::current();
  return stack.may_answer(stack.resets, stack.options.limits.resets, stack.counters.resets_limited) ? 1 : 0;
}

int tandem_hook_icmp_may_complain(void) {
  auto& stack = StackScope::current();
  return stack.may_answer(stack.icmp_errors, stack.options.limits.icmp_errors, stack.counters.icmp_errors_limited) ? 1
                                                                                                                   : 0;
}

unsigned tandem_hook_random(void) { return StackScope::current().random_value(); }

// Stack::Impl::run_timers. An entry in lwIP's own list would only need memory.
int tandem_hook_owns_timers(void) { return 1; }

int tandem_hook_nd6_input(pbuf* message, netif* /*netif*/) {
  auto& stack = StackScope::current();
  // What came in fragments has no say here (RFC 6980).
  if (message->next == nullptr && stack.input_from) {
    const tandem::wire::NdEnvelope envelope{address_of(*ip6_current_src_addr()), address_of(*ip6_current_dest_addr()),
                                            IP6H_HOPLIM(ip6_current_header())};
    stack.neighbours.icmp_input({static_cast<const std::uint8_t*>(message->payload), message->len}, envelope,
                                *stack.input_from);
  }
  return 1;
}

u16_t tandem_hook_nd6_path_mtu(const ip6_addr_t* destination) {
  // What a router once said counts no longer where the link itself has become narrower.
  auto& stack = StackScope::current();
  return static_cast<u16_t>(
      std::min<std::uint32_t>(stack.neighbours.path_mtu(address_of(*destination)), stack.link.mtu));
}

int tandem_hook_nd6_reachable(const ip6_addr_t* host) {
  StackScope::current().neighbours.confirm(address_of(*host));
  return 1;
}

const ip_addr_t* tandem_hook_ip6_source(netif* netif, const ip6_addr_t* destination) {
  const auto own = StackScope::current().neighbours.next_hops().own_beside(address_of(*destination));
  for (s8_t i = 0; own && i < LWIP_IPV6_NUM_ADDRESSES; ++i) {
    if (ip6_addr_isvalid(netif_ip6_addr_state(netif, i)) && address_of(*netif_ip6_addr(netif, i)) == *own) {
      return netif_ip_addr6(netif, i);
    }
  }
  return nullptr;
}

}  // extern "C"
