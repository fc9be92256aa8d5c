// SPDX-License-Identifier: BSD-3-Clause
#include "matrix/cell.hpp"

#include <algorithm>

namespace tandem::sim {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
/// After a death a takeover and a newcomer have this time, before everything must be at rest.
constexpr std::uint64_t kSettles_ns = 15 * kMs;
/// When the group was lost, a new connection is served so long after.
constexpr std::uint64_t kServedAgain_ns = 20 * kMs;
constexpr std::uint64_t kLostWithin_ns = 10'000 * kMs;

struct KnownSteps {
  Step active = step_of("start.active");
  Step ready = step_of("twin.ready");
  Step member = step_of("attach.member");
  Step promoted = step_of("takeover.promoted");
  Step handed_over = step_of("switchover.handed_over");
};

class CellScript final : public Script {
 public:
  CellScript(const Cell& cell, Outcome& outcome, std::optional<Step> expected)
      : cell_(cell), scenario_(*cell.scenario), outcome_(outcome), expected_(expected) {}

  [[nodiscard]] const std::vector<Item>& exchanges() const override { return scenario_.exchanges; }
  [[nodiscard]] std::uint64_t twin_after_ns() const override { return scenario_.twin_after_ns; }
  /// What a peer sends while nobody is there it sends again when its own timers say so.
  [[nodiscard]] std::uint64_t within_ns() const override { return lost_ ? kLostWithin_ns : scenario_.within_ns; }
  [[nodiscard]] std::uint64_t rests_from_ns() const override { return last_death_ns_ + kSettles_ns; }

  void passes(World& world, Process& process, Step step) override {
    static const KnownSteps known;
    const std::size_t index = index_of(process);
    if (start_ns_ == 0) begin(world);
    if (cell_.step == 0 && index < 2) (index == 0 ? outcome_.first : outcome_.second).push_back(step);
    if (step == known.active) active_ = true;
    if (step == known.ready) joiner_ = process.pid;
    if (step == known.member) protector_ = joiner_;
    if (step == known.promoted && process.pid == protector_) protector_ = 0;

    if (outcome_.at_work == 0 && index == 0 && protector_ != 0 && world.kernel().now_ns >= first_open_ns_)
      outcome_.at_work = process.steps;
    if (cell_.step == 0 && step == known.handed_over && outcome_.handed_over == 0)
      outcome_.handed_over = outcome_.second.size();
    const std::size_t victim = cell_.role == CrashRole::twin || cell_.role == CrashRole::reverse ? 1 : 0;
    if (deaths_ == 0) {
      if (index == victim && process.steps == cell_.step) process.stop_at_step = process.steps;
    } else if (cell_.is_double() && index == 1 - victim) {
      ++adopter_steps_;
      if (cell_.second == 0 && !third_is_member_) outcome_.takeover.push_back(step);
      if (step == known.member && joiner_ != 0) third_is_member_ = true;
      if (adopter_steps_ == cell_.second) process.stop_at_step = process.steps;
    }
  }

  bool dies(World& world, Process&, Step step) override {
    const bool is_last = !cell_.is_double() || cell_.second == 0 || deaths_ == 1;
    if (is_last && expected_ && step != *expected_) {
      world.violation("the same run", "the step is " + std::string(name_of(step)) + ", not " +
                                          std::string(name_of(*expected_)) + " as in the run that was enumerated");
      return false;
    }
    ++deaths_;
    return true;
  }

  void gone(World& world, const Process& process) override {
    last_death_ns_ = world.kernel().now_ns;
    was_protected_ = protector_ != 0 && protector_ != process.pid;
    if (protector_ == process.pid) protector_ = 0;
    if (joiner_ == process.pid) joiner_ = 0;
    // The first process may die before there is anything that a group could be told by.
    if (!active_) lost_ = true;
  }

  void group_lost(World& world, const Process& process) override {
    if (world.is_finishing()) return;
    // What this says does not rest on the group's own words: who stood by is known from the steps that were passed.
    if (process.state == Process::State::running && protector_ != 0) was_protected_ = true;
    if (was_protected_ || deaths_ == 0) {
      world.violation("a member takes over", "the connections are lost although a member stood by");
      return;
    }
    fate_ = deaths_ > 1 ? Fate::both_died : cell_.role == CrashRole::twin ? Fate::handed_over : Fate::unprotected;
    lost_ = true;
    // The service is there again, without anybody's doing.
    Item fresh;
    fresh.plan.client_bytes = fresh.plan.server_bytes = 100;
    fresh.open_after_ns = world.kernel().now_ns - start_ns_ + kServedAgain_ns;
    world.add_exchange(fresh);
  }

