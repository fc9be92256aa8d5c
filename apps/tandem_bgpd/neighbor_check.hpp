// SPDX-License-Identifier: BSD-3-Clause
//
// Neighbours that can never come up from where the node stands are refused before anything starts.
#pragma once

#include <string>

#include "bgp/configuration.hpp"
#include "tandem/node.hpp"

namespace tandem::bgpd {

/// What of the neighbours can never work with these addresses and gateways, as a sentence; empty: nothing.
std::string unreachable_neighbor(const bgp::Configuration& configuration, const NodeOptions& options);

}  // namespace tandem::bgpd
