// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/stop_point.hpp"

#include "tandem/planted.hpp"
#include "tandem/shown.hpp"
#include "tandem/work.hpp"

#ifdef TANDEM_SIMULATION
namespace tandem {
// A program that simulates nothing passes by.
void step(std::string_view) {}
bool planted(Planted, std::uint32_t) { return false; }
void shown(Shown, std::uint64_t, std::uint64_t) {}
void work(Work) {}
}  // namespace tandem
#endif

#ifdef TANDEM_STOP_POINTS

#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string>

namespace tandem {
namespace {

struct Armed {
  std::string name;
  unsigned long remaining = 0;

  Armed() {
    const char* text = std::getenv("TANDEM_STOP");
    if (text == nullptr) return;
    const std::string_view whole(text);
    const auto colon = whole.rfind(':');
    if (colon == std::string_view::npos) return;
    name = std::string(whole.substr(0, colon));
    remaining = std::strtoul(text + colon + 1, nullptr, 10);
  }
};

bool turn_points_count = false;

bool is_of_the_turn(std::string_view name) {
  for (const std::string_view prefix : {"rx.", "turn.", "publish.", "tx.", "fill.", "reap."}) {
    if (name.starts_with(prefix)) return true;
  }
  return false;
}

/// What ends whoever meets it, and whether one is in this turn.
struct Deadly {
  std::string text;
  bool in_handlers = false;
  bool hangs = false;
  bool quiet = false;
  bool met = false;
  bool any_frame = false;  ///< in this turn

  Deadly() {
    const char* given = std::getenv("TANDEM_DEADLY");
    if (given == nullptr) return;
    const std::string_view whole(given);
    quiet = whole == "quiet";
    const auto colon = whole.find(':');
    if (colon == std::string_view::npos) return;
    const std::string_view where = whole.substr(0, colon);
    in_handlers = where.starts_with("handler");
    hangs = where.ends_with("-hang");
    text = std::string(whole.substr(colon + 1));
  }
  [[noreturn]] void end() const {
    for (volatile bool circles = hangs; circles;) {
    }
    std::abort();
  }
};

Deadly& deadly() {
  static Deadly only;
  return only;
}

}  // namespace

void meet_frame(std::span<const std::uint8_t> frame) {
  Deadly& it = deadly();
  it.any_frame = true;
  if (it.text.empty() || std::search(frame.begin(), frame.end(), it.text.begin(), it.text.end()) == frame.end()) return;
  if (!it.in_handlers) it.end();
  it.met = true;
}

void meet_handlers() {
  Deadly& it = deadly();
  if (it.met || (it.quiet && turn_points_count && !it.any_frame)) it.end();
  it.any_frame = false;
}

void count_turn_stop_points(bool on) { turn_points_count = on; }

void stop_point(std::string_view name) {
  static Armed armed;
  if (std::find(kStopPoints.begin(), kStopPoints.end(), name) == kStopPoints.end()) std::abort();
  if (!turn_points_count && is_of_the_turn(name)) return;
  if (armed.remaining == 0 || armed.name != name || --armed.remaining != 0) return;
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

}  // namespace tandem

#endif
