// SPDX-License-Identifier: BSD-3-Clause
//
// The wire oracle (tests/oracle), which shares no code with the stack, judges everything that our side sends. It knows nothing of
// processes: whoever speaks for our address must keep the promises that were made for it.
#pragma once

#include <cstddef>

#include "tandem/address.hpp"

namespace tandem::oracle {
class Oracle;
}

namespace tandem::sim {

class World;

class WireJudge {
 public:
  /// Addresses of both versions are ours, or the one of that version.
  WireJudge(World& world, bool both, bool v6);

  /// A frame as its sender sends it, before the wire does anything to it.
  void sent(Bytes frame);
  /// A frame that has come to us, as it came.
  void arrived(Bytes frame);
  /// The group is lost, and with it every promise: nothing is judged from now on.
  void stop() { active_ = false; }

 private:
  World& world_;
  oracle::Oracle& oracle_;
  std::size_t seen_ = 0;
  bool active_ = true;
};

}  // namespace tandem::sim
