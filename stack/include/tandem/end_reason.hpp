// SPDX-License-Identifier: BSD-3-Clause
//
// Why a connection ended, or could not begin: for the log, and for a program that decides what to try next.
#pragma once

#include <cstdint>
#include <string_view>

namespace tandem {

/// The numbers stand in the log between primary and twin: new ones come at the end.
enum class EndReason : std::uint8_t {
  none = 0,       ///< it lives, or was closed in good order by both sides
  refused,        ///< the other end answered our SYN with RST: nobody listens there
  reset_by_peer,  ///< RST on a connection that was open
  timed_out,      ///< the other end did not answer, however often it was asked (RFC 9293 section 3.8.3)
  unreachable,    ///< the same, and nobody on the link answers for the next hop's address (ARP, neighbour discovery)
  aborted,        ///< Connection::abort
  no_address,     ///< connect: this node has no address of that IP version, or the one to speak from is none of its own
  no_route,       ///< connect: the address is not on the link and there is no gateway of its IP version
  bad_remote,     ///< connect: the address or port is none that can be connected to
  in_use,         ///< connect: this pair of addresses and ports has a connection already
  no_port,        ///< connect: every local port is in use towards this destination
  limit,          ///< connect: StackOptions::max_connections is reached
  no_service,     ///< connect: the service is not defined, or its factory refused
  no_memory,      ///< connect: memory is short
  not_primary,    ///< connect: only a primary (or a node alone) connects
  unknown,        ///< of a connection whose end came from a log that does not say
};
/// A phrase that completes "the connection ended: ...".
[[nodiscard]] std::string_view to_string(EndReason reason);

}  // namespace tandem
