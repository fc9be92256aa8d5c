// SPDX-License-Identifier: BSD-3-Clause
//
// TIME-WAIT has a bound of its own, and a new connection between the same ends need not wait for its end.
#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"
#include "tandem/planted.hpp"

namespace tandem {

bool Stack::Impl::end_time_wait(Connection::Impl& connection) {
  if (connection.handler != nullptr) {
    // It still reads what came before the peer's FIN. The SYN comes again.
    return false;
  }
  // RFC 1122 section 4.2.2.13: the new connection's numbers begin above all that the old one used.
  constexpr std::uint32_t kDistance = 65536;
  if (!TANDEM_PLANTED(old_numbers_again)) least_iss = connection.pcb->snd_nxt + kDistance;
  ++counters.time_wait_reused;
  tcp_ext_arg_set(connection.pcb, ext_arg_id, nullptr);
  connection.pcb = nullptr;
  connection.finish(false);
  return true;
}

void Stack::Impl::evict_time_wait() {
  if (!dormant && tandem_tcp_time_wait_count() > options.limits.time_wait) {
    counters.time_wait_evicted += tandem_tcp_evict_time_wait(static_cast<u32_t>(options.limits.time_wait));
  }
}

}  // namespace tandem
