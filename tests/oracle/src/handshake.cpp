// SPDX-License-Identifier: BSD-3-Clause
//
// Rules: flags, handshake, isn-reuse.
#include "judge.hpp"

namespace tandem::oracle {

namespace {

constexpr std::uint64_t kTwoSegmentLifetimesNs = 60'000'000'000;
constexpr std::uint8_t kLargestScale = 14;

}  // namespace

void Judge::judge_flags() const {
  const bool syn = tcp.has(flag::syn), fin = tcp.has(flag::fin), rst = tcp.has(flag::rst);
  if ((syn && (fin || rst)) || (fin && rst)) {
    violation("flags", "SYN, FIN and RST exclude one another, and two of them are set");
  } else if (!syn && !rst && !tcp.has(flag::ack)) {
    violation("flags", "only a SYN or an RST may lack the ACK flag; Linux drops this segment");
  }
}

void Judge::judge_syn() const {
  const TcpOptions& said = tcp.options;
  if (said.has_scale && said.scale > kLargestScale) {
    violation("handshake", words("a window scale of ", said.scale, " is beyond 14"));
  }
  if (said.has_mss && said.mss == 0) violation("handshake", "the announced MSS is 0");
  if (tcp.has(flag::ack)) {
    if (to.syn.seen && ack != to.isn + 1) {
      violation("handshake", words("the SYN-ACK acknowledges ", to_text(ack), ", not the SYN at ", to_text(to.isn)));
    }
    if (to.syn.seen) {
      const TcpOptions& offered = to.syn.options;
      if (said.has_scale && !offered.has_scale) violation("handshake", "a window scale answers a SYN without one");
      if (said.has_timestamps && !offered.has_timestamps)
        violation("handshake", "timestamps answer a SYN without them");
      if (said.sack_permitted && !offered.sack_permitted) {
        violation("handshake", "SACK-permitted answers a SYN without it");
      }
    }
  } else if (said.has_timestamps && said.tsecr != 0) {
    violation("handshake", words("a SYN echoes the timestamp ", said.tsecr, " although nothing was received"));
  }
  if (from.syn.seen) return;
  const Predecessor& before = connection.predecessor[from_index];
  if (!before.seen || now_ns - before.last_ns > kTwoSegmentLifetimesNs) return;
  const std::uint32_t offset = tcp.seq - before.isn;
  const bool newer_timestamp =
      before.timestamps && said.has_timestamps && static_cast<std::int32_t>(said.tsval - before.ts_max) > 0;
  if (offset == 0 || (offset < before.span && !newer_timestamp)) {
    violation("isn-reuse",
              words("the initial sequence number ", tcp.seq, " lies ", offset,
                    " behind the start of the former connection of the same ports, which went on for ", before.span));
  }
}

}  // namespace tandem::oracle
