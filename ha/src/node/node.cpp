// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/node.hpp"

#include <poll.h>
#include <algorithm>
#include <bit>
#include <cerrno>
#include <system_error>

#include "log/log_limits.hpp"
#include "members/fencing.hpp"
#include "node/node_impl.hpp"
#include "node/system.hpp"
#include "tandem/addressing.hpp"
#include "tandem/planted.hpp"
#include "tandem/shown.hpp"

namespace tandem {

using ha::NodeError;

namespace {

/// A service manager hears of a node at least this often.
constexpr std::uint64_t kReportState_ns = 1'000'000'000;
/// What a log that takes nothing may hold up the end by.
constexpr std::uint64_t kLastLines_ns = 1'000'000'000;

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::alone:
      return "alone";
    case Role::primary:
      return "primary";
    case Role::twin:
      return "twin";
  }
  return "?";
}

Node::Node(NodeOptions options) : impl_(std::make_unique<Impl>(*this, std::move(options))) {}
Node::~Node() = default;

void Node::set_application(Application* application) { impl_->application_ = application; }
void Node::set_log_hook(LogHook hook) { impl_->log_hook_ = std::move(hook); }
void Node::set_state_hook(StateHook hook) { impl_->state_hook_ = std::move(hook); }

void Node::define_service(std::uint16_t service, HandlerFactory factory) {
  auto step = [service, factory = std::move(factory)](Stack& stack) { stack.define_service(service, factory); };
  if (impl_->stack_)
    step(*impl_->stack_);
  else
    impl_->setup_.push_back(std::move(step));
}

void Node::listen(std::uint16_t port, Replication replication, HandlerFactory factory) {
  define_service(port, std::move(factory));
  auto step = [this, port, replication](Stack& stack) {
    std::vector<std::uint16_t>& ports = impl_->listening_ports_;
    if (std::find(ports.begin(), ports.end(), port) != ports.end())
      throw std::invalid_argument("two services listen on port " + std::to_string(port) + "; give each its own");
    ports.push_back(port);
    for (const std::uint8_t version : {std::uint8_t{4}, std::uint8_t{6}}) {
      if (!local_address(version).is_any()) stack.listen({IpAddress::any(version), port}, replication, port);
    }
  };
  if (impl_->stack_)
    step(*impl_->stack_);
  else
    impl_->setup_.push_back(std::move(step));
}

int Node::run() { return impl_->run(); }
void Node::request_stop() { ++impl_->stops_; }
bool Node::wants_rejoin() const { return impl_->rejoin_wanted_; }

bool Node::request_switchover(std::string* why) {
  if (impl_->role_ == Role::primary && impl_->twin_is_member()) {
    impl_->switchover_requested_ = true;
    return true;
  }
  if (why != nullptr) *why = "no switchover: " + impl_->why_unprotected();
  return false;
}

Role Node::role() const { return impl_->role_; }
const NodeOptions& Node::options() const { return impl_->options_; }
std::uint64_t Node::now_ns() const { return impl_->replica_ ? impl_->replica_->time_ns() : impl_->now_ns_; }
Stack& Node::stack() { return *impl_->stack_; }
Loop& Node::loop() { return *impl_->loop_; }
std::uint64_t Node::turn_deadline_ns() const { return impl_->stack_->turn_deadline_ns(); }
bool Node::out_of_time() const { return impl_->role_ != Role::twin && impl_->stack_->out_of_time(); }
void Node::still_working() { impl_->still_working(); }
void Node::log(std::string_view text, LogLevel level) const { impl_->log(text, level); }

IpAddress Node::local_address(const IpAddress& remote) const {
  const IpPrefix* nearest = nullptr;
  for (const IpPrefix& prefix : impl_->options_.addresses) {
    if (prefix.address.is_link_local() && remote.is_link_local()) return prefix.address;
    if (prefix.contains(remote) && (nearest == nullptr || prefix.length > nearest->length)) nearest = &prefix;
  }
  return nearest != nullptr ? nearest->address : local_address(remote.version);
}

IpAddress Node::local_address(std::uint8_t version) const {
  for (const IpPrefix& prefix : impl_->options_.addresses) {
    if (prefix.address.version == version) return prefix.address;
  }
  return IpAddress::any(version);
}

Connection* Node::connect(const Endpoint& remote, Replication replication, std::uint16_t service, EndReason* why) {
  return impl_->stack_->connect({local_address(remote.address), 0}, remote, replication, service, why);
}

bool Node::note(Bytes bytes) {
  if (!impl_->recorder_ || !impl_->recorder_->active()) return true;
  const bool fits = impl_->writer_->append_whole(ha::RecordType::note, 0, bytes);
  TANDEM_SHOWN(Shown::application_note, 0, bytes.size());
  return fits;
}

