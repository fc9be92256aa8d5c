// SPDX-License-Identifier: BSD-3-Clause
#include "connection.hpp"

#include <utility>

namespace tandem::oracle {

void End::forget() {
  // The buffers are kept: their memory serves the next connection.
  ByteHistory bytes = std::move(history);
  Ranges sacks = std::move(sacked), reached = std::move(arrived);
  const bool was_judged = judged;
  *this = End{};
  judged = was_judged;
  bytes.clear();
  sacks.clear();
  reached.clear();
  history = std::move(bytes);
  sacked = std::move(sacks);
  arrived = std::move(reached);
}

void Connection::begin_anew() {
  std::array<Predecessor, 2> before;
  for (std::size_t i = 0; i < 2; ++i) {
    const End& old = end[i];
    if (!old.syn.seen) continue;
    before[i] = {true,
                 static_cast<std::uint32_t>(old.isn),
                 static_cast<std::uint32_t>(std::min<std::uint64_t>(old.nxt - old.isn, UINT32_MAX)),
                 last_ns,
                 timestamps,
                 static_cast<std::uint32_t>(old.ts_max)};
  }
  forget();
  predecessor = before;
}

void Connection::forget() {
  for (End& one : end) one.forget();
  negotiated = timestamps = sack_permitted = synchronized = false;
  pending = {};
  predecessor = {};
  quiet_since_ns = 0;
}

}  // namespace tandem::oracle
