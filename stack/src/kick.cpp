// SPDX-License-Identifier: BSD-3-Clause
//
// Asking the peer where it stands, after a takeover in which packets may have been lost (design.md section 6, step 7):
//
//   an empty ACK at min(snd_nxt, snd_una + snd_wnd)   acknowledges what we hold and opens the window
//   one old byte at snd_una - 1                       every peer answers it at once, Linux without its rate limit
//
// Data waits for the answer, for a bounded time, and then goes on from its ACK.
#include <algorithm>
#include <cstring>
#include <limits>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"

namespace tandem {

namespace {

constexpr std::uint64_t kFirstIntervalNs = 100'000'000;
constexpr std::uint8_t kMaxKicks = 6;
/// Kicks without an answer after which data no longer waits.
constexpr std::uint8_t kHoldKicks = 2;

bool is_synchronized(const tcp_pcb& pcb) { return pcb.state >= ESTABLISHED && pcb.state != TIME_WAIT; }

void send_old_byte(tcp_pcb& pcb) {
  constexpr std::size_t kTimestampBytes = 12;
  const std::size_t options = (pcb.flags & TF_TIMESTAMP) != 0 ? kTimestampBytes : 0;
  const auto length = static_cast<u16_t>(TCP_HLEN + options + 1);
  pbuf* const packet = pbuf_alloc(PBUF_IP, length, PBUF_RAM);
  if (packet == nullptr) {
    return;
  }
  std::memset(packet->payload, 0, length);
  auto* const header = static_cast<tcp_hdr*>(packet->payload);
  header->src = lwip_htons(pcb.local_port);
  header->dest = lwip_htons(pcb.remote_port);
  header->seqno = lwip_htonl(pcb.lastack - 1);
  header->ackno = lwip_htonl(pcb.rcv_nxt);
  TCPH_HDRLEN_FLAGS_SET(header, (TCP_HLEN + options) / 4, TCP_ACK | TCP_PSH);
  header->wnd = lwip_htons(static_cast<u16_t>(std::min<u32_t>(RCV_WND_SCALE(&pcb, pcb.rcv_ann_wnd), 0xffff)));
  if (options != 0) {
    const u32_t words[3] = {lwip_htonl(0x0101080a), lwip_htonl(tandem_hook_tcp_tsval(&pcb)), lwip_htonl(pcb.ts_recent)};
    std::memcpy(header + 1, words, sizeof words);
  }
  header->chksum = ip_chksum_pseudo(packet, IP_PROTO_TCP, length, &pcb.local_ip, &pcb.remote_ip);
  if (netif* const interface = ip_route(&pcb.local_ip, &pcb.remote_ip)) {
    ip_output_if(packet, &pcb.local_ip, &pcb.remote_ip, pcb.ttl, pcb.tos, IP_PROTO_TCP, interface);
  }
  pbuf_free(packet);
}

}  // namespace

void Stack::Impl::kick(Connection::Impl& connection) {
  tcp_pcb& pcb = *connection.pcb;
  if (!is_synchronized(pcb)) {
    // SYN-SENT and SYN-RECEIVED repeat what waits on their queue; TIME-WAIT only answers.
    connection.flush();
    return;
  }
  connection.kick_hold = true;
  connection.kick_answered = false;
  connection.kicks_sent = 1;
  connection.kick_next_ns = now_ns() + kFirstIntervalNs;
  kicking.push_back(&connection);
  tcp_send_empty_ack(&pcb);
  send_old_byte(pcb);
}

void Stack::Impl::run_kicks() {
  if (kicking.empty()) {
    return;
  }
  const auto now = now_ns();
  std::erase_if(kicking, [&](Connection::Impl* connection) {
    if (connection->gone || connection->pcb == nullptr || !is_synchronized(*connection->pcb)) {
      return true;
    }
    if (connection->kick_answered) {
      connection->flush();
      return true;
    }
    if (now < connection->kick_next_ns) {
      return false;
    }
    tcp_send_empty_ack(connection->pcb);
    send_old_byte(*connection->pcb);
    connection->kick_next_ns = now + (kFirstIntervalNs << connection->kicks_sent);
    if (++connection->kicks_sent > kHoldKicks) {
      connection->kick_hold = false;
      connection->flush();
    }
    return connection->kicks_sent >= kMaxKicks;
  });
}

std::uint64_t Stack::Impl::next_kick_ns() const {
  std::uint64_t next = std::numeric_limits<std::uint64_t>::max();
  for (const auto* const connection : kicking) {
    next = std::min(next, connection->kick_answered ? 0 : connection->kick_next_ns);
  }
  return next;
}

}  // namespace tandem
