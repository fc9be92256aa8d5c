// SPDX-License-Identifier: BSD-3-Clause
//
// Rules: beyond-window, ack-ignored, seq-skipped, fin-moved, data-after-fin, sent-after-reset, unasked-fin, bytes-changed,
// reset-inexact, unasked-reset.
#include <algorithm>
#include <cstdio>

#include "judge.hpp"

namespace tandem::oracle {

namespace {

/// For so long an ACK may be on its way, or lie unread.
constexpr std::uint64_t kUnderWayNs = 200'000'000;

}  // namespace

void Judge::judge_sequence() const {
  if (from.ended_by_reset && options.in_order) {
    violation("sent-after-reset", "a segment follows this host's own RST");
  }
  if (connection.negotiated && to.has_edge && !options.gaps) {
    // A probe of a shut window; the byte stands exactly at the edge.
    const bool probe = tcp.payload_length == 1 && seq == to.edge_max;
    // Linux lets a FIN stand right behind the window, and what follows it has the number after that.
    const std::uint64_t limit = to.edge_max + (from.fin && from.fin_at == to.edge_max ? 1 : 0);
    if (tcp.payload_length > 0 && data_end > to.edge_max && !probe) {
      violation("beyond-window", words("data up to ", from_text(data_end), " goes ", data_end - to.edge_max,
                                       " beyond the window's right edge ", from_text(to.edge_max)));
    } else if (tcp.payload_length == 0 && seq > limit) {
      violation("beyond-window", words("stands at ", from_text(seq), ", beyond the window's right edge ",
                                       from_text(to.edge_max), "; Linux drops it, and the ACK with it"));
    }
  }
  // A peer whose window opens as a probe of one byte arrives takes it; until its ACK is read, the edge is where the probe stood.
  const bool probe_just_taken = from.probed && seq == from.probe_at && to.ack_max == seq + 1 &&
                                from.probe_taken_ns != 0 && now_ns - from.probe_taken_ns < kUnderWayNs;
  // A segment of the peer's that was overtaken, of the same numbers as a later one (RFC 9293 section 3.10.7.4), moves the edge back.
  const bool edge_went_back =
      to.edge_gone_back_ns != 0 && seq == to.edge_gone_back && now_ns - to.edge_gone_back_ns < kUnderWayNs;
  if (is_pure_ack() && options.in_order && !options.gaps && to.acks && seq < to.ack_max && !probe_just_taken &&
      !edge_went_back && tells_needed_news()) {
    violation("ack-ignored",
              words("an empty ACK at ", from_text(seq), " tells something new, but the other has everything up to ",
                    from_text(to.ack_max), ": Linux takes no ACK from it"));
  }
  if (options.vantage == Vantage::at_judged && knows_all_of_from() && seq > from.nxt) {
    violation("seq-skipped", words("stands at ", from_text(seq), ", and nothing was sent between ", from_text(from.nxt),
                                   " and there"));
  }
}

void Judge::judge_end_of_stream() const {
  const bool fin = tcp.has(flag::fin);
  if (from.fin) {
    if (fin && data_end != from.fin_at) {
      violation("fin-moved", words("FIN at ", from_text(data_end), ", and before at ", from_text(from.fin_at)));
    } else if (tcp.payload_length > 0 && data_end > from.fin_at) {
      violation("data-after-fin",
                words("data up to ", from_text(data_end), " follows the FIN at ", from_text(from.fin_at)));
    }
    return;
  }
  if (!fin) return;
  // Empty segments do not tell: one that was sent after the FIN may have overtaken it.
  if (data_end < from.data_max) {
    violation("fin-moved",
              words("FIN at ", from_text(data_end), ", before data that was sent up to ", from_text(from.data_max)));
  }
  if (options.may_end) {
    const FlowKey& key = connection.key;
    const Ending ending{Ending::Kind::fin,    now_ns,
                        key.host[from_index], key.host[1 - from_index],
                        key.port[from_index], key.port[1 - from_index]};
    if (!options.may_end(ending))
      violation("unasked-fin", words("a FIN at ", from_text(data_end), " that nobody asked for"));
  }
}

void Judge::judge_bytes() {
  // Data in a SYN (fast open) stands behind it.
  const std::uint64_t at = seq + (tcp.has(flag::syn) ? 1 : 0);
  const auto bytes = tcp.payload.first(std::min<std::size_t>(tcp.payload.size(), tcp.payload_length));
  if (const auto differs = from.history.see(at, bytes, to.acks ? std::min(to.ack_max, at) : at)) {
    char now[8];
    std::snprintf(now, sizeof(now), "0x%02x", bytes[*differs - at]);
    violation("bytes-changed",
              words("the byte at ", from_text(*differs), " is ", now, ", and was sent as another one before"));
  }
}

void Judge::judge_reset() const {
  if (options.may_end) {
    const FlowKey& key = connection.key;
    const Ending ending{Ending::Kind::reset,  now_ns,
                        key.host[from_index], key.host[1 - from_index],
                        key.port[from_index], key.port[1 - from_index]};
    if (!options.may_end(ending))
      violation("unasked-reset", words("an RST at ", from_text(seq), " that nobody asked for"));
  }
  if (options.gaps || !to.known) return;
  // One that answers a segment without ACK: the other expects it to acknowledge that.
  if (!to.acks) {
    if (!tcp.has(flag::ack) || (to.settled && (ack > to.nxt || ack <= to.isn))) {
      violation("reset-inexact", words("the RST answers a SYN and does not acknowledge it: ", to_text(ack)));
    }
    return;
  }
  const bool answers = to.has_acknowledged_lately(tcp.seq);
  if (answers || (from.known && seq == from.nxt) || (!from.settled && !answers && !connection.negotiated)) return;
  if (tcp.has(flag::ack) && !connection.synchronized) return;
  violation(
      "reset-inexact",
      words("the RST stands at ", from_text(seq), ", which is neither the end of what was sent, ", from_text(from.nxt),
            ", nor a number that the other has acknowledged: it draws a challenge ACK at most (RFC 5961 section 3.2)"));
}

}  // namespace tandem::oracle
