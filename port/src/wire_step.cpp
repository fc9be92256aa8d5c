// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/wire_step.hpp"

#include "wire_probe.hpp"

namespace tandem {

void set_wire_step_hook(WireStepHook hook) { ProcessProbe::hook = hook; }

}  // namespace tandem
