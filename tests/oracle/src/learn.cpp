// SPDX-License-Identifier: BSD-3-Clause
//
// What a segment tells about its connection, once it has been judged.
#include <algorithm>

#include "judge.hpp"
#include "sequence.hpp"

namespace tandem::oracle {

namespace {

/// More than any window, so whatever was under way when the capture began has been passed.
constexpr std::uint64_t kSettledBytes = std::uint64_t{1} << 25;
constexpr std::uint64_t kSettledNs = 1'000'000'000;
constexpr std::uint32_t kMostOwedAcks = 100'000;

}  // namespace

void Judge::learn() {
  if (tcp.has(flag::rst)) {
    from.ended_by_reset = connection.synchronized && seq == from.nxt;
    from.reset = true;
    connection.pending[1 - from_index] = {};
    return;
  }
  if (tcp.has(flag::syn)) learn_syn();
  if (!from.known) from.learned_from = from.nxt;
  from.known = true;
  // Scaling rounds windows down, so one that is shut may have let in more before.
  const bool is_shut = to.acks && to.window_last == 0 && seq == to.ack_max;
  if (connection.negotiated && to.has_edge && tcp.payload_length == 1 && (seq == to.edge_max || is_shut)) {
    from.probed = true;
    from.probe_at = seq;
    from.probe_taken_ns = 0;
  }
  const bool is_new = end > from.nxt && tcp.length() > 0;
  from.nxt = std::max(from.nxt, end);
  if (tcp.payload_length > 0) from.data_max = std::max(from.data_max, data_end);
  if (tcp.has(flag::fin) && !from.fin) from.fin = true, from.fin_at = data_end;
  if (tcp.has(flag::ack)) {
    to.nxt = std::max(to.nxt, ack);
    const std::uint64_t window = std::uint64_t{tcp.window} << (tcp.has(flag::syn) ? 0 : from.scale);
    if (connection.negotiated || tcp.has(flag::syn)) {
      from.edge_max = from.has_edge ? std::max(from.edge_max, ack + window) : ack + window;
      from.has_edge = true;
    }
    from.window_max = std::max(from.window_max, window);
    learn_sack();
    from.ack_max = from.acks ? std::max(from.ack_max, ack) : ack;
    from.acks = true;
    if (to.probed && to.probe_taken_ns == 0 && ack > to.probe_at) to.probe_taken_ns = now_ns;
    from.window_last = tcp.window;
    from.remember_ack(tcp.ack);
    connection.synchronized |=
        from.syn.seen && to.syn.seen && to.acks && from.ack_max > to.isn && to.ack_max > from.isn;
  }
  learn_timestamps();
  if (is_new && tcp.options.has_timestamps) from.ts_of_newest = unwrap(from.ts_max, tcp.options.tsval);
  learn_settled();
  if (!options.arrivals) learn_arrival();
}

void Judge::learn_syn() {
  if (!from.syn.seen) {
    from.syn = {true, tcp.has(flag::ack), tcp.seq, tcp.window, tcp.options};
    from.isn = seq;
    from.nxt = seq + 1;
    from.settled = true;
  }
  if (!to.syn.seen || connection.negotiated) return;
  connection.negotiated = true;
  const TcpOptions& one = from.syn.options;
  const TcpOptions& other = to.syn.options;
  if (one.has_scale && other.has_scale) {
    from.scale = std::min<std::uint8_t>(one.scale, 14);
    to.scale = std::min<std::uint8_t>(other.scale, 14);
  }
  connection.timestamps = one.has_timestamps && other.has_timestamps;
  connection.sack_permitted = one.sack_permitted && other.sack_permitted;
  // The window in a SYN counts from the number that its sender did not know yet.
  if (!to.has_edge) {
    to.edge_max = from.isn + 1 + to.syn.window;
    to.has_edge = true;
  }
}

void Judge::learn_timestamps() {
  if (!tcp.options.has_timestamps) return;
  if (!from.has_timestamp) {
    from.has_timestamp = true;
    from.ts_first = from.ts_max = kFirstPosition + tcp.options.tsval;
    return;
  }
  from.ts_max = std::max(from.ts_max, unwrap(from.ts_max, tcp.options.tsval));
}

void Judge::learn_sack() {
  const TcpOptions& said = tcp.options;
  from.blocks_last = said.block;
  from.block_count_last = said.blocks;
  for (std::size_t i = 0; i < said.blocks; ++i) {
    const Range range = block(i);
    if (range.begin > ack && range.begin < range.end && range.end <= to.nxt && !is_duplicate_report(i)) {
      from.sacked.insert(range);
    }
  }
  from.sacked.erase_before(std::max(ack, from.ack_max));
  if (from.sacked.empty()) {
    from.sacked_too_much = false;
  } else if (from.sacked.size() >= 3) {
    from.sacked_too_much = true;
  }
}

void Judge::learn_settled() {
  if (from.settled && to.settled) return;
  if (from.nxt - from.learned_from > kSettledBytes) from.settled = true;
  const bool quiet = from.known && to.known && from.acks && to.acks && from.ack_max == to.nxt && to.ack_max == from.nxt;
  if (!quiet) {
    connection.quiet_since_ns = 0;
  } else if (connection.quiet_since_ns == 0) {
    connection.quiet_since_ns = now_ns;
  } else if (now_ns - connection.quiet_since_ns > kSettledNs) {
    from.settled = to.settled = true;
  }
}

void Judge::learn_arrival() {
  if (!to.judged) return;
  // One that was long under way may draw an RST at its ACK still.
  if (tcp.has(flag::ack)) from.remember_ack(tcp.ack);
  if (tcp.has(flag::ack) && !tcp.has(flag::syn) && connection.negotiated) {
    const std::uint64_t edge = ack + (std::uint64_t{tcp.window} << from.scale);
    if (edge < from.edge_arrived) {
      from.edge_gone_back = edge;
      from.edge_gone_back_ns = now_ns;
    }
    from.edge_arrived = std::max(from.edge_arrived, edge);
  }
  if (tcp.length() > 0) to.owed_acks = std::min(to.owed_acks + 1, kMostOwedAcks);
  if (from.syn.seen && tcp.length() > 0) to.arrived.insert({seq, end});
}

}  // namespace tandem::oracle
