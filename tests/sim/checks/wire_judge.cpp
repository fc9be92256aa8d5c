// SPDX-License-Identifier: BSD-3-Clause
#include "checks/wire_judge.hpp"

#include <map>
#include <tuple>

#include "oracle/oracle.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

/// One for each set of addresses and each way to answer SYNs, kept from run to run: it forgets what it knew and keeps its memory.
oracle::Oracle& oracle_for(bool v4, bool v6, bool stateless_answers) {
  static std::map<std::tuple<bool, bool, bool>, oracle::Oracle> kept;
  if (const auto found = kept.find({v4, v6, stateless_answers}); found != kept.end()) return found->second;
  oracle::Options options;
  if (v4) options.judged.push_back(oracle::Host::v4(10, 0, 0, 1));
  if (v6) options.judged.push_back(oracle::Host::v6({0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
  options.arrivals = true;
  options.stateless_answers = stateless_answers;
  options.violations_kept = 4;
  return kept.try_emplace({v4, v6, stateless_answers}, options).first->second;
}

}  // namespace

WireJudge::WireJudge(World& world, bool both, bool v6)
    : world_(world), oracle_(oracle_for(both || !v6, both || v6, world.setup().syn_flood)) {
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
