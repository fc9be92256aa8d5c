// SPDX-License-Identifier: BSD-3-Clause
//
// Rules: option, mss, timestamp-missing, timestamp-backwards, timestamp-echo.
#include "judge.hpp"
#include "sequence.hpp"

namespace tandem::oracle {

namespace {

// What a host takes that did not say (RFC 9293 section 3.7.1).
constexpr std::uint32_t kDefaultMssV4 = 536, kDefaultMssV6 = 1220;

}  // namespace

void Judge::judge_options() const {
  const TcpOptions& said = tcp.options;
  if (said.malformed) violation("option", "an option has an impossible length");
  if (!tcp.has(flag::syn)) {
    if (said.has_mss || said.has_scale || said.sack_permitted) {
      violation("option", "MSS, window scale and SACK-permitted belong to a SYN only");
    }
    if (connection.negotiated) {
      if (said.has_timestamps && !connection.timestamps) violation("option", "timestamps were not negotiated");
      if (said.has_sack && !connection.sack_permitted) violation("option", "SACK was not negotiated");
      if (!said.has_timestamps && connection.timestamps && !tcp.has(flag::rst)) {
        violation("timestamp-missing", "timestamps were negotiated, and this segment has none (RFC 7323 section 3.2)");
      }
    }
  }
  if (to.syn.seen && tcp.payload_length > 0) {
    const TcpOptions& told = to.syn.options;
    const std::uint32_t mss =
        told.has_mss ? told.mss : (connection.key.host[0].is_v4() ? kDefaultMssV4 : kDefaultMssV6);
    if (tcp.payload_length + tcp.option_bytes > mss) {
      violation("mss", words(tcp.payload_length, " bytes and ", tcp.option_bytes,
                             " bytes of options are more than the other's MSS of ", mss));
    }
  }
}

void Judge::judge_timestamps() const {
  const TcpOptions& said = tcp.options;
  if (!said.has_timestamps || tcp.has(flag::rst)) return;
  if (from.has_timestamp) {
    const std::uint64_t value = unwrap(from.ts_max, said.tsval);
    // Where a repetition may overtake, only new data can be compared, and with new data only.
    const bool is_new = seq == from.nxt && tcp.length() > 0;
    const std::uint64_t before = options.in_order ? from.ts_max : is_new ? from.ts_of_newest : 0;
    if (value < before) {
      violation("timestamp-backwards", words("TSval ", said.tsval, " is ", before - value,
                                             " before one that was sent earlier; PAWS drops the segment"));
    }
  }
  if (!tcp.has(flag::ack) || !to.has_timestamp) return;
  const std::uint64_t echo = unwrap(to.ts_max, said.tsecr);
  if (knows_all_of_to() && echo > to.ts_max) {
    violation("timestamp-echo", words("TSecr ", said.tsecr, " is ", echo - to.ts_max, " beyond all that was received"));
  } else if (to.syn.seen && !options.gaps && echo < to.ts_first) {
    violation("timestamp-echo",
              words("TSecr ", said.tsecr, " is ", to.ts_first - echo, " before the first one of this connection"));
  }
}

}  // namespace tandem::oracle
