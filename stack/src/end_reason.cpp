// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/end_reason.hpp"

namespace tandem {

std::string_view to_string(EndReason reason) {
  switch (reason) {
    case EndReason::none:
      return "closed";
    case EndReason::refused:
      return "connection refused: nobody listens there";
    case EndReason::reset_by_peer:
      return "reset by the peer";
    case EndReason::timed_out:
      return "timed out: the other end does not answer";
    case EndReason::unreachable:
      return "unreachable: nobody on the link answers for that address";
    case EndReason::aborted:
      return "aborted";
    case EndReason::no_address:
      return "no address of this node can speak to it";
    case EndReason::no_route:
      return "no route: it is not on the link, and there is no gateway of its IP version";
    case EndReason::bad_remote:
      return "nobody can be reached at this address and port";
    case EndReason::in_use:
      return "these addresses and ports have a connection already";
    case EndReason::no_port:
      return "every local port is in use towards this destination";
    case EndReason::limit:
      return "the limit of connections is reached";
    case EndReason::no_service:
      return "the service does not take it";
    case EndReason::no_memory:
      return "memory is short";
    case EndReason::not_primary:
      return "this process is not the primary";
    case EndReason::unknown:
      break;
  }
  return "ended for a reason that was not told";
}

}  // namespace tandem
