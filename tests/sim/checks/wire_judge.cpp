// SPDX-License-Identifier: BSD-3-Clause
#include "checks/wire_judge.hpp"

#include "oracle/oracle.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

/// One for each set of addresses, kept from run to run: it forgets what it knew and keeps its memory.
oracle::Oracle& oracle_for(bool both, bool v6) {
  const auto make = [](std::vector<oracle::Host> judged) {
    oracle::Options options;
    options.judged = std::move(judged);
    options.arrivals = true;
    options.violations_kept = 4;
    return oracle::Oracle(options);
  };
  const auto v4_host = oracle::Host::v4(10, 0, 0, 1);
  const auto v6_host = oracle::Host::v6({0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  static oracle::Oracle v4_oracle = make({v4_host});
  static oracle::Oracle v6_oracle = make({v6_host});
  static oracle::Oracle both_oracle = make({v4_host, v6_host});
  if (both) return both_oracle;
  return v6 ? v6_oracle : v4_oracle;
}

}  // namespace

WireJudge::WireJudge(World& world, bool both, bool v6) : world_(world), oracle_(oracle_for(both, v6)) {
  oracle_.clear();
}

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
