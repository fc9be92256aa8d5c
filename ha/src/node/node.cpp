// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/node.hpp"

#include <poll.h>
#include <algorithm>
#include <bit>
#include <cerrno>
#include <system_error>

#include "log/log_limits.hpp"
#include "members/fencing.hpp"
#include "node/group.hpp"
#include "node/node_error.hpp"
#include "node/process.hpp"
#include "node/system.hpp"
#include "tandem/addressing.hpp"
#include "tandem/planted.hpp"
#include "tandem/shown.hpp"

namespace tandem {

namespace {

/// What a log that takes nothing may hold up the end by.
constexpr std::uint64_t kLastLines_ns = 1'000'000'000;

}  // namespace

struct Node::Impl {
  Impl(Node& node, NodeOptions options) : group(node, process, std::move(options)) {}

  int play();

  ha::Process process;
  ha::Group group;
};

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

void Node::set_application(Application* application) { impl_->group.application = application; }
void Node::set_log_hook(LogHook hook) { impl_->process.set_log_hook(std::move(hook)); }
void Node::set_state_hook(StateHook hook) { impl_->process.set_state_hook(std::move(hook)); }

void Node::define_service(std::uint16_t service, HandlerFactory factory) {
  auto step = [service, factory = std::move(factory)](Stack& stack) { stack.define_service(service, factory); };
  if (impl_->group.stack)
    step(*impl_->group.stack);
  else
    impl_->group.setup.push_back(std::move(step));
}

void Node::listen(std::uint16_t port, Replication replication, HandlerFactory factory) {
  define_service(port, std::move(factory));
  auto step = [this, port, replication](Stack& stack) {
    std::vector<std::uint16_t>& ports = impl_->group.listening_ports;
    if (std::find(ports.begin(), ports.end(), port) != ports.end())
      throw std::invalid_argument("two services listen on port " + std::to_string(port) + "; give each its own");
    ports.push_back(port);
    for (const std::uint8_t version : {std::uint8_t{4}, std::uint8_t{6}}) {
      if (!local_address(version).is_any()) stack.listen({IpAddress::any(version), port}, replication, port);
    }
  };
  if (impl_->group.stack)
    step(*impl_->group.stack);
  else
    impl_->group.setup.push_back(std::move(step));
}

void Node::request_stop() { impl_->process.stop(); }
bool Node::wants_rejoin() const { return impl_->group.rejoin_wanted; }

bool Node::request_switchover(std::string* why) { return impl_->group.primary.request_switchover(why); }

Role Node::role() const { return impl_->group.role; }
const NodeOptions& Node::options() const { return impl_->group.options; }
std::uint64_t Node::now_ns() const {
  return impl_->group.twin.follows() ? impl_->group.twin.time_ns() : impl_->group.now_ns;
}
Stack& Node::stack() { return *impl_->group.stack; }
Loop& Node::loop() { return impl_->process.loop(); }
std::uint64_t Node::turn_deadline_ns() const { return impl_->group.stack->turn_deadline_ns(); }
bool Node::out_of_time() const { return impl_->group.role != Role::twin && impl_->group.stack->out_of_time(); }
void Node::still_working() { impl_->group.primary.still_working(); }
void Node::log(std::string_view text, LogLevel level) const { impl_->group.log(text, level); }

IpAddress Node::local_address(const IpAddress& remote) const {
  const IpPrefix* nearest = nullptr;
  for (const IpPrefix& prefix : impl_->group.options.addresses) {
    if (prefix.address.is_link_local() && remote.is_link_local()) return prefix.address;
    if (prefix.contains(remote) && (nearest == nullptr || prefix.length > nearest->length)) nearest = &prefix;
  }
  return nearest != nullptr ? nearest->address : local_address(remote.version);
}

IpAddress Node::local_address(std::uint8_t version) const {
  for (const IpPrefix& prefix : impl_->group.options.addresses) {
    if (prefix.address.version == version) return prefix.address;
  }
  return IpAddress::any(version);
}

Connection* Node::connect(const Endpoint& remote, Replication replication, std::uint16_t service, EndReason* why) {
  return impl_->group.stack->connect({local_address(remote.address), 0}, remote, replication, service, why);
}

bool Node::note(Bytes bytes) { return impl_->group.primary.note(bytes); }

int Node::run() {
  const int code = impl_->play();
  ha::Group& group = impl_->group;
  group.drop_claims();
  if (group.holder.valid()) group.rendezvous->withdraw(impl_->process.identity());
  ha::system::await_log_lines(kLastLines_ns);
  return code;
}

int Node::Impl::play() {
  try {
    process.begin(group.options.loop);
    group.now_ns = process.started_ns();
    // In a program of somebody else's they are that program's.
    if (group.options.handle_signals)
      process.catch_signals([this](const ha::system::SignalsTaken& taken) { group.take_signals(taken); });
    return group.play();
  } catch (const ha::NodeError& error) {
    group.log(error.what(), LogLevel::error);
    return error.code();
  } catch (const DeviceError& error) {
    group.log(error.what(), LogLevel::error);
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
    group.log(error.what(), LogLevel::error);
    return error.code().value() == EPERM || error.code().value() == EACCES ? exit_code::kPrivilege : exit_code::kSystem;
  } catch (const std::invalid_argument& error) {
    group.log(error.what(), LogLevel::error);
    return exit_code::kUsage;
  } catch (const std::exception& error) {
    group.log(error.what(), LogLevel::error);
    return exit_code::kFailure;
  }
}

}  // namespace tandem
