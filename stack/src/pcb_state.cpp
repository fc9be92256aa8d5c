// SPDX-License-Identifier: BSD-3-Clause
//
// Between struct tcp_pcb and TcpState. Whatever a connection's future depends on stands in one of the two directions here:
// state() reads it, link() makes a pcb that goes on as if nothing had happened.
#include <algorithm>
#include <cstring>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"
#include "tandem/planted.hpp"

namespace tandem {

namespace {

// lwIP keeps the smoothed round-trip time as eighths and its variance as quarters of a tick (RFC 6298).
std::int32_t srtt_ms_of(s16_t sa) { return sa * static_cast<std::int32_t>(kTcpTickMs) / 8; }
std::int32_t rttvar_ms_of(s16_t sv) { return sv * static_cast<std::int32_t>(kTcpTickMs) / 4; }

s16_t ticks_of(std::int64_t ms, int scale) {
  const std::int64_t scaled = (ms * scale + kTcpTickMs / 2) / kTcpTickMs;
  return static_cast<s16_t>(std::clamp<std::int64_t>(scaled, 0, 0x7fff));
}

/// A time on the stack's clock from a tick of lwIP's, and never the value that means "none".
std::uint32_t clock_ms_of_tick(std::uint32_t tick) { return std::max(tick * kTcpTickMs, 1U); }

std::uint32_t flags_of(const tcp_pcb& pcb) {
  constexpr struct {
    unsigned lwip;
    std::uint32_t ours;
  } kFlags[] = {
      {TF_NODELAY, tcp_flag::kNoDelay},      {TF_WND_SCALE, tcp_flag::kWindowScale},
      {TF_TIMESTAMP, tcp_flag::kTimestamps}, {TF_SACK, tcp_flag::kSack},
      {TF_FIN, tcp_flag::kFinQueued},        {TF_ACK_DELAY | TF_ACK_NOW, tcp_flag::kAckPending},
      {TF_INFR, tcp_flag::kFastRecovery},    {TF_RTO, tcp_flag::kRtoRecovery},
      {TF_RXCLOSED, tcp_flag::kReadClosed},
  };
  std::uint32_t flags = 0;
  for (const auto& flag : kFlags) {
    flags |= (pcb.flags & flag.lwip) != 0 ? flag.ours : 0;
  }
  return flags;
}

tcpflags_t lwip_flags_of(std::uint32_t flags, bool exact) {
  tcpflags_t out = 0;
  const auto take = [&](std::uint32_t ours, unsigned lwip) {
    if ((flags & ours) != 0) {
      out = static_cast<tcpflags_t>(out | lwip);
    }
  };
  take(tcp_flag::kNoDelay, TF_NODELAY);
  take(tcp_flag::kWindowScale, TF_WND_SCALE);
  take(tcp_flag::kTimestamps, TF_TIMESTAMP);
  take(tcp_flag::kSack, TF_SACK);
  take(tcp_flag::kReadClosed, TF_RXCLOSED);
  if (!TANDEM_PLANTED(ack_forgotten)) {
    take(tcp_flag::kAckPending, TF_ACK_NOW);
  }
  if (exact) {
    take(tcp_flag::kFastRecovery, TF_INFR);
    take(tcp_flag::kRtoRecovery, TF_RTO | TF_RECOVER);
  }
  return out;
}

/// Moves what was built on `unsent` to `unacked`: it has left already.
void mark_all_sent(tcp_pcb& pcb) {
  pcb.unacked = pcb.unsent;
  pcb.unsent = nullptr;
  pcb.unsent_oversize = 0;
  tcp_find_tails(&pcb);
}

std::uint32_t initial_cwnd(const tcp_pcb& pcb) {
  // RFC 6928: ten segments, at most 14,600 bytes but two segments in any case.
  const std::uint32_t mss = pcb.mss;
  return std::min(10 * mss, std::max(2 * mss, 14600U));
}

}  // namespace

std::uint32_t Connection::Impl::requests() const {
  return (close_requested ? tcp_flag::kCloseRequested : 0) | (half_closed ? tcp_flag::kHalfClosed : 0) |
         (abort_requested ? tcp_flag::kAbortRequested : 0) | (eof_delivered ? tcp_flag::kEofTold : 0) |
         (closed_delivered ? tcp_flag::kClosedTold : 0) | (connected ? tcp_flag::kConnectedTold : 0);
}

TcpState Connection::Impl::state() const {
  if (pcb == nullptr) {
    TcpState last = shown;
    last.flags |= requests();
    if (gone) {
      last.phase = TcpPhase::closed;
    }
    return last;
  }
  const tcp_pcb& p = *pcb;
  TcpState s;
  s.local = local;
  s.remote = remote;
  s.phase = phase_of(p);
  s.snd_scale = p.snd_scale;
  s.rcv_scale = p.rcv_scale;
  s.ttl = p.ttl;
  s.tos = p.tos;
  s.priority = p.prio;
  s.retransmissions = p.nrtx;
  s.dupacks = p.dupacks;
  s.flags = flags_of(p) | (fin_received ? tcp_flag::kFinReceived : 0) |
            (ip_get_option(pcb, SOF_KEEPALIVE) ? tcp_flag::kKeepalive : 0) | (active_open ? tcp_flag::kActiveOpen : 0) |
            requests();
  s.iss = iss;
  // A simultaneous open knows the peer's number before it is connected.
  s.irs = p.state == SYN_RCVD ? p.rcv_nxt - 1 : irs;
  s.snd_una = p.lastack;
  s.snd_nxt = p.snd_nxt;
  s.write_seq = seq_of_position(send.end()) + ((p.flags & TF_FIN) != 0 ? 1U : 0U);
  s.snd_wnd = p.snd_wnd;
  s.snd_wnd_max = p.snd_wnd_max;
  s.snd_wl1 = p.snd_wl1;
  s.snd_wl2 = p.snd_wl2;
  s.rcv_nxt = p.rcv_nxt;
  s.rcv_wnd = tcp_rcv_wnd_room(pcb);
  s.rcv_right_edge = p.rcv_ann_right_edge;
  s.cwnd = p.cwnd;
  s.ssthresh = p.ssthresh;
  s.rto_end = p.rto_end;
  s.ts_recent = p.ts_recent;
  s.ts_last_ack_sent = p.ts_lastacksent;
  s.keep_idle_ms = p.keep_idle;
  s.keep_interval_ms = p.keep_intvl;
  s.keep_count = p.keep_cnt;
  s.srtt_ms = srtt_ms_of(p.sa);
  s.rttvar_ms = rttvar_ms_of(p.sv);
  s.rto_ms = static_cast<std::uint32_t>(p.rto) * kTcpTickMs;
  s.mss = p.mss;
  s.persist_backoff = p.persist_backoff;
  s.bytes_written = send.end();
  s.bytes_acked = acked;
  s.bytes_received = received;
  s.bytes_consumed = consumed;
  if (p.unsent != nullptr && seq_before(seq_of(*p.unsent), p.snd_nxt)) {
    const auto first = seq_of(*p.unsent);
    s.rexmit_bytes = p.snd_nxt - (seq_before(first, p.lastack) ? p.lastack : first);
  }
  s.rtx_started_ms = p.rtime < 0 ? 0 : clock_ms_of_tick(tcp_ticks - static_cast<std::uint32_t>(p.rtime));
  s.last_heard_ms = clock_ms_of_tick(p.tmr);
  s.ts_val = ts_val;
  return s;
}

std::vector<OutOfOrderPiece> Connection::Impl::out_of_order_pieces() const {
  if (pcb == nullptr) {
    return out_of_order.pieces(shown.rcv_nxt);
  }
  std::vector<OutOfOrderPiece> pieces;
  for (const tcp_seg* segment = pcb->ooseq; segment != nullptr; segment = segment->next) {
    OutOfOrderPiece piece;
    piece.seq = segment->tcphdr->seqno;
    piece.fin = (TCPH_FLAGS(segment->tcphdr) & TCP_FIN) != 0;
    piece.bytes.resize(segment->len);
    pbuf_copy_partial(segment->p, piece.bytes.data(), segment->len, 0);
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

ConnectionImage Connection::Impl::image() const {
  ConnectionImage image;
  image.state = state();
  image.service = service;
  image.send_queue.reserve(static_cast<std::size_t>(send.end() - acked));
  send.visit(acked, send.end(),
             [&](Bytes piece) { image.send_queue.insert(image.send_queue.end(), piece.begin(), piece.end()); });
  const Bytes left = unread();
  image.receive_queue.assign(left.begin(), left.end());
  image.out_of_order = out_of_order_pieces();
  return image;
}

void Connection::Impl::adopt_state(const TcpState& s) {
  local = s.local;
  remote = s.remote;
  iss = s.iss;
  irs = s.irs;
  acked = fed = s.bytes_acked;
  received = s.bytes_received;
  consumed = s.bytes_consumed;
  ts_val = s.ts_val;
  active_open = (s.flags & tcp_flag::kActiveOpen) != 0;
  close_requested = (s.flags & tcp_flag::kCloseRequested) != 0;
  half_closed = (s.flags & tcp_flag::kHalfClosed) != 0;
  abort_requested = (s.flags & tcp_flag::kAbortRequested) != 0;
  fin_received = (s.flags & tcp_flag::kFinReceived) != 0;
  eof_delivered = (s.flags & tcp_flag::kEofTold) != 0;
  closed_delivered = (s.flags & tcp_flag::kClosedTold) != 0;
  connected = (s.flags & tcp_flag::kConnectedTold) != 0;
  shown = s;
  stack.note_time_wait(*this, s.phase == TcpPhase::time_wait);
  stack.note_live(*this, s.phase >= TcpPhase::established && s.phase != TcpPhase::time_wait);
}

bool Connection::Impl::link(Stack::Adoption adoption) {
  const TcpState& s = shown;
  const bool exact = adoption != Stack::Adoption::kicked;
  tcp_pcb* const p = tcp_alloc(s.priority);
  if (p == nullptr) {
    return false;
  }
  p->local_ip = to_lwip(s.local.address);
  p->remote_ip = to_lwip(s.remote.address);
  stack.add_zone(p->local_ip);
  stack.add_zone(p->remote_ip);
  p->local_port = s.local.port;
  p->remote_port = s.remote.port;
  p->ttl = s.ttl;
  p->tos = s.tos;
  p->mss = s.mss;
  p->flags = lwip_flags_of(s.flags, exact);
  if ((s.flags & tcp_flag::kKeepalive) != 0) {
    ip_set_option(p, SOF_KEEPALIVE);
  }
  p->keep_idle = s.keep_idle_ms;
  p->keep_intvl = s.keep_interval_ms;
  p->keep_cnt = s.keep_count;
  p->snd_scale = s.snd_scale;
  p->rcv_scale = s.rcv_scale;
  p->rcv_nxt = s.rcv_nxt;
  const auto max_window = TCP_WND_MAX(p);
  p->rcv_wnd = max_window - static_cast<tcpwnd_size_t>(std::min<std::uint64_t>(received - consumed, max_window));
  p->rcv_ann_right_edge = s.rcv_right_edge;
  p->rcv_ann_wnd = seq_before(s.rcv_nxt, s.rcv_right_edge) ? s.rcv_right_edge - s.rcv_nxt : 0;
  if (TANDEM_PLANTED(edge_shrunk)) {
    constexpr tcpwnd_size_t kBytes = 4096;
    p->rcv_wnd -= std::min(p->rcv_wnd, kBytes);
    p->rcv_ann_wnd -= std::min(p->rcv_ann_wnd, kBytes);
    p->rcv_ann_right_edge = p->rcv_nxt + p->rcv_ann_wnd;
  }
  if (s.phase == TcpPhase::syn_sent) {
    p->rcv_ann_wnd = tcp_rcv_wnd_room(p);
  }
  p->ts_recent = s.ts_recent;
  p->ts_lastacksent = s.ts_last_ack_sent;
  p->snd_wnd = TANDEM_PLANTED(window_misjudged) ? s.snd_wnd_max : s.snd_wnd;
  p->snd_wnd_max = s.snd_wnd_max;
  p->snd_wl1 = exact ? s.snd_wl1 : s.rcv_nxt - 1;
  p->snd_wl2 = exact ? s.snd_wl2 : s.snd_una;
  p->lastack = p->snd_lbb = p->snd_nxt = s.snd_una;
  p->sa = ticks_of(s.srtt_ms, 8);
  p->sv = ticks_of(s.rttvar_ms, 4);
  p->rto = std::max<s16_t>(ticks_of(s.rto_ms, 1), 1);
  p->ssthresh = std::max(s.ssthresh, 2U * s.mss);
  p->cwnd = exact ? std::max(s.cwnd, std::uint32_t{1}) : std::max(initial_cwnd(*p), std::uint32_t{1});
  if (exact) {
    p->nrtx = s.retransmissions;
    p->dupacks = s.dupacks;
    p->rto_end = s.rto_end;
    const auto silent_ticks = (stack.now_ms() - s.last_heard_ms) / kTcpTickMs;
    p->tmr = s.last_heard_ms == 0 ? tcp_ticks : tcp_ticks - silent_ticks;
  }
  // TSval goes on above the last one even if this clock is behind the other.
  const auto behind = static_cast<std::int32_t>(s.ts_val - stack.now_ms());
  ts_offset = s.ts_val != 0 && behind >= 0 ? static_cast<std::uint32_t>(behind) + 1 : 0;

  if (TANDEM_PLANTED(timestamps_back)) {
    constexpr std::uint32_t kMs = 50;
    ts_offset = 0U - kMs;
  }
  if (TANDEM_PLANTED(fin_forgotten)) {
    fin_received = false;
  }

  pcb = p;
  fed = acked;
  if (!import_send_side(s, exact && stack.neighbours.was_reached(remote.address)) || !import_out_of_order()) {
    // Memory is short. Half a connection would forget what it has promised: it stays dormant and is tried again.
    p->state = ESTABLISHED;  // of a closed one nothing is given back
    tcp_pcb_purge(p);
    memp_free(MEMP_TCP_PCB, p);
    pcb = nullptr;
    fed = acked;
    return false;
  }
  p->state = lwip_state_of(s.phase);
  if (s.phase == TcpPhase::syn_rcvd && !active_open) {
    p->listener = stack.listener_pcb_for(s.local);
  }
  if (TANDEM_PLANTED(ack_beyond_window) && connected) {
    p->snd_nxt = s.write_seq;
  }
  out_of_order.clear();
  stack.attach(*this, *p);
  tandem_tcp_link(p);
  if (listed) {
    stack.unlist_dormant(*this);
  }
  return true;
}

bool Connection::Impl::import_send_side(const TcpState& s, bool exact) {
  tcp_pcb& p = *pcb;
  const bool fin_queued = (s.flags & tcp_flag::kFinQueued) != 0;
  bool complete = true;
  if (s.phase == TcpPhase::syn_sent || s.phase == TcpPhase::syn_rcvd) {
    p.state = lwip_state_of(s.phase);
    complete = tcp_enqueue_flags(&p, s.phase == TcpPhase::syn_sent ? TCP_SYN : TCP_SYN | TCP_ACK) == ERR_OK;
    if (exact && s.snd_nxt == p.snd_lbb && s.rexmit_bytes == 0) {
      mark_all_sent(p);
    }
    p.snd_nxt = p.snd_lbb;
  } else if (s.snd_una == s.write_seq) {
    // Nothing is outstanding and nothing waits; a FIN of ours is acknowledged.
    p.snd_nxt = p.snd_lbb = s.write_seq;
  } else {
    p.state = ESTABLISHED;
    const std::uint32_t sent_end = exact ? s.snd_nxt - s.rexmit_bytes : s.snd_una;
    const auto feed_until = [&](std::uint64_t position) {
      while (fed < position) {
        const Bytes run = send.contiguous(fed);
        const auto count = std::min<std::uint64_t>({run.size(), position - fed, 0x8000});
        if (tcp_write(&p, run.data(), static_cast<u16_t>(count), TCP_WRITE_FLAG_MORE) != ERR_OK) {
          // What its queue has no room for follows later.
          complete = complete && (p.snd_buf < count || p.snd_queuelen >= TCP_SND_QUEUELEN);
          return;
        }
        fed += count;
      }
    };
    const auto in_flight = sent_end - s.snd_una;
    feed_until(std::min(acked + in_flight, send.end()));
    if (fin_queued && sent_end == s.write_seq && in_flight != 0) {
      complete = tcp_enqueue_flags(&p, TCP_FIN) == ERR_OK && complete;
    }
    if (in_flight != 0) {
      mark_all_sent(p);
    }
    if (!exact) {
      // All that may have left waits on the queue: the answer to the kick says from where on it is needed.
      feed_until(std::min(acked + (s.snd_nxt - s.snd_una), send.end()));
    } else if (s.rexmit_bytes != 0) {
      feed_until(std::min(acked + (s.snd_nxt - s.snd_una), send.end()));
    }
    if (fin_queued && (p.flags & TF_FIN) == 0) {
      feed_until(send.end());
      complete = tcp_enqueue_flags(&p, TCP_FIN) == ERR_OK && complete;
    }
    p.snd_nxt = s.snd_nxt;
    if (!exact && s.snd_nxt != s.snd_una) {
      tcp_set_flags(&p, TF_RTO | TF_RECOVER);
      p.rto_end = s.snd_nxt;
    }
  }
  if (fin_queued) {
    tcp_set_flags(&p, TF_FIN);
  }
  if (p.unacked != nullptr) {
    const auto waited_ticks = s.rtx_started_ms == 0 ? 0 : (stack.now_ms() - s.rtx_started_ms) / kTcpTickMs;
    p.rtime = static_cast<s16_t>(std::min<std::uint32_t>(waited_ticks, static_cast<std::uint32_t>(p.rto)));
    p.rtime = TANDEM_PLANTED(timer_lost) ? s16_t{-1} : p.rtime;
  } else if (exact && p.unsent != nullptr) {
    p.persist_backoff = s.persist_backoff;
  }
  return complete;
}

bool Connection::Impl::import_out_of_order() {
  tcp_seg** tail = &pcb->ooseq;
  u8_t sacks = 0;
  for (const auto& piece : out_of_order.pieces(shown.rcv_nxt)) {
    if (piece.bytes.size() > 0xffff - TCP_HLEN) {
      break;
    }
    auto* const segment = static_cast<tcp_seg*>(memp_malloc(MEMP_TCP_SEG));
    const auto length = static_cast<u16_t>(piece.bytes.size());
    pbuf* const data = pbuf_alloc(PBUF_RAW, static_cast<u16_t>(TCP_HLEN + length), PBUF_RAM);
    if (segment == nullptr || data == nullptr) {
      memp_free(MEMP_TCP_SEG, segment);
      if (data != nullptr) {
        pbuf_free(data);
      }
      return false;
    }
    *segment = {};
    segment->p = data;
    segment->len = length;
    segment->tcphdr = static_cast<tcp_hdr*>(data->payload);
    std::memset(segment->tcphdr, 0, TCP_HLEN);
    segment->tcphdr->seqno = piece.seq;
    TCPH_HDRLEN_FLAGS_SET(segment->tcphdr, TCP_HLEN / 4, piece.fin ? TCP_FIN | TCP_ACK : TCP_ACK);
    pbuf_remove_header(data, TCP_HLEN);
    std::copy(piece.bytes.begin(), piece.bytes.end(), static_cast<std::uint8_t*>(data->payload));
    *tail = segment;
    tail = &segment->next;
    pcb->ooseq_count++;
    if ((pcb->flags & TF_SACK) != 0 && length != 0) {
      if (sacks != 0 && pcb->rcv_sacks[sacks - 1].right == piece.seq) {
        pcb->rcv_sacks[sacks - 1].right += length;
      } else if (sacks < LWIP_TCP_MAX_SACK_NUM) {
        pcb->rcv_sacks[sacks] = {piece.seq, piece.seq + length};
        ++sacks;
      }
    }
  }
  return true;
}

bool Connection::Impl::ensure_linked() {
  return pcb != nullptr || (!gone && !stack.dormant && listed && stack.bring_to_life(*this));
}

}  // namespace tandem
