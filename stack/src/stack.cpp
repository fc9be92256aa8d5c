// SPDX-License-Identifier: BSD-3-Clause
//
// The face of a stack. Every public call enters the stack (stack_scope.hpp); what it does stands in the other files.
#include "tandem/stack.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"
#include "tandem/addressing.hpp"
#include "tandem/planted.hpp"
#include "udp_endpoint.hpp"

namespace tandem {

namespace {

constexpr std::size_t kMinWindowBytes = 64 * 1024;
constexpr std::size_t kMaxSendQueueBytes = std::size_t{1} << 29;
constexpr std::uint32_t kMinMtu = 576;
constexpr std::size_t kMinNeighbours = 16;
constexpr std::size_t kMaxNeighbours = std::size_t{1} << 20;
constexpr std::uint32_t kMinMtuV6 = 1280;  // RFC 8200 section 5

void check(bool holds, const std::string& why) {
  if (!holds) {
    throw std::invalid_argument(why);
  }
}

StackOptions checked(StackOptions options, const LinkDevice& device) {
  check(static_cast<bool>(options.now_ns), "a stack needs a clock; set StackOptions::now_ns");
  check(options.receive_window_bytes >= kMinWindowBytes && options.receive_window_bytes <= TCP_WND,
        "the receive window has to be between 65,536 and " + std::to_string(TCP_WND) + " bytes");
  check(options.send_queue_bytes >= 1 && options.send_queue_bytes <= kMaxSendQueueBytes,
        "the send queue has to be between 1 and 536,870,912 bytes");
  check(options.max_connections >= 1, "a stack needs room for at least one connection");
  check(options.max_neighbours >= kMinNeighbours && options.max_neighbours <= kMaxNeighbours,
        "the neighbour table has to hold between " + std::to_string(kMinNeighbours) + " and " +
            std::to_string(kMaxNeighbours) + " neighbours");
  const std::string error = addressing_error(options.addresses, options.gateways);
  check(error.empty(), error);
  const bool has_v6 = std::any_of(options.addresses.begin(), options.addresses.end(),
                                  [](const IpPrefix& prefix) { return prefix.address.is_v6(); });
  check(device.mtu() >= (has_v6 ? kMinMtuV6 : kMinMtu),
        "the device's MTU of " + std::to_string(device.mtu()) + " bytes is too small");
  return options;
}

/// The three keys that a stack needs, from one secret.
SipKey key_from(const StackOptions& options, std::uint8_t purpose) {
  SipKey base{};
  SipKey mask{};
  std::memcpy(base.data(), options.secret.data(), sizeof base);
  std::memcpy(mask.data(), options.secret.data() + sizeof base, sizeof mask);
  SipKey key{};
  for (std::uint8_t i = 0; i < key.size(); ++i) {
    const std::array<std::uint8_t, 2> input{purpose, i};
    key[i] = siphash(base, input) ^ siphash(mask, input);
  }
  return key;
}

StackOptions with_secret(StackOptions options) {
  if (options.secret == decltype(options.secret){} &&
      ::getrandom(options.secret.data(), options.secret.size(), 0) != static_cast<ssize_t>(options.secret.size())) {
    throw std::runtime_error("the kernel gives no random bytes (getrandom failed); set a secret");
  }
  return options;
}

}  // namespace

Stack::Impl::Impl(Stack& owner, StackOptions given, LinkDevice& link_device)
    : face(owner),
      options(with_secret(checked(std::move(given), link_device))),
      device(link_device),
      dormant(options.dormant),
      hash_key(key_from(options, 1)),
      random_key(key_from(options, 3)),
      rx_frames(link_device),
      neighbours(*this, key_from(options, 4)),
      link(link_device.capabilities()),
      by_tuple(16, TupleHash(hash_key)) {
  const StackScope scope(*this);
  adopt_secret();
  lwip_init();
  tandem_tcp_hash_key(hash_key[0], hash_key[1]);
  tandem_tcp_rcv_wnd_default = static_cast<u32_t>(options.receive_window_bytes);
  tandem_tcp_time_wait_ms = options.limits.time_wait_ms;
  ext_arg_id = tcp_ext_arg_alloc_id();
  muted = true;
  make_interfaces();
  muted = false;
  if (!dormant) {
    start_timers();
    bring_up();
    announce_addresses();
    renumber();
  }
  // Any time may pass before the first turn, or the first connection.
  clock_is_stale = true;
}

Stack::Impl::~Impl() {
  const StackScope scope(*this);
  // Nothing is said on leaving: another process may be speaking for these connections already.
  muted = true;
  while (!udp_endpoints.empty()) {
    udp_endpoints.back()->detach();
  }
  for (auto& [id, connection] : connections) {
    if (connection->pcb != nullptr) {
      tcp_ext_arg_set(connection->pcb, ext_arg_id, nullptr);
    }
  }
  neighbours.clear();
  tandem_lwip_release();
}

void Stack::Impl::adopt_secret() {
  isn_key = key_from(options, 2);
  cookie_key = key_from(options, 4);
}

std::uint32_t Stack::Impl::random_value() {
  std::array<std::uint8_t, sizeof random_counter> input{};
  std::memcpy(input.data(), &random_counter, sizeof random_counter);
  ++random_counter;
  return static_cast<std::uint32_t>(siphash(random_key, input));
}

void Stack::Impl::renumber() {
  if (TANDEM_PLANTED(number_given_twice)) {
    next_id = connections.empty() ? 1 : connections.begin()->first;
    return;
  }
  // Numbers of a promoted process begin above all that its predecessors can have given, also to connections that have come
  // and gone unseen: 2^20 a millisecond of the clock that they share.
  constexpr int kIdsPerMsBits = 20;
  next_id = std::max<ConnectionId>(next_id, (now_ns() / 1'000'000) << kIdsPerMsBits);
}

Stack::Stack(StackOptions options, LinkDevice& device)
    : impl_(std::make_unique<Impl>(*this, std::move(options), device)) {}

Stack::~Stack() = default;

void Stack::set_observer(ConnectionObserver* observer) { impl_->observer = observer; }

void Stack::define_service(std::uint16_t service, HandlerFactory factory) {
  impl_->services.insert_or_assign(service, std::move(factory));
}

void Stack::listen(const Endpoint& local, Replication replication, std::uint16_t service, int backlog) {
  const StackScope scope(*impl_);
  impl_->listen(local, replication, service, backlog);
}

void Stack::unlisten(const Endpoint& local) {
  const StackScope scope(*impl_);
  impl_->unlisten(local);
}

Connection* Stack::connect(const Endpoint& local, const Endpoint& remote, Replication replication,
                           std::uint16_t service, EndReason* why) {
  const StackScope scope(*impl_);
  EndReason reason = EndReason::none;
  auto* const connection = impl_->connect(local, remote, replication, service, reason);
  if (why != nullptr) {
    *why = reason;
  }
  return connection == nullptr ? nullptr : &connection->handle;
}

std::unique_ptr<UdpEndpoint> Stack::open_udp(const Endpoint& local, UdpEndpoint::Receiver receiver) {
  const StackScope scope(*impl_);
  return std::make_unique<LwipUdpEndpoint>(*impl_, local, std::move(receiver));
}

void Stack::input(RxFrame frame) {
  const StackScope scope(*impl_);
  impl_->input(frame);
}

void Stack::run_timers() {
  const StackScope scope(*impl_);
  impl_->run_timers();
}

std::uint64_t Stack::next_timer_ns() const {
  const StackScope scope(*impl_);
  return impl_->next_timer_ns();
}

bool Stack::run_handlers() {
  const StackScope scope(*impl_);
  return impl_->run_handlers();
}

void Stack::set_write_budget(std::size_t bytes) {
  impl_->write_budget = impl_->turn_write_budget = bytes;
  for (auto* const connection : std::exchange(impl_->starved, {})) {
    connection->in_starved = false;
    if (!connection->gone) {
      connection->room_due = true;
      impl_->give_work(*connection);
    }
  }
}

void Stack::set_turn_deadline(std::uint64_t deadline_ns) {
  impl_->turn_deadline_ns = deadline_ns;
  impl_->late = false;
}

std::uint64_t Stack::turn_deadline_ns() const { return impl_->turn_deadline_ns; }

bool Stack::out_of_time() { return impl_->out_of_time(); }

void Stack::end_turn() {
  const StackScope scope(*impl_);
  impl_->end_turn();
}

std::size_t Stack::connection_count() const { return impl_->connections.size() - impl_->time_wait_count; }

Connection* Stack::find(ConnectionId id) {
  const auto found = impl_->connections.find(id);
  return found == impl_->connections.end() ? nullptr : &found->second->handle;
}

std::vector<ConnectionId> Stack::connection_ids() const {
  std::vector<ConnectionId> ids;
  ids.reserve(impl_->everyone.size());
  for (const Impl::Named& named : impl_->everyone) {
    ids.push_back(named.id);
  }
  return ids;
}

void Stack::for_each_connection(const std::function<void(Connection&)>& visit) {
  const StackScope scope(*impl_);
  // The visitor may open or lose connections.
  std::vector<ConnectionId> ids = connection_ids();
  std::sort(ids.begin(), ids.end());
  for (const ConnectionId id : ids) {
    if (auto* const connection = find(id)) {
      visit(*connection);
    }
  }
}

std::vector<Neighbour> Stack::neighbours() const {
  const StackScope scope(*impl_);
  return impl_->neighbours.list();
}

bool Stack::neighbour_answers(const IpAddress& remote) const {
  const StackScope scope(*impl_);
  return impl_->next_hop_answers(remote);
}

const StackStatistics& Stack::statistics() const {
  const StackScope scope(*impl_);
  impl_->read_counters();
  return impl_->counters;
}

const StackOptions& Stack::options() const { return impl_->options; }

void Stack::clamp_windows(std::size_t bytes) {
  const StackScope scope(*impl_);
  if (impl_->window_clamp == bytes) {
    return;
  }
  impl_->window_clamp = bytes;
  for (const auto& [id, connection] : impl_->connections) {
    if (connection->pcb != nullptr) {
      impl_->apply_window_clamp(*connection->pcb);
    }
  }
}

Connection* Stack::import_connection(const ConnectionImage& image, Replication replication, std::string* why) {
  const StackScope scope(*impl_);
  std::string_view reason;
  auto* const connection = impl_->import_connection(image, replication, reason);
  if (connection == nullptr) {
    if (why != nullptr) {
      *why = reason;
    }
    return nullptr;
  }
  return &connection->handle;
}

Connection* Stack::mirror_open(ConnectionId id, const ConnectionImage& image) {
  const StackScope scope(*impl_);
  auto* const connection = impl_->mirror_open(id, image);
  return connection == nullptr ? nullptr : &connection->handle;
}

bool Stack::mirror_received(Connection& connection, Bytes bytes) { return connection.impl_->mirror_received(bytes); }

bool Stack::mirror_skipped(Connection& connection, std::uint64_t count) {
  return connection.impl_->mirror_skipped(count);
}

bool Stack::mirror_out_of_order(Connection& connection, std::uint32_t seq, Bytes bytes, bool fin) {
  return connection.impl_->mirror_out_of_order(seq, bytes, fin);
}

bool Stack::mirror_written(Connection& connection, Bytes bytes) {
  const StackScope scope(*impl_);
  return connection.impl_->mirror_written(bytes);
}

bool Stack::mirror_consumed(Connection& connection, std::uint64_t count) {
  const StackScope scope(*impl_);
  return connection.impl_->mirror_consumed(count);
}

bool Stack::mirror_note(Connection& connection, Bytes bytes) {
  const StackScope scope(*impl_);
  return connection.impl_->mirror_note(bytes);
}

bool Stack::mirror_told(Connection& connection, Told what) { return connection.impl_->mirror_told(what); }

bool Stack::mirror_is_settled() const { return impl_->unsettled_count == 0; }

bool Stack::mirror_state(Connection& connection, const TcpState& state) {
  const StackScope scope(*impl_);
  return connection.impl_->mirror_state(state);
}

void Stack::mirror_close(Connection& connection, bool reset, EndReason why) {
  const StackScope scope(*impl_);
  connection.impl_->end_reason = reset ? why : EndReason::none;
  impl_->mirror_close(*connection.impl_, reset);
}

void Stack::mirror_neighbour(const Neighbour& neighbour) {
  const StackScope scope(*impl_);
  impl_->neighbours.install(neighbour);
}

std::optional<Neighbour> Stack::neighbour(const IpAddress& address) const {
  const StackScope scope(*impl_);
  return impl_->neighbours.find(address);
}

const std::vector<AddressConflict>& Stack::address_conflicts() const { return impl_->neighbours.conflicts(); }

void Stack::mirror_clear() {
  const StackScope scope(*impl_);
  impl_->mirror_clear();
}

void Stack::mirror_secret(const Secret& secret) {
  if (impl_->dormant) {
    impl_->options.secret = secret;
    impl_->adopt_secret();
  }
}

void Stack::prepare() {
  const StackScope scope(*impl_);
  impl_->prepare();
}

void Stack::activate(Adoption adoption) {
  const StackScope scope(*impl_);
  impl_->activate(adoption);
}

void Stack::link_changed() {
  const StackScope scope(*impl_);
  impl_->link_changed();
}

void Stack::announce() { impl_->announce(); }

bool Stack::is_dormant() const { return impl_->dormant; }

std::size_t Stack::unlinked_count() const { return impl_->urgent.size() + impl_->idle.size(); }

bool Stack::link_some(std::size_t count) {
  const StackScope scope(*impl_);
  return impl_->link_some(count);
}

}  // namespace tandem
