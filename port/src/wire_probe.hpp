// SPDX-License-Identifier: BSD-3-Clause
//
// What a wire does after each store that an adopter could find: nothing in a shipped build.
#pragma once

#include <functional>

#include "tandem/wire_step.hpp"

namespace tandem {

struct NoProbe {
  void operator()(WireStep) const {}
};

/// Calls the process's hook.
struct ProcessProbe {
  void operator()(WireStep step) const {
    if (hook != nullptr) hook(step);
  }
  static inline WireStepHook hook = nullptr;
};

/// Calls a hook of one wire; a test's may throw to stop where a dying process would have stopped.
struct FunctionProbe {
  void operator()(WireStep step) const {
    if (hook != nullptr && *hook) (*hook)(step);
  }
  const std::function<void(WireStep)>* hook = nullptr;
};

#ifdef TANDEM_STOP_POINTS
using DeviceProbe = ProcessProbe;
#else
using DeviceProbe = NoProbe;
#endif

}  // namespace tandem
