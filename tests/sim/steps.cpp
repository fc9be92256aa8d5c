// SPDX-License-Identifier: BSD-3-Clause
#include "steps.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "wire_probe.hpp"

namespace tandem::sim {
namespace {

constexpr auto kWireStepNames = std::to_array<std::string_view>({
    "wire.rx_saved",         "wire.rx_word",
    "wire.rx_released_word", "wire.rx_words_half",
    "wire.rx_words",         "wire.rx_consumer",
    "wire.tx_staged",        "wire.tx_intent",
    "wire.tx_word",          "wire.tx_words",
    "wire.tx_half",          "wire.tx_producer",
    "wire.completion_word",  "wire.completion_consumer",
    "wire.fill_intent",      "wire.fill_word",
    "wire.fill_producer",    "wire.adopt_store",
    "wire.adopt_fill",       "wire.adopt_tx",
    "wire.adopt_rx",
});
static_assert(kWireStepNames.size() == kWireSteps);

struct Known {
  const char* name = nullptr;
  Step step = 0;
};
constexpr std::size_t kPlaces = 1024;
std::array<Known, kPlaces> known;

Step look_up(std::string_view name) {
  const auto& points = ::tandem::kStopPoints;
  const auto& steps = ::tandem::kSteps;
  if (const auto at = std::find(points.begin(), points.end(), name); at != points.end())
    return static_cast<Step>(at - points.begin());
  if (const auto at = std::find(steps.begin(), steps.end(), name); at != steps.end())
    return static_cast<Step>(points.size() + static_cast<std::size_t>(at - steps.begin()));
  std::fprintf(stderr, "tandem-sim: \"%.*s\" is a stop point that is in no list of stop_point.hpp\n",
               static_cast<int>(name.size()), name.data());
  std::abort();
}

}  // namespace

Step step_of(std::string_view name) {
  std::size_t place = (reinterpret_cast<std::uintptr_t>(name.data()) >> 2) * 0x9e3779b97f4a7c15ULL >> 54;
  for (;; place = (place + 1) % kPlaces) {
    if (known[place].name == name.data()) return known[place].step;
    if (known[place].name == nullptr) {
      known[place] = {name.data(), look_up(name)};
      return known[place].step;
    }
  }
}

Step step_of(WireStep step) {
  static const auto steps = [] {
    std::array<Step, kWireSteps> table{};
    for (std::size_t i = 0; i < kWireSteps; ++i) {
      const std::string_view name = StopPointProbe::stop_point_of(static_cast<WireStep>(i));
      table[i] =
          name.empty() ? static_cast<Step>(::tandem::kStopPoints.size() + ::tandem::kSteps.size() + i) : look_up(name);
    }
    return table;
  }();
  return steps[static_cast<std::size_t>(step)];
}

std::string_view name_of(Step step) {
  const std::size_t points = ::tandem::kStopPoints.size();
  if (step < points) return ::tandem::kStopPoints[step];
  if (step < points + ::tandem::kSteps.size()) return ::tandem::kSteps[step - points];
  return kWireStepNames[step - points - ::tandem::kSteps.size()];
}

bool is_alias(Step step) {
  const std::size_t others = ::tandem::kStopPoints.size() + ::tandem::kSteps.size();
  return step >= others && step_of(static_cast<WireStep>(step - others)) != step;
}

}  // namespace tandem::sim
