// SPDX-License-Identifier: BSD-3-Clause
//
// The wire oracle (tests/oracle), which shares no code with the stack, judges everything that our side sends. It knows nothing of
// processes: whoever speaks for our address must keep the promises that were made for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

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
  /// Nothing more is sent: what a last frame was held for is said.
  void finish();

 private:
  /// What was found in a frame that the next one excuses if it ends the connection.
  struct Held {
    std::uint16_t source_port = 0, destination_port = 0;
    std::uint64_t time_ns = 0;
    std::string rule, words;
  };

  World& world_;
  oracle::Oracle& oracle_;
  std::size_t seen_ = 0;
  std::optional<Held> held_;
  bool active_ = true;
};

}  // namespace tandem::sim
