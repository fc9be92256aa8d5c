// SPDX-License-Identifier: BSD-3-Clause
#include "checks/wire_judge.hpp"

#include "oracle/oracle.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

/// One for each IP version, kept from run to run: it forgets what it knew and keeps its memory.
oracle::Oracle& oracle_for(bool v6) {
  const auto make = [](const oracle::Host& judged) {
    oracle::Options options;
    options.judged = {judged};
    options.arrivals = true;
    options.violations_kept = 4;
    return oracle::Oracle(options);
  };
  static oracle::Oracle v4_oracle = make(oracle::Host::v4(10, 0, 0, 1));
  static oracle::Oracle v6_oracle = make(oracle::Host::v6({0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
  return v6 ? v6_oracle : v4_oracle;
}

}  // namespace

WireJudge::WireJudge(World& world, bool v6) : world_(world), oracle_(oracle_for(v6)) { oracle_.clear(); }

void WireJudge::sent(Bytes frame) {
  if (!active_) return;
  const HeapScope heap;
  oracle_.observe(world_.kernel().now_ns, frame);
  for (; seen_ < oracle_.violations().size(); ++seen_) {
    const oracle::Violation& found = oracle_.violations()[seen_];
    // Without memory a segment is lost before it comes to the wire.
    if (found.rule == "seq-skipped" && world_.setup().short_memory_permille != 0) continue;
    world_.violation("the wire oracle: " + found.rule, found.connection + ": " + found.words);
  }
}

void WireJudge::arrived(Bytes frame) {
  if (!active_) return;
  const HeapScope heap;
  oracle_.arrived(world_.kernel().now_ns, frame);
}

}  // namespace tandem::sim
