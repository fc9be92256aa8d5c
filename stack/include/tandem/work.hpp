// SPDX-License-Identifier: BSD-3-Clause
//
// What costs processor time where the simulator would see none (TANDEM_SIMULATION alone): there only steps take time. With it a
// turn that walks through a table is as long as on a machine. In other builds TANDEM_WORK is nothing at all.
#pragma once

#ifdef TANDEM_SIMULATION

#include <cstdint>

namespace tandem {

enum class Work : std::uint8_t {
  route,       ///< one was looked at, decided on, told or cleared away
  attributes,  ///< a set was made for a neighbour
};

void work(Work kind);

}  // namespace tandem

#define TANDEM_WORK(kind) ::tandem::work(::tandem::Work::kind)

#else

#define TANDEM_WORK(kind) static_cast<void>(0)

#endif
