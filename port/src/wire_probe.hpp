// SPDX-License-Identifier: BSD-3-Clause
//
// What a wire does at each place where its process may die: nothing in a shipped build. `active` says whether a release
// hands over its packets in two halves, so that there is a place between them.
#pragma once

#include <functional>
#include <string_view>

#include "tandem/stop_point.hpp"
#include "tandem/wire_step.hpp"

namespace tandem {

struct NoProbe {
  static constexpr bool active = false;
  void operator()(WireStep) const {}
};

/// Calls a hook of one wire; a test's may throw to stop where a dying process would have stopped.
struct FunctionProbe {
  static constexpr bool active = true;
  void operator()(WireStep step) const {
    if (hook != nullptr && *hook) (*hook)(step);
  }
  const std::function<void(WireStep)>* hook = nullptr;
};

#ifdef TANDEM_STOP_POINTS
/// The process dies at the stop point that its environment names.
struct StopPointProbe {
  static constexpr bool active = true;
  void operator()(WireStep step) const {
    if (const std::string_view name = stop_point_of(step); !name.empty()) stop_point(name);
  }
  static constexpr std::string_view stop_point_of(WireStep step) {
    switch (step) {
      case WireStep::rx_words_half:
        return "rx.words_half";
      case WireStep::rx_words:
        return "rx.words";
      case WireStep::rx_consumer:
        return "rx.after";
      case WireStep::tx_words:
        return "tx.words";
      case WireStep::tx_half:
        return "tx.half";
      case WireStep::tx_producer:
        return "tx.producer";
      case WireStep::fill_intent:
        return "fill.intent";
      case WireStep::fill_producer:
        return "fill.after";
      case WireStep::completion_word:
        return "reap.word";
      case WireStep::adopt_fill:
        return "adopt.fill";
      case WireStep::adopt_tx:
        return "adopt.tx";
      case WireStep::adopt_rx:
        return "adopt.rx";
      default:
        return {};
    }
  }
};
using DeviceProbe = StopPointProbe;
#else
using DeviceProbe = NoProbe;
#endif

}  // namespace tandem
