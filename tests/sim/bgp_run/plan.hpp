// SPDX-License-Identifier: BSD-3-Clause
//
// Who speaks BGP in a run, drawn from its seed; and what follows from it: which of several routes is the best (RFC 4271 section
// 9.1), and what a neighbour ought to be told of it. Written from the RFCs, not from apps/bgp.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "bgp_run/message.hpp"
#include "prng.hpp"
#include "tandem/address.hpp"

namespace tandem::sim {

struct Setup;

inline constexpr std::uint16_t kBgpPort = 179;

struct BgpPlan {
  struct Neighbour {
    IpPrefix address;
    std::uint32_t as = 0;
    std::uint32_t router_id = 0;
    bool passive = false;            ///< it is the peer that connects
    std::vector<IpPrefix> prefixes;  ///< that nobody else announces
  };
  std::uint32_t as = 0;
  std::uint32_t router_id = 0;
  std::uint16_t hold_s = 0;
  IpPrefix v4, v6;                  ///< the group's addresses
  std::vector<IpPrefix> networks;   ///< of the group's own
  std::vector<IpPrefix> contested;  ///< announced by any neighbour
  std::vector<Neighbour> neighbours;
  bool clean_wire = false;    ///< TCP has nothing to repair there
  bool lazy = false;          ///< the peer reads only now and then
  bool bulk = false;          ///< more routes than fit into the windows, or into a piece of a snapshot
  bool long_rest = false;     ///< at the end all is quiet for longer than the hold time
  bool falls_silent = false;  ///< then a neighbour is no longer heard of

  static BgpPlan draw(const Setup& setup);
  [[nodiscard]] bool is_external(std::size_t neighbour) const { return neighbours[neighbour].as != as; }

  /// A route that this neighbour may announce.
  [[nodiscard]] BgpUpdate draw_attributes(std::size_t neighbour, Prng& prng) const;

  /// What the group keeps of a route that the neighbour has announced.
  [[nodiscard]] BgpRoute received(std::size_t from, const BgpRoute& announced) const;
  /// What `to` ought to be told of an own network, or of a route from a neighbour, if that is the best.
  [[nodiscard]] BgpRoute own(std::size_t to, const IpPrefix& prefix) const;
  [[nodiscard]] std::optional<BgpRoute> exported(std::size_t from, std::size_t to, const BgpRoute& announced) const;
  /// Of routes to one prefix, by their neighbours; nothing: none can be used.
  [[nodiscard]] std::optional<std::size_t> best(const std::map<std::size_t, const BgpRoute*>& routes) const;

 private:
  [[nodiscard]] const IpAddress& own_address(const IpPrefix& prefix) const {
    return prefix.address.is_v6() ? v6.address : v4.address;
  }
};

}  // namespace tandem::sim
