// SPDX-License-Identifier: BSD-3-Clause
//
// What handlers do and are told, in its order, for the simulator alone (TANDEM_SIMULATION): it compares the primary's sequence with
// the twin's, whatever stood in the log between them. In other builds TANDEM_SHOWN is nothing at all.
#pragma once

#ifdef TANDEM_SIMULATION

#include <cstdint>

namespace tandem {

/// One call of a handler, or one thing that it did and that the twin's handler is called for.
enum class Shown : std::uint8_t {
  told,              ///< value: Told
  ended,             ///< on_closed, the connection is gone
  reset,             ///< on_reset
  consumed,          ///< value: bytes
  written,           ///< value: bytes
  note,              ///< value: bytes
  application_note,  ///< value: bytes; connection 0
  transaction,       ///< a twin's: applied whole; value: the log's position behind it
};

/// `connection` is a ConnectionId, or 0 where no twin is told of it.
void shown(Shown what, std::uint64_t connection, std::uint64_t value);

}  // namespace tandem

#define TANDEM_SHOWN(what, connection, value) ::tandem::shown(what, connection, value)

#else

#define TANDEM_SHOWN(what, connection, value) static_cast<void>(0)

#endif