void Node::Impl::log(std::string_view text, LogLevel level) {
  if (level > LogLevel::error && !log_limiter_.admits(monotonic_ns())) return;
  if (const std::uint64_t left_out = log_limiter_.take_left_out(); left_out != 0)
    write_log(std::to_string(left_out) + " lines were left out: they came faster than they could be read",
              LogLevel::warning);
  write_log(text, level);
}

void Node::Impl::write_log(std::string_view text, LogLevel level) {
  // What peers say is quoted in places: no line of theirs may look like one of ours.
  std::string one_line(text);
  std::replace_if(
      one_line.begin(), one_line.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  if (log_hook_) return log_hook_(level, role_, one_line);
  const auto write = [this](LogLevel priority, std::string_view line) {
    return ha::system::write_log_line(static_cast<int>(priority), to_string(role_), line);
  };
  // Whoever reads it may stand still, and nobody waits for that: lines are lost then, and counted.
  if (lines_lost_ != 0) {
    const std::uint64_t lost =
        write(LogLevel::warning, std::to_string(lines_lost_) + " lines were lost: standard error did not take them");
    lines_lost_ = lost == 0 ? 0 : lines_lost_ + lost - 1;
  }
  lines_lost_ += write(level, one_line);
}

void Node::Impl::report_state(std::uint64_t now_ns, bool ready) {
  if (!state_hook_) return;
  const NodeState state{role_, ready, is_protected(), stopping()};
  if (now_ns < next_state_report_ns_ && state == reported_state_) return;
  next_state_report_ns_ = now_ns + kReportState_ns;
  reported_state_ = state;
  state_hook_(state);
}

ha::Fingerprint Node::Impl::fingerprint() const {
  ha::Fingerprint result;
  std::string addresses;
  std::vector<IpPrefix> sorted = options_.addresses;
  // It follows from the others.
  if (link_local_) std::erase(sorted, *link_local_);
  std::sort(sorted.begin(), sorted.end());
  for (const IpPrefix& prefix : sorted) addresses += (addresses.empty() ? "" : " ") + prefix.to_string();
  result["address"] = addresses;
  std::string gateways;
  for (const IpAddress& gateway : options_.gateways) gateways += (gateways.empty() ? "" : " ") + gateway.to_string();
  result["gateway"] = gateways;
  result["device"] = options_.device.spec.to_string();
  if (options_.device.mac) result["mac"] = options_.device.mac->to_string();
  result["send-queue"] = std::to_string(options_.send_queue_bytes);
  result["receive-window"] = std::to_string(options_.receive_window_bytes);
  if (application_ != nullptr) {
    for (auto& [name, value] : application_->fingerprint()) result[name] = value;
  }
  return result;
}

const std::vector<std::uint8_t>& Node::Impl::options_text() {
  if (options_text_.empty()) options_text_ = ha::encode_fingerprint(fingerprint());
  return options_text_;
}

void Node::Impl::check_options() const {
  if (options_.addresses.empty()) {
    throw NodeError(exit_code::kUsage, "no address was given. Name at least one with --address ADDR/LEN.");
  }
  if (const std::string error = addressing_error(options_.addresses, options_.gateways); !error.empty()) {
    throw NodeError(exit_code::kUsage, error + ".");
  }
  if (!std::has_single_bit(options_.log_bytes) || options_.log_bytes < ha::log_limits.least_bytes) {
    throw NodeError(exit_code::kUsage, "the log's size is " + std::to_string(options_.log_bytes) +
                                           " bytes; it must be a power of two of at least 8 MiB.");
  }
  if (!options_.group.empty() && options_.receive_window_bytes * 4 > options_.log_bytes) {
    throw NodeError(exit_code::kUsage,
                    "the log must be at least four receive windows large, so that one turn fits into it. Make "
                    "the log larger or the window smaller.");
  }
  if (!options_.group.empty() && options_.send_queue_bytes * 4 > options_.log_bytes) {
    throw NodeError(
        exit_code::kUsage,
        "the log must be at least four send queues large, so that a connection can be given to a twin. Make "
        "the log larger (--log-size) or the queue smaller (--send-queue).");
  }
  if (options_.detect_ms < 10 || options_.detect_ms > 60'000) {
    throw NodeError(exit_code::kUsage, "--detect must be from 10 to 60000 milliseconds.");
  }
  if (const std::string taken = ha::system::address_of_the_kernel(options_.addresses, options_.device.spec.interface);
      !taken.empty()) {
    throw NodeError(exit_code::kBusy, "the address " + taken +
                                          ", so the kernel would answer for it too. Give Tandem an address of "
                                          "its own, or remove it there with \"ip address del\".");
  }
}

void Node::Impl::take_link_local() {
  link_local_ = derived_link_local(options_.group, options_.addresses);
  if (link_local_) options_.addresses.push_back(*link_local_);
  std::vector<IpAddress>& steered = options_.device.steering.addresses;
  if (steered.empty()) {
    for (const IpPrefix& prefix : options_.addresses) steered.push_back(prefix.address);
  } else if (link_local_) {
    steered.push_back(link_local_->address);
  }
}

void Node::Impl::make_stack() {
  StackOptions options;
  options.addresses = options_.addresses;
  options.gateways = options_.gateways;
  options.send_queue_bytes = options_.send_queue_bytes;
  options.receive_window_bytes = options_.receive_window_bytes;
  options.max_neighbours = options_.max_neighbours;
  options.on_address_conflict = [this](const AddressConflict& conflict) {
    log("the address " + conflict.address.to_string() + " is claimed by " + conflict.claimed_by.to_string() +
            " as well (" + std::to_string(conflict.count) +
            " times so far). It stays ours, and was announced again. Find that host and give it another address.",
        LogLevel::warning);
  };
  options.now_ns = monotonic_ns;
  // Every stack begins dormant: a primary's is activated at once, a twin's when it is promoted.
  options.dormant = true;
  stack_ = std::make_unique<Stack>(std::move(options), *device_);
  for (const auto& step : setup_) step(*stack_);
  if (application_ != nullptr) application_->on_start(node_);
}

void Node::Impl::watch_signals() {
  // In a program of somebody else's they are that program's.
  if (!options_.handle_signals) return;
  signals_ = ha::system::catch_signals();
  loop_->watch(signals_.get(), POLLIN, [this](short) { take_signals(); });
}

void Node::Impl::take_signals() {
  const ha::system::SignalsTaken taken = ha::system::take_signals(signals_.get());
  stops_ += taken.stops;
  if (taken.hang_ups != 0) log("SIGHUP: there is nothing to be read again; going on");
  if (taken.reports != 0 && device_ && stack_ && role_ != Role::twin)
    log(std::string(to_string(role_)) + " on " + device_->description() + ", " +
        std::to_string(stack_->connection_count()) + " connections, " +
        (twin_is_member() ? std::string("protected") : "unprotected: " + unprotected_why_));
  // Both of a pair may get it: whoever is the twin by then stays that.
  if (taken.switchovers != 0 && role_ == Role::primary) {
    std::string why;
    if (!node_.request_switchover(&why)) log("SIGUSR2: " + why, LogLevel::warning);
  }
}

int Node::Impl::run() {
  const int code = play_roles();
  drop_claims();
  if (holder_.valid()) rendezvous_->withdraw(identity_);
  ha::system::await_log_lines(kLastLines_ns);
  return code;
}

void Node::Impl::drop_claims() {
  if (group_ == nullptr) return;
  if (slot_ != nullptr) {
    ha::set_crash_notice(nullptr);
    ha::drop_ownership(*slot_);
    slot_ = nullptr;
    at_work_ = ha::FramesAtWork();
  }
  if (place_held_) {
    ha::leave_place(group_->readers[reader_]);
    place_held_ = false;
  }
}

void Node::Impl::pause_before_retry() {
  constexpr std::uint64_t kShortest_ns = 1'000'000;
  constexpr std::uint64_t kLongest_ns = 1'000'000'000;
  retry_pause_ns_ = std::clamp(2 * retry_pause_ns_, kShortest_ns, kLongest_ns);
  const std::uint64_t until = monotonic_ns() + retry_pause_ns_;
  while (!stopping() && monotonic_ns() < until) {
    report_state(monotonic_ns(), false);
    loop_->run_once(until);
  }
}

void Node::Impl::end_holders(const std::vector<ha::Rendezvous::Holder>& holders) {
  for (const ha::Rendezvous::Holder& holder : holders) {
    const ha::Fencing fencing = ha::system::may_kill(holder.process.get());
    if (fencing != ha::Fencing::possible) {
      throw NodeError(
          exit_code::kBusy,
          "the primary of group \"" + options_.group +
              "\" has gone, and a process that was its twin stands still and holds its device; it cannot be "
              "ended from here: " +
              ha::why_no_fence(fencing) + ". End it by hand (fuser " + rendezvous_->directory() +
              "/holder-* names it).");
    }
    if (!ha::system::kill_process(holder.process.get())) continue;
  }
  if (!std::exchange(orphan_said_, true))
    log("the primary has gone, and a process that was its twin stands still and holds what belongs to the group: ended "
        "it",
        LogLevel::warning);
}

bool Node::Impl::start_with(ha::Descriptor lock) {
  /// A twin takes over within milliseconds, one that was removed lets go at once; both may wait for a processor.
  constexpr std::uint64_t kStandsStill_ns = 3'000'000'000;
  const std::vector<ha::Rendezvous::Holder> holders = rendezvous_->holders(identity_);
  if (holders.empty() || TANDEM_PLANTED(holders_ignored)) {
    start_primary(rendezvous_->listen(std::move(lock)));
    return true;
  }
  const std::uint64_t now = monotonic_ns();
  if (orphan_since_ns_ == 0) orphan_since_ns_ = now;
  if (now - orphan_since_ns_ > kStandsStill_ns) end_holders(holders);
  return false;
}

int Node::Impl::join_group() {
  std::uint64_t refused_since_ns = 0;
  while (!stopping()) {
    if (ha::Descriptor lock = rendezvous_->try_lock(); lock.valid()) {
      if (start_with(std::move(lock))) return run_primary();
      loop_->run_once(monotonic_ns() + 2'000'000);
      continue;
    }
    orphan_since_ns_ = 0;
    if (auto socket = rendezvous_->try_connect()) {
      refused_since_ns = 0;
      attach(std::move(*socket));
      if (!attach_socket_.valid()) {
        // The primary went away before it welcomed us, or right after.
        leave_group();
        if (!std::exchange(attach_failure_said_, true))
          log("not attached: " + attach_failure_ + "; trying again, with pauses of up to a second", LogLevel::warning);
        pause_before_retry();
        continue;
      }
      const TwinEnd end = run_twin();
      switch (end) {
        case TwinEnd::take_over:
          return run_primary();
        case TwinEnd::join_again:
          // Who was a member has lost its place for a reason of its own; who never came so far is not to try without a pause.
          if (replica_ && replica_->complete()) {
            retry_pause_ns_ = 0;
            attach_failure_said_ = false;
          }
          leave_group();
          pause_before_retry();
          continue;
        case TwinEnd::stop:
          log("told to end: the primary goes on without this twin");
          return exit_code::kOk;
        case TwinEnd::shut_down:
          return exit_code::kShutDown;
      }
    }
    // Somebody holds the lock and does not listen: it is starting, or it is ending.
    const std::uint64_t now = monotonic_ns();
    if (refused_since_ns == 0) refused_since_ns = now;
    if (now - refused_since_ns > 10'000'000'000) {
      throw NodeError(exit_code::kBusy,
                      "the lock in " + rendezvous_->directory() +
                          " is held but nobody answered on attach.sock for 10 seconds. Look for a process of "
                          "this group that is stuck (fuser " +
                          rendezvous_->directory() + "/lock) and end it.");
    }
    report_state(now, false);
    loop_->run_once(now + 2'000'000);
  }
  return exit_code::kOk;
}

int Node::Impl::play_roles() {
  try {
    started_ns_ = now_ns_ = monotonic_ns();
    thread_ = std::this_thread::get_id();
    identity_ = ha::system::draw_identity();
    step_in();
    take_link_local();
    check_options();
    loop_ = std::make_unique<Loop>(options_.loop);
    watch_signals();
    options_.device.group = options_.group;
    if (options_.group.empty()) {
      start_alone();
      return run_primary();
    }
    rendezvous_.emplace(options_.runtime_dir, options_.group);
    return join_group();
  } catch (const NodeError& error) {
    log(error.what(), LogLevel::error);
    return error.code();
  } catch (const DeviceError& error) {
    log(error.what(), LogLevel::error);
    switch (error.kind()) {
      case DeviceError::Kind::privilege:
        return exit_code::kPrivilege;
      case DeviceError::Kind::no_interface:
        return exit_code::kNoInterface;
      case DeviceError::Kind::busy:
        return exit_code::kBusy;
      case DeviceError::Kind::unsupported:
        return exit_code::kUnsupported;
      case DeviceError::Kind::bad_option:
        return exit_code::kUsage;
      case DeviceError::Kind::system:
        return exit_code::kSystem;
    }
    return exit_code::kFailure;
  } catch (const std::system_error& error) {
    log(error.what(), LogLevel::error);
    return error.code().value() == EPERM || error.code().value() == EACCES ? exit_code::kPrivilege : exit_code::kSystem;
  } catch (const std::invalid_argument& error) {
    log(error.what(), LogLevel::error);
    return exit_code::kUsage;
  } catch (const std::exception& error) {
    log(error.what(), LogLevel::error);
    return exit_code::kFailure;
  }
}

}  // namespace tandem