  bool loses(Direction direction, const Packet& packet) override {
    if (scenario_.lost_segment == 0 || direction != scenario_.lost_direction || packet.payload == 0) return false;
    return ++segments_ == scenario_.lost_segment;
  }

  [[nodiscard]] std::uint64_t client_may_write(const Plan& plan, std::uint64_t open_for_ns) const override {
    if (scenario_.paced_bytes == 0) return UINT64_MAX;
    return std::min<std::uint64_t>(plan.client_stream(),
                                   sizeof(Plan) + scenario_.paced_bytes * (open_for_ns / scenario_.paced_ns));
  }
  [[nodiscard]] bool may_close(const Plan&, std::uint64_t open_for_ns) const override {
    return open_for_ns >= scenario_.close_after_ns;
  }

  [[nodiscard]] bool lost() const { return lost_; }
  [[nodiscard]] Fate fate() const { return fate_; }
  [[nodiscard]] std::size_t deaths() const { return deaths_; }

 private:
  static std::size_t index_of(const Process& process) { return static_cast<std::size_t>(process.pid - 100); }

  void begin(World& world) {
    start_ns_ = world.setup().start_ns;
    first_open_ns_ = UINT64_MAX;
    for (const Item& item : scenario_.exchanges)
      first_open_ns_ = std::min(first_open_ns_, start_ns_ + item.open_after_ns);
    if (scenario_.switchover_after_ns == 0) return;
    world.kernel().at(start_ns_ + scenario_.switchover_after_ns, [&world] {
      Process* const first = world.kernel().find(100);
      World::Context* const its = first != nullptr ? world.context(*first) : nullptr;
      if (its != nullptr) its->switchover_wanted = true;
    });
  }

  const Cell& cell_;
  const Scenario& scenario_;
  Outcome& outcome_;
  std::optional<Step> expected_;
  std::uint64_t start_ns_ = 0, first_open_ns_ = 0, last_death_ns_ = 0;
  std::int32_t joiner_ = 0, protector_ = 0;  ///< who said that it is ready; who is a member
  bool was_protected_ = false;
  bool active_ = false, third_is_member_ = false, lost_ = false;
  std::size_t deaths_ = 0, adopter_steps_ = 0;
  std::uint32_t segments_ = 0;
  Fate fate_ = Fate::survived;
};

}  // namespace

std::string_view to_string(CrashRole role) {
  static constexpr std::string_view kNames[] = {"primary", "twin", "both", "reverse"};
  return kNames[static_cast<std::size_t>(role)];
}

std::string Cell::command() const {
  std::string text = "./dev sim --matrix " + std::string(scenario->name) + " --role " + std::string(to_string(role)) +
                     " --step " + std::to_string(step);
  if (is_double()) text += " --second " + std::to_string(second);
  if (seed != 1) text += " --from " + std::to_string(seed);
  return text;
}

Outcome run_cell(const Cell& cell, Totals& totals, bool tracing, std::optional<Step> expected) {
  Outcome outcome;
  CellScript script(cell, outcome, expected);
  Setup setup = cell.scenario->setup(cell.seed);
  setup.script = &script;
  World world(setup, totals, tracing);
  Result result = world.run();
  outcome.trace = std::move(result.trace);
  const std::size_t deaths_wanted = cell.step == 0 ? 0 : cell.is_double() && cell.second != 0 ? 2 : 1;
  outcome.happened = script.deaths() == deaths_wanted;
  if (result.good && !outcome.happened) {
    result.good = false;
    result.rule = "the same run";
    result.text = "the step is not reached";
  }
  if (result.good && !script.lost() && result.unfinished != 0) {
    result.good = false;
    result.rule = "every byte, once and in order";
    result.text = std::to_string(result.unfinished) + " exchanges are unfinished";
  }
  outcome.lost = script.lost();
  if (!result.good) {
    outcome.fate = Fate::failed;
    outcome.rule = std::move(result.rule);
    outcome.text = std::move(result.text);
  } else if (script.lost()) {
    outcome.fate = result.unfinished != 0 ? script.fate() : Fate::idle;
  }
  return outcome;
}

}  // namespace tandem::sim
