// SPDX-License-Identifier: BSD-3-Clause
//
// Rules: sack-block, sack-unsent, sack-unreceived, sack-reneged.
#include "judge.hpp"
#include "sequence.hpp"

namespace tandem::oracle {

Range Judge::block(std::size_t i) const {
  const auto& one = tcp.options.block[i];
  const std::uint64_t left = unwrap(to.nxt, one.left);
  return {left, unwrap(left, one.right)};
}

bool Judge::is_duplicate_report(std::size_t i) const {
  if (i != 0) return false;
  const Range first = block(0);
  if (first.end <= ack) return true;
  if (tcp.options.blocks < 2) return false;
  const Range second = block(1);
  return second.begin <= first.begin && first.end <= second.end;
}

void Judge::judge_sack() const {
  if (!tcp.has(flag::ack) || tcp.has(flag::syn)) return;
  const TcpOptions& said = tcp.options;
  Range held[4];
  std::size_t held_count = 0;
  for (std::size_t i = 0; i < said.blocks; ++i) {
    const Range range = block(i);
    const auto name = [&] { return words("SACK block ", to_text(range.begin), " to ", to_text(range.end)); };
    if (range.begin >= range.end) {
      violation("sack-block", words(name(), " is empty or turned round"));
      continue;
    }
    if (knows_all_of_to() && range.end > to.nxt) {
      violation("sack-unsent", words(name(), ": the other has sent no more than ", to_text(to.nxt)));
      continue;
    }
    if (knows_arrivals() && !from.arrived.covers(range)) {
      violation("sack-unreceived", words(name(), " has not arrived"));
    }
    if (is_duplicate_report(i)) continue;
    // Linux was seen to leave blocks that the ACK has passed behind a D-SACK, at a stream's end.
    if (range.end <= ack && is_duplicate_report(0)) continue;
    if (range.begin <= ack) violation("sack-block", words(name(), " begins at or below the ACK ", to_text(ack)));
    for (std::size_t k = 0; k < held_count; ++k) {
      if (range.begin < held[k].end && held[k].begin < range.end) {
        violation("sack-block", words(name(), " overlaps another one of the same segment"));
      }
    }
    held[held_count++] = range;
  }
  if (ack < from.ack_max || !options.in_order) return;
  const Range around = from.sacked.at(ack);
  if (around.end > ack) {
    violation("sack-reneged", words("acknowledges only ", to_text(ack), " although ", to_text(around.begin), " to ",
                                    to_text(around.end), " was SACKed before"));
    return;
  }
  // An empty ACK that has room for more blocks than it carries lists all that is held.
  if (!is_pure_ack() || from.sacked_too_much || said.blocks >= said.room_for_blocks || from.fin || seq < to.ack_max)
    return;
  for (const Range& range : from.sacked) {
    if (range.end <= ack) continue;
    bool listed = false;
    for (std::size_t k = 0; k < held_count; ++k) listed |= held[k].begin <= range.begin && range.end <= held[k].end;
    if (listed) continue;
    violation("sack-reneged", words("no longer mentions ", to_text(range.begin), " to ", to_text(range.end),
                                    ", which was SACKed before"));
    return;
  }
}

}  // namespace tandem::oracle
