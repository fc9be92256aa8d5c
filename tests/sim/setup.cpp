// SPDX-License-Identifier: BSD-3-Clause
#include "setup.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <type_traits>
#include <vector>

namespace tandem::sim {

Setup Setup::draw(std::uint64_t seed) {
  Prng prng(seed, 0);
  Setup s;
  s.seed = seed;
  s.v6 = prng.one_in(2);
  s.disturbances = static_cast<std::uint32_t>(prng.between(1, 8));
  s.transfers = static_cast<std::uint32_t>(prng.between(1, 6));
  s.max_bytes = prng.one_in(4) ? 100'000 : prng.one_in(2) ? 10'000 : 500;
  constexpr std::uint32_t kBatches[] = {1, 3, 16, 64};
  s.batch_frames = kBatches[prng.below(4)];
  s.reprotect_delay_ms = static_cast<std::uint32_t>(prng.below(3));
  s.poke_interval_ns = prng.between(200'000, 2'000'000);
  s.link_delay_ns = prng.between(1'000, 200'000);
  s.wake_latency_ns = prng.between(1'000, 100'000);
  s.die_within_steps = prng.one_in(3) ? 100 : prng.one_in(2) ? 600 : 3000;
  s.respawn_within_ns = static_cast<std::uint32_t>(prng.between(100'000, 4'000'000));
  s.busy_permille = prng.one_in(4) ? 300 : 0;
  s.active_opens = prng.one_in(2);
  s.aborts = prng.one_in(3);
  s.lazy = prng.one_in(4);
  s.pauses = prng.one_in(8);
  s.deaths_in_takeover = prng.one_in(8);
  // Timestamps, which count milliseconds, wrap during the run.
  s.start_ns = prng.one_in(4) ? ((std::uint64_t{1} << 32) * 1'000'000) - prng.below(60'000'000)
                              : 1'000'000'000'000 + prng.below(1'000'000'000);
  if (prng.one_in(3)) {
    s.faults.loss_permille = prng.one_in(2) ? static_cast<std::uint32_t>(prng.below(150)) : 0;
    s.faults.duplication_permille = prng.one_in(2) ? static_cast<std::uint32_t>(prng.below(100)) : 0;
    s.faults.corruption_permille = prng.one_in(3) ? static_cast<std::uint32_t>(prng.below(50)) : 0;
    s.faults.reordering_permille = prng.one_in(2) ? static_cast<std::uint32_t>(prng.below(200)) : 0;
  }
  // New draws follow here, so that the seeds before them stay what they were.
  s.partitions = prng.one_in(10);
  constexpr std::uint32_t kFrames[] = {64, 128, 256};
  if (prng.one_in(8)) s.nic_frames = kFrames[prng.below(3)];
  s.stalls = prng.one_in(16);
  s.slow_joins = prng.one_in(4);
  s.bulk = prng.one_in(8);
  s.quiet = prng.one_in(8);
  s.mtu_changes = prng.one_in(12);
  s.slow_twins = prng.one_in(12);
  s.terminations = prng.one_in(10);
  s.control_clients = prng.one_in(8);
  s.twin_spins = prng.one_in(16);
  s.sequence_numbers_wrap = prng.one_in(6);
  s.deaths_at_start = prng.one_in(12);
  s.deaths_at_end = prng.one_in(12);
  if (prng.one_in(10)) s.neighbour_delay_ns = static_cast<std::uint32_t>(prng.skewed(30'000'000));
  if (prng.one_in(6)) {
    constexpr std::uint32_t kWithin[] = {100, 1000, 10'000};
    s.preempt_within_steps = kWithin[prng.below(3)];
    s.preempt_ns = static_cast<std::uint32_t>(1000 + prng.skewed(300'000));
    // Longer than a turn may take, so that what is due comes turns later.
    if (s.preempt_ns % 4 == 0) s.preempt_ns *= 10;
  }
  if (prng.one_in(12)) s.short_memory_permille = static_cast<std::uint32_t>(1 + prng.skewed(100));
  if (prng.one_in(8)) s.send_queue_bytes = prng.one_in(2) ? 8192 : 262'144;
  if (prng.one_in(8)) s.log_bytes = prng.one_in(2) ? 262'144 : 524'288;
  // What does not fit is refused.
  if (s.log_bytes != 0 && 4 * s.send_queue_bytes > s.log_bytes) s.send_queue_bytes = s.log_bytes / 4;
  if (prng.one_in(16)) s.draw_bgp();
  s.attach_clients = prng.one_in(8);
  if (prng.one_in(6)) {
    s.pid_namespaces = static_cast<std::uint32_t>(prng.between(1, 2));
    s.pauses = true;
  }
  s.deaf = prng.one_in(24);
  // Where each is in a namespace of its own nobody can be ended by another.
  s.stopped_twins = s.pid_namespaces == 0 && prng.one_in(20);
  // Where announcements can be lost their host is found when it has been silent for long enough, and not before.
  const bool is_told = !s.faults.any() && !s.partitions && s.neighbour_delay_ns == 0 && s.short_memory_permille == 0;
  s.peer_moves = is_told && prng.one_in(4);
  s.deadly_frame = prng.one_in(12);
  // A turn reserves room for each connection's state: in so small a log there is none for those that a flood leaves half-open.
  s.syn_flood = prng.one_in(16) && s.bgp_neighbours == 0 && !s.peer_moves && s.log_bytes == 0;
  if (prng.one_in(4)) s.queues = static_cast<std::uint32_t>(prng.between(2, 4));
  s.refuses_probes = s.deaf && s.bgp_neighbours == 0 && prng.one_in(2);
  s.mixed_versions = prng.one_in(8);
  // Initial sequence numbers that are all near the wrap are not each beyond those before. The connection of a deadly frame goes on trying,
  // and its port is never free again.
  s.ports_again = prng.one_in(12) && !s.deaf && s.bgp_neighbours == 0 && !s.sequence_numbers_wrap && !s.deadly_frame;
  if (s.ports_again) s.transfers += static_cast<std::uint32_t>(prng.between(2, 8));
  // Such a run lasts for a minute, in which a twin that spins would do nothing else.
  s.lingers = prng.one_in(48) && !s.deaf && !s.twin_spins && s.bgp_neighbours == 0;
  return s;
}

void Setup::draw_bgp() {
  if (bgp_neighbours != 0) return;
  Prng prng(seed, 10);
  bgp_neighbours = static_cast<std::uint32_t>(prng.between(1, 3));
  bgp_changes = static_cast<std::uint32_t>(prng.skewed(100));
  // So that there is often more to be said than there is room for.
  if (prng.one_in(3)) send_queue_bytes = 8192;
  bulk = bulk || prng.one_in(4);
  lazy = lazy || prng.one_in(4);
  bgp_restarts = prng.one_in(3);
  // As if the tables were larger.
  if (bulk && prng.one_in(2)) route_cost_ns = 10'000;
}

std::string Setup::describe() const {
  char text[256];
  std::snprintf(
      text, sizeof text,
      "IPv%d, %u disturbances, %u exchanges of up to %u bytes, batches of %u, re-protected after %u ms, loss %u, "
      "duplication %u, corruption %u, reordering %u in 1000",
      v6 ? 6 : 4, disturbances, transfers, max_bytes, batch_frames, reprotect_delay_ms, faults.loss_permille,
      faults.duplication_permille, faults.corruption_permille, faults.reordering_permille);
  std::string words = text;
  for_each_field(*this, [&words](std::string_view name, const auto& field) {
    if (!std::is_same_v<std::decay_t<decltype(field)>, bool> || !field || name == "v6") return;
    words += ", ";
    words += name;
    std::replace(words.begin(), words.end(), '_', ' ');
  });
  const auto add = [&words](const char* what, std::uint64_t value) {
    if (value != 0) words += ", " + (what + std::to_string(value));
  };
  add("late neighbours, ns: ", neighbour_delay_ns);
  add("preemptions within steps: ", preempt_within_steps);
  add("allocations that fail, in 1000: ", short_memory_permille);
  add("bytes of the log: ", log_bytes);
  add("BGP neighbours, instead of exchanges: ", bgp_neighbours);
  add("changes of routes: ", bgp_changes);
  add("pid namespaces, kind ", pid_namespaces);
  if (queues != 1) add("receive queues: ", queues);
  return words;
}

std::string Setup::to_text() const {
  std::string text = "seed=" + std::to_string(seed);
  std::vector<std::uint64_t> plain;
  const Setup plain_setup;
  for_each_field(plain_setup, [&plain](const char*, const auto& field) { plain.push_back(std::uint64_t{field}); });
  for_each_field(*this, [&text, &plain, i = std::size_t{0}](const char* name, const auto& field) mutable {
    if (plain[i++] != field) text += std::string(",") + name + "=" + std::to_string(field);
  });
  return text;
}

std::optional<Setup> Setup::from_text(std::string_view text) {
  Setup setup;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view name = item.substr(0, equals);
    const char* const end = item.data() + item.size();
    std::uint64_t value = 0;
    if (const auto [at, error] = std::from_chars(item.data() + equals + 1, end, value);
        error != std::errc{} || at != end)
      return std::nullopt;
    bool known = name == "seed";
    if (known) setup.seed = value;
    for_each_field(setup, [&](const char* field_name, auto& field) {
      if (name != field_name) return;
      known = true;
      field = static_cast<std::remove_reference_t<decltype(field)>>(value);
    });
    if (!known) return std::nullopt;
  }
  return setup;
}

}  // namespace tandem::sim
