// SPDX-License-Identifier: BSD-3-Clause
//
// Rules about who claims which address: neighbour, source-address.
#pragma once

#include <cstdint>

#include "judge.hpp"
#include "oracle/oracle.hpp"
#include "packet.hpp"

namespace tandem::oracle {

void judge_neighbours(const Options& options, Findings& findings, std::uint64_t now_ns, const Packet& packet);

}  // namespace tandem::oracle
