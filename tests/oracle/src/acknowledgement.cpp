// SPDX-License-Identifier: BSD-3-Clause
//
// Rules: ack-unsent, ack-unreceived, ack-backwards, ack-old, edge-withdrawn, ack-storm.
#include "judge.hpp"

namespace tandem::oracle {

bool Judge::tells_news() const {
  if (!from.acks || ack > from.ack_max || tcp.window != from.window_last) return true;
  if (tcp.options.blocks != from.block_count_last) return true;
  for (std::size_t i = 0; i < tcp.options.blocks; ++i) {
    if (!(tcp.options.block[i] == from.blocks_last[i])) return true;
  }
  return false;
}

bool Judge::tells_needed_news() const {
  if (!from.acks || ack > from.ack_max) return true;
  const std::uint64_t edge = ack + (std::uint64_t{tcp.window} << from.scale);
  if (connection.negotiated && from.has_edge && edge > from.edge_max) return true;
  for (std::size_t i = 0; i < tcp.options.blocks; ++i) {
    if (!is_duplicate_report(i) && !from.sacked.covers(block(i))) return true;
  }
  return false;
}

void Judge::judge_acknowledgement() const {
  if (!tcp.has(flag::ack)) return;
  if (knows_all_of_to() && ack > to.nxt) {
    violation("ack-unsent",
              words("acknowledges ", to_text(ack), ", and the other has sent no more than ", to_text(to.nxt)));
  } else if (knows_arrivals()) {
    const std::uint64_t reached = to.isn == ack ? ack : from.arrived.at(to.isn).end;
    if (ack > reached) {
      violation("ack-unreceived",
                words("acknowledges ", to_text(ack), ", and only what is before ", to_text(reached), " has arrived"));
    }
  }
  if (!from.acks || ack >= from.ack_max) return;
  if (options.in_order) {
    violation("ack-backwards", words("acknowledges ", to_text(ack), " after ", to_text(from.ack_max)));
  } else if (ack + from.window_max < from.ack_max) {
    violation("ack-old", words("acknowledges ", to_text(ack), ", more than the largest window of ", from.window_max,
                               " before ", to_text(from.ack_max), " (RFC 5961 section 5.2)"));
  }
}

void Judge::judge_window() const {
  if (!tcp.has(flag::ack) || tcp.has(flag::syn) || !connection.negotiated || !from.has_edge) return;
  // An old ACK is judged by other rules; and after the other's FIN nobody needs a window.
  if (ack < from.ack_max + (options.in_order ? 0 : 1) || (to.fin && ack > to.fin_at)) return;
  const std::uint64_t unit = std::uint64_t{1} << from.scale;
  const std::uint64_t edge = ack + (std::uint64_t{tcp.window} << from.scale);
  // What a scaled window cannot express may be rounded away (RFC 7323 section 2.4).
  if (edge + unit <= from.edge_max) {
    violation("edge-withdrawn", words("the window's right edge goes back by ", from.edge_max - edge, " from ",
                                      to_text(from.edge_max), " to ", to_text(edge)));
  }
}

void Judge::judge_ack_rate() {
  if (!is_pure_ack() || tcp.has(flag::rst) || options.gaps || tells_news()) return;
  if (from.owed_acks > 0) {
    --from.owed_acks;
    return;
  }
  if (!from.free_acks.take(now_ns)) {
    violation("ack-storm", "more than ten empty ACKs, and then two a second, answer no data and tell nothing new");
  }
}

}  // namespace tandem::oracle
