// SPDX-License-Identifier: BSD-3-Clause
//
// Which frames a packet socket beside an AF_XDP socket takes, as a program of the kernel's classic filter. The steering program
// (bpf/steer.bpf.c) leaves to the kernel whatever is sent to a group on the link, since both stacks may have to learn from it; of
// that this takes what ours can learn from: ARP, ICMPv6 (neighbour discovery, MLD, router advertisements, echo) and UDP. What the
// steering program has redirected never gets here, so nothing comes twice.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

#include "tandem/address.hpp"

namespace tandem {

/// For SO_ATTACH_FILTER on a packet socket that sees frames from their Ethernet header on. `udp_ports`: the only ones of interest;
/// empty = all. Frames of this VLAN alone are taken, which the kernel shows without their tag; 0: those of none.
[[nodiscard]] std::vector<sock_filter> packet_filter(std::span<const std::uint16_t> udp_ports, std::uint16_t vlan = 0);

/// The link's groups that a host with these addresses is in: all nodes, and the solicited-node group of each (RFC 4291 section
/// 2.7.1, RFC 2464 section 7), each once. None without an IPv6 address; who is sent to by broadcast needs no membership.
[[nodiscard]] std::vector<MacAddress> link_groups(std::span<const IpAddress> addresses);

}  // namespace tandem
