// SPDX-License-Identifier: BSD-3-Clause
//
// lwIP's timers, driven by the owner's clock. TCP's ticks are the multiples of their interval on that clock, not times since the
// start: a promoted process goes on in the same rhythm with the same tick numbers, so no timeout starts afresh.
#include <algorithm>
#include <limits>

#include "lwip.hpp"
#include "stack_impl.hpp"
#include "tandem/stop_point.hpp"

namespace tandem {

namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kTcpFastNs = kTcpFastMs * kMs;
constexpr std::uint64_t kTcpSlowNs = kTcpTickMs * kMs;
constexpr std::uint64_t kSlowNs = 1000 * kMs;
constexpr std::uint64_t kMldNs = MLD6_TMR_INTERVAL * kMs;
constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

std::uint64_t next_multiple(std::uint64_t now, std::uint64_t interval) { return (now / interval + 1) * interval; }

bool reports_are_due(netif& interface) {
  for (const mld_group* group = netif_mld6_data(&interface); group != nullptr; group = group->next) {
    if (group->timer > 0) {
      return true;
    }
  }
  return false;
}

}  // namespace

static_assert(IP_TMR_INTERVAL == 1000 && IP6_REASS_TMR_INTERVAL == 1000);

void Stack::Impl::start_timers() {
  const auto now = now_ns();
  tcp_ticks = static_cast<u32_t>(now / kTcpSlowNs);
  tcp_tick_ns = next_multiple(now, kTcpFastNs);
  slow_tick_ns = next_multiple(now, kSlowNs);
  mld_tick_ns = next_multiple(now, kMldNs);
}

void Stack::Impl::catch_up() {
  if (!clock_is_stale) {
    return;
  }
  const auto now = now_ns();
  tcp_ticks = static_cast<u32_t>(now / kTcpSlowNs);
  if (tcp_active_pcbs == nullptr && now >= tcp_tick_ns) {
    // Nobody has waited for the ticks in between, and whoever begins now waits for none of them.
    tcp_tick_ns = next_multiple(now, kTcpFastNs);
  }
}

void Stack::Impl::run_timers() {
  if (dormant) {
    return;
  }
  clock_is_stale = true;
  const auto now = now_ns();
  in_timers = true;
  if (now >= tcp_tick_ns) {
    // After a pause the ticks in between are not made up for: the peer's answers lie in the ring unread, and every
    // retransmission timer would run out before they are looked at.
    const bool slow =
        tcp_tick_ns / kTcpSlowNs != (tcp_tick_ns - kTcpFastNs) / kTcpSlowNs || now - tcp_tick_ns >= kTcpFastNs;
    tcp_tick_ns = next_multiple(now, kTcpFastNs);
    // While nothing can leave, no peer is late.
    if (link.up) {
      tcp_fasttmr();
    }
    if (slow && link.up) {
      tcp_ticks = static_cast<u32_t>(now / kTcpSlowNs) - 1;
      tcp_slowtmr();
    }
    give_up_silent_closes();
  }
  TANDEM_STEP("timers.tcp");
  if (now >= slow_tick_ns) {
    slow_tick_ns = next_multiple(now, kSlowNs);
    ip_reass_tmr();
    ip6_reass_tmr();
  }
  if (now >= mld_tick_ns) {
    mld_tick_ns = next_multiple(now, kMldNs);
    mld6_tmr();
  }
  in_timers = false;
  neighbours.run_due(now);
  announce_if_due();
  run_kicks();
  link_for_a_turn();
  settle();
}

std::uint64_t Stack::Impl::next_timer_ns() {
  if (dormant) {
    return kNever;
  }
  if (urgent.size() + idle.size() != 0) {
    return 0;
  }
  std::uint64_t next = std::min({slow_tick_ns, next_kick_ns(), neighbours.next_due_ns(), next_announcement_ns()});
  if (link.up && (tcp_active_pcbs != nullptr || tcp_tw_pcbs != nullptr)) {
    next = std::min(next, tcp_tick_ns);
  }
  if (reports_are_due(netifs.front())) {
    next = std::min(next, mld_tick_ns);
  }
  return next;
}

}  // namespace tandem
