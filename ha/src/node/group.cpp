// SPDX-License-Identifier: BSD-3-Clause
#include "node/group.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

#include "log/log_limits.hpp"
#include "members/crash_notice.hpp"
#include "members/fencing.hpp"
#include "members/owner_claim.hpp"
#include "node/node_error.hpp"
#include "node/system.hpp"
#include "tandem/addressing.hpp"
#include "tandem/planted.hpp"

namespace tandem::ha {

int Group::play() {
  take_link_local();
  check_options();
  options.device.group = options.group;
  if (options.group.empty()) {
    primary.start_alone();
    return primary.run();
  }
  rendezvous.emplace(options.runtime_dir, options.group);
  return find_role();
}

void Group::report_state(std::uint64_t at_ns, bool ready) {
  if (!process.reports_state()) return;
  process.report_state(at_ns, {role, ready, primary.twins().is_protected(), process.stopping()});
}

void Group::take_signals(const system::SignalsTaken& taken) {
  if (taken.hang_ups != 0) log("SIGHUP: there is nothing to be read again; going on");
  if (taken.reports != 0 && device && stack && role != Role::twin)
    log(std::string(to_string(role)) + " on " + device->description() + ", " +
        std::to_string(stack->connection_count()) + " connections, " +
        (primary.twins().has_member() ? std::string("protected") : "unprotected: " + primary.twins().why_said()));
  // Both of a pair may get it: whoever is the twin by then stays that.
  if (taken.switchovers != 0 && role == Role::primary) {
    std::string why;
    if (!primary.request_switchover(&why)) log("SIGUSR2: " + why, LogLevel::warning);
  }
}

Fingerprint Group::fingerprint() const {
  Fingerprint result;
  std::string addresses;
  std::vector<IpPrefix> sorted = options.addresses;
  // It follows from the others.
  if (link_local) std::erase(sorted, *link_local);
  std::sort(sorted.begin(), sorted.end());
  for (const IpPrefix& prefix : sorted) addresses += (addresses.empty() ? "" : " ") + prefix.to_string();
  result["address"] = addresses;
  std::string gateways;
  for (const IpAddress& gateway : options.gateways) gateways += (gateways.empty() ? "" : " ") + gateway.to_string();
  result["gateway"] = gateways;
  result["device"] = options.device.spec.to_string();
  if (options.device.mac) result["mac"] = options.device.mac->to_string();
  result["send-queue"] = std::to_string(options.send_queue_bytes);
  result["receive-window"] = std::to_string(options.receive_window_bytes);
  if (application != nullptr) {
    for (auto& [name, value] : application->fingerprint()) result[name] = value;
  }
  return result;
}

const std::vector<std::uint8_t>& Group::options_text() {
  if (options_text_.empty()) options_text_ = encode_fingerprint(fingerprint());
  return options_text_;
}

void Group::check_options() const {
  if (options.addresses.empty()) {
    throw NodeError(exit_code::kUsage, "no address was given. Name at least one with --address ADDR/LEN.");
  }
  if (const std::string error = addressing_error(options.addresses, options.gateways); !error.empty()) {
    throw NodeError(exit_code::kUsage, error + ".");
  }
  if (!std::has_single_bit(options.log_bytes) || options.log_bytes < log_limits.least_bytes) {
    throw NodeError(exit_code::kUsage, "the log's size is " + std::to_string(options.log_bytes) +
                                           " bytes; it must be a power of two of at least 8 MiB.");
  }
  if (!options.group.empty() && options.receive_window_bytes * 4 > options.log_bytes) {
    throw NodeError(exit_code::kUsage,
                    "the log must be at least four receive windows large, so that one turn fits into it. Make "
                    "the log larger or the window smaller.");
  }
  if (!options.group.empty() && options.send_queue_bytes * 4 > options.log_bytes) {
    throw NodeError(
        exit_code::kUsage,
        "the log must be at least four send queues large, so that a connection can be given to a twin. Make "
        "the log larger (--log-size) or the queue smaller (--send-queue).");
  }
  if (options.detect_ms < 10 || options.detect_ms > 60'000) {
    throw NodeError(exit_code::kUsage, "--detect must be from 10 to 60000 milliseconds.");
  }
  if (const std::string taken = system::address_of_the_kernel(options.addresses, options.device.spec.interface);
      !taken.empty()) {
    throw NodeError(exit_code::kBusy, "the address " + taken +
                                          ", so the kernel would answer for it too. Give Tandem an address of "
                                          "its own, or remove it there with \"ip address del\".");
  }
}

void Group::take_link_local() {
  link_local = derived_link_local(options.group, options.addresses);
  if (link_local) options.addresses.push_back(*link_local);
  std::vector<IpAddress>& steered = options.device.steering.addresses;
  if (steered.empty()) {
    for (const IpPrefix& prefix : options.addresses) steered.push_back(prefix.address);
  } else if (link_local) {
    steered.push_back(link_local->address);
  }
}

void Group::make_stack() {
  StackOptions made;
  made.addresses = options.addresses;
  made.gateways = options.gateways;
  made.send_queue_bytes = options.send_queue_bytes;
  made.receive_window_bytes = options.receive_window_bytes;
  made.max_neighbours = options.max_neighbours;
  made.on_address_conflict = [this](const AddressConflict& conflict) {
    log("the address " + conflict.address.to_string() + " is claimed by " + conflict.claimed_by.to_string() +
            " as well (" + std::to_string(conflict.count) +
            " times so far). It stays ours, and was announced again. Find that host and give it another address.",
        LogLevel::warning);
  };
  made.now_ns = monotonic_ns;
  // Every stack begins dormant: a primary's is activated at once, a twin's when it is promoted.
  made.dormant = true;
  stack = std::make_unique<Stack>(std::move(made), *device);
  for (const auto& step : setup) step(*stack);
  if (application != nullptr) application->on_start(node);
}

void Group::drop_claims() {
  if (shared == nullptr) return;
  if (slot != nullptr) {
    set_crash_notice(nullptr);
    drop_ownership(*slot);
    slot = nullptr;
    at_work = FramesAtWork();
  }
  twin.drop_claim();
}

void Group::pause_before_retry() {
  constexpr std::uint64_t kShortest_ns = 1'000'000;
  constexpr std::uint64_t kLongest_ns = 1'000'000'000;
  retry_pause_ns_ = std::clamp(2 * retry_pause_ns_, kShortest_ns, kLongest_ns);
  const std::uint64_t until = monotonic_ns() + retry_pause_ns_;
  while (!process.stopping() && monotonic_ns() < until) {
    report_state(monotonic_ns(), false);
    process.loop().run_once(until);
  }
}

void Group::end_holders(const std::vector<Rendezvous::Holder>& holders) {
  for (const Rendezvous::Holder& holder : holders) {
    const Fencing fencing = system::may_kill(holder.process.get());
    if (fencing != Fencing::possible) {
      throw NodeError(
          exit_code::kBusy,
          "the primary of group \"" + options.group +
              "\" has gone, and a process that was its twin stands still and holds its device; it cannot be "
              "ended from here: " +
              why_no_fence(fencing) + ". End it by hand (fuser " + rendezvous->directory() + "/holder-* names it).");
    }
    if (!system::kill_process(holder.process.get())) continue;
  }
  if (!std::exchange(orphan_said_, true))
    log("the primary has gone, and a process that was its twin stands still and holds what belongs to the group: ended "
        "it",
        LogLevel::warning);
}

bool Group::start_with(Descriptor lock) {
  /// A twin takes over within milliseconds, one that was removed lets go at once; both may wait for a processor.
  constexpr std::uint64_t kStandsStill_ns = 3'000'000'000;
  const std::vector<Rendezvous::Holder> holders = rendezvous->holders(process.identity());
  if (holders.empty() || TANDEM_PLANTED(holders_ignored)) {
    primary.start(rendezvous->listen(std::move(lock)));
    return true;
  }
  const std::uint64_t now = monotonic_ns();
  if (orphan_since_ns_ == 0) orphan_since_ns_ = now;
  if (now - orphan_since_ns_ > kStandsStill_ns) end_holders(holders);
  return false;
}

int Group::find_role() {
  std::uint64_t refused_since_ns = 0;
  while (!process.stopping()) {
    if (Descriptor lock = rendezvous->try_lock(); lock.valid()) {
      if (start_with(std::move(lock))) return primary.run();
      process.loop().run_once(monotonic_ns() + 2'000'000);
      continue;
    }
    orphan_since_ns_ = 0;
    if (auto socket = rendezvous->try_connect()) {
      refused_since_ns = 0;
      twin.attach(std::move(*socket));
      if (!twin.is_attached()) {
        // The primary went away before it welcomed us, or right after.
        leave();
        if (!std::exchange(attach_failure_said_, true))
          log("not attached: " + attach_failure + "; trying again, with pauses of up to a second", LogLevel::warning);
        pause_before_retry();
        continue;
      }
      const Twin::End end = twin.run();
      switch (end) {
        case Twin::End::take_over:
          return primary.run();
        case Twin::End::join_again:
          // Who was a member has lost its place for a reason of its own; who never came so far is not to try without a pause.
          if (twin.was_complete()) {
            retry_pause_ns_ = 0;
            attach_failure_said_ = false;
          }
          leave();
          pause_before_retry();
          continue;
        case Twin::End::stop:
          log("told to end: the primary goes on without this twin");
          return exit_code::kOk;
        case Twin::End::shut_down:
          return exit_code::kShutDown;
      }
    }
    // Somebody holds the lock and does not listen: it is starting, or it is ending.
    const std::uint64_t now = monotonic_ns();
    if (refused_since_ns == 0) refused_since_ns = now;
    if (now - refused_since_ns > 10'000'000'000) {
      throw NodeError(exit_code::kBusy,
                      "the lock in " + rendezvous->directory() +
                          " is held but nobody answered on attach.sock for 10 seconds. Look for a process of "
                          "this group that is stuck (fuser " +
                          rendezvous->directory() + "/lock) and end it.");
    }
    report_state(now, false);
    process.loop().run_once(now + 2'000'000);
  }
  return exit_code::kOk;
}

void Group::withdraw_holder() {
  if (!holder.valid()) return;
  rendezvous->withdraw(process.identity());
  holder.reset();
}

void Group::leave() {
  drop_claims();
  process.step_forward();
  role = Role::alone;
  twin.leave();
  stack.reset();
  link.unwatch();
  device.reset();
  descriptors = {};
  shared = nullptr;
  shared_mapping = {};
  log_mapping = {};
  shared_file.reset();
  log_file.reset();
  listening_ports.clear();
  withdraw_holder();
}

}  // namespace tandem::ha
