// SPDX-License-Identifier: BSD-3-Clause
//
// What the patched lwIP asks of us and tells us (tandem_lwip_hooks.h). Always within a StackScope.
#include <array>
#include <vector>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"

namespace {

using tandem::Connection;
using tandem::StackScope;

Connection::Impl* connection_of(const tcp_pcb* pcb) { return static_cast<Connection::Impl*>(pcb->ext_args[0].data); }

}  // namespace

extern "C" {

u32_t sys_now(void) { return StackScope::current().now_ms(); }

void tandem_hook_tcp_touched(tcp_pcb* pcb) {
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
  return static_cast<u32_t>(stack.now_ns() / kClockNs + tandem::siphash(stack.isn_key, bytes));
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
  const auto now = StackScope::current().now_ns();
  if (now < connection->may_answer_ns) {
    return 0;
  }
  connection->may_answer_ns = now + kEveryNs;
  return 1;
}

unsigned tandem_hook_random(void) { return StackScope::current().random_value(); }

// Stack::Impl::run_timers. An entry in lwIP's own list would only need memory.
int tandem_hook_owns_timers(void) { return 1; }

const ip6_addr_t* tandem_hook_nd6_gateway(netif* /*netif*/, const ip6_addr_t* /*destination*/) {
  const auto& gateway = StackScope::current().gateway6;
  return gateway ? &*gateway : nullptr;
}

}  // extern "C"
