// SPDX-License-Identifier: BSD-3-Clause
//
// A chain of owners of one device, each killed with SIGKILL in the middle of traffic and succeeded by an adopter that waits
// for its robust futex. The owners echo UDP; a peer counts. Every turn is a transaction in a log in shared memory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lab.hpp"
#include "tandem/device.hpp"

namespace tandem::test {

struct ChainOptions {
  DeviceOptions device;
  unsigned kills = 0;
  std::uint32_t packets = 0;  ///< at least; the peer goes on until the last kill is over
  /// When not empty, owners are not killed from outside: each dies at one of these ("NAME:COUNT"), in turn, `kills` in all.
  std::vector<std::string> stops;
};

struct ChainResult {
  unsigned kills = 0;
  std::uint32_t sent = 0;                          ///< by the peer
  std::uint32_t answered = 0;                      ///< different packets that came back
  std::uint32_t doubled = 0;                       ///< answers that came more than once
  std::uint32_t log_missing = 0, log_doubled = 0;  ///< packets that no, or more than one, transaction dealt with
  std::uint64_t adopted_packets = 0;
  FrameCensus census;     ///< of the last owner, at rest
  bool finished = false;  ///< nothing ran into a time bound
};

/// The peer sends to 10.77.0.1 port 7, whose neighbour entry it must have.
ChainResult run_chain(const Lab& lab, bool peer_in_own_namespace, const ChainOptions& options);

}  // namespace tandem::test
