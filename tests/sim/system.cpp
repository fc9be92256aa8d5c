// SPDX-License-Identifier: BSD-3-Clause
//
// The simulated kernel behind the functions through which a node asks its operating system. Each definition here takes the place
// of the library's own, which is then not linked.
#include "node/system.hpp"

#include <linux/futex.h>
#include <sys/types.h>
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "channel/rendezvous.hpp"
#include "kernel.hpp"
#include "members/crash_notice.hpp"
#include "members/owner_claim.hpp"
#include "members/robust_list.hpp"
#include "members/starvation_probe.hpp"
#include "roles/prefault.hpp"
#include "tandem/planted.hpp"
#include "tandem/stop_point.hpp"

using tandem::sim::Kernel;
using tandem::sim::Object;
using tandem::sim::Process;
using tandem::sim::Ref;
using tandem::sim::the_kernel;

namespace {

template <class T>
T* object_as(int fd, Object::Kind kind) {
  return the_kernel->as<T>(fd, kind);
}

tandem::sim::Socket* socket_of(int fd) { return object_as<tandem::sim::Socket>(fd, Object::Kind::socket); }

}  // namespace

// ---- Randomness, which the stack draws from the kernel ----

extern "C" ssize_t getrandom(void* buffer, std::size_t length, unsigned /*flags*/) {
  auto* bytes = static_cast<std::uint8_t*>(buffer);
  for (std::size_t i = 0; i < length; ++i)
    bytes[i] = the_kernel != nullptr ? static_cast<std::uint8_t>(the_kernel->random_bytes.next()) : 0x5a;
  return static_cast<ssize_t>(length);
}

namespace tandem {

// ---- Stop points ----

void stop_point(std::string_view name) {
  if (the_kernel != nullptr && the_kernel->current != nullptr) the_kernel->passed(sim::step_of(name));
}
void step(std::string_view name) { stop_point(name); }
void count_turn_stop_points(bool) {}
void meet_frame(std::span<const std::uint8_t> frame) {
  if (the_kernel != nullptr && the_kernel->current != nullptr)
    the_kernel->director().on_frame(*the_kernel->current, frame);
}
void meet_handlers() {}

namespace ha {

// ---- shared_memory.hpp ----

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}
Descriptor::~Descriptor() { reset(); }
void Descriptor::reset() {
  if (fd_ >= 0) the_kernel->close(fd_);
  fd_ = -1;
}

Mapping::Mapping(int fd, std::size_t bytes, bool mirrored)
    : bytes_(bytes), mapped_bytes_(mirrored ? 2 * bytes : bytes) {
  auto* const memory = object_as<sim::Memory>(fd, Object::Kind::memory);
  if (memory == nullptr || memory->bytes < bytes) {
    the_kernel->director().violation("mapping", "a mapping of something that is no memory file, or is too short");
    return;
  }
  data_ = memory->data;
  const sim::HeapScope heap;
  the_kernel->current->mapped.push_back({data_, Ref<sim::Memory>(memory)});
}
Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      mapped_bytes_(std::exchange(other.mapped_bytes_, 0)) {}
Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    unmap();
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    mapped_bytes_ = std::exchange(other.mapped_bytes_, 0);
  }
  return *this;
}
Mapping::~Mapping() { unmap(); }
void Mapping::unmap() {
  if (data_ == nullptr || the_kernel->current == nullptr) return;
  const sim::HeapScope heap;
  auto& mapped = the_kernel->current->mapped;
  const auto at = std::find_if(mapped.begin(), mapped.end(), [this](const auto& item) { return item.at == data_; });
  if (at != mapped.end()) mapped.erase(at);
  data_ = nullptr;
}

Descriptor make_shared_file(const char* name, std::size_t bytes) {
  const sim::HeapScope heap;
  return Descriptor(the_kernel->install(Ref<Object>(new sim::Memory(name, bytes, true))));
}

std::size_t sealed_file_bytes(int fd) {
  const auto* const memory = object_as<sim::Memory>(fd, Object::Kind::memory);
  return memory != nullptr ? memory->bytes : 0;
}

// ---- rendezvous.hpp ----

Rendezvous::Rendezvous(const std::string& runtime_dir, const std::string& group)
    : directory_(runtime_dir + "/" + group) {}

Descriptor Rendezvous::try_lock() const {
  Kernel& kernel = *the_kernel;
  if (kernel.group_lock != nullptr) return {};
  const sim::HeapScope heap;
  auto* const lock = new sim::Lock(kernel);
  kernel.group_lock = lock;
  return Descriptor(kernel.install(Ref<Object>(lock)));
}

Rendezvous::PrimaryDescriptors Rendezvous::listen(Descriptor lock) const {
  Kernel& kernel = *the_kernel;
  const auto make = [&kernel](sim::Listener*& place) {
    const sim::HeapScope heap;
    auto* const listener = new sim::Listener(kernel, &place);
    place = listener;
    return Descriptor(kernel.install(Ref<Object>(listener)));
  };
  PrimaryDescriptors result;
  result.lock = std::move(lock);
  kernel.yield(1'000);
  result.attach = make(kernel.attach_listener);
  result.control = make(kernel.control_listener);
  return result;
}

Descriptor Rendezvous::announce(std::uint64_t) const {
  const sim::HeapScope heap;
  return Descriptor(the_kernel->install(Ref<Object>(new sim::Holder(*the_kernel, the_kernel->current->pid))));
}

void Rendezvous::withdraw(std::uint64_t) const {}

std::vector<Rendezvous::Holder> Rendezvous::holders(std::uint64_t identity) const {
  std::vector<Holder> found;
  for (const sim::Holder* const holder : the_kernel->holders) {
    if (static_cast<std::uint64_t>(holder->pid) == identity) continue;
    const std::int32_t pid = holder->pid;
    const auto make = [pid] {
      const sim::HeapScope heap;
      return Descriptor(the_kernel->install(Ref<Object>(new sim::ProcessRef(pid))));
    };
    found.push_back({make()});
  }
  return found;
}

LoneSocket::LoneSocket(const std::string& /*runtime_dir*/) {}
LoneSocket::~LoneSocket() = default;

std::optional<Descriptor> Rendezvous::try_connect() const {
  auto socket = the_kernel->connect(the_kernel->attach_listener, the_kernel->current->pid);
  if (!socket) return std::nullopt;
  return Descriptor(the_kernel->install(Ref<Object>(socket.get())));
}

std::optional<PeerCredentials> trusted_peer(int socket) {
  const auto* const end = socket_of(socket);
  if (end == nullptr || end->peer_pid == sim::kForeigner) return std::nullopt;
  // A process of a namespace that is not seen from here has no number.
  const Process* const other = the_kernel->find(end->peer_pid);
  const bool seen = other == nullptr || Kernel::may_signal(*the_kernel->current, *other);
  return PeerCredentials{seen ? end->peer_pid : 0, 0};
}

// ---- robust_list.hpp: the library links words as it does everywhere; the list itself is the process's here ----

void prepare_robust_list() {}
std::uint32_t own_life_word() { return static_cast<std::uint32_t>(the_kernel->current->number) | FUTEX_WAITERS; }
void begin_enlisting(LifeWord& life) { the_kernel->enlist(*the_kernel->current, life); }
void end_enlisting(LifeWord& life, bool taken) {
  if (!taken) Kernel::delist(*the_kernel->current, life);
}
void delist(LifeWord& life) { Kernel::delist(*the_kernel->current, life); }

// ---- owner_claim.hpp ----

void wake_word(std::atomic<std::uint32_t>& word) {
  the_kernel->wake(&word, SIZE_MAX);
  the_kernel->notify();
}

// ---- crash_notice.hpp ----

void install_crash_notice() {}
void set_crash_notice(OwnerSlot* slot) { the_kernel->current->crash_slot = slot; }

// ---- prefault.hpp ----

void prefault_program() {}
ProgramText::ProgramText() = default;

// ---- starvation_probe.hpp ----

StarvationProbe::Sample StarvationProbe::sample() const {
  Sample result;
  const auto* const object = object_as<sim::ProcessRef>(stat_, Object::Kind::process);
  const Process* const process = object != nullptr ? the_kernel->find(object->pid) : nullptr;
  if (process == nullptr) return result;
  result.known = true;
  result.ready_to_run = process->descheduled && !process->paused;
  result.stopped = process->paused && !process->hung;
  return result;
}
void StarvationProbe::begin() { first_ = sample(); }
bool StarvationProbe::is_starved(std::uint64_t work_ns) const {
  const Sample now = sample();
  return first_.known && now.known && now.ready_to_run && now.ran_ns - first_.ran_ns < work_ns / 10 * 9;
}

namespace system {

int process_id() { return the_kernel->current->number; }
std::uint64_t draw_identity() { return static_cast<std::uint64_t>(the_kernel->current->pid); }

std::uint64_t write_log_line(int /*priority*/, std::string_view role, std::string_view text) {
  the_kernel->director().on_log_line(*the_kernel->current, role, text);
  return 0;
}

void await_log_lines(std::uint64_t) {}

std::string address_of_the_kernel(const std::vector<IpPrefix>&, const std::string&) { return {}; }

Descriptor catch_signals() {
  Process& process = *the_kernel->current;
  if (!process.signals) {
    const sim::HeapScope heap;
    process.signals = Ref<sim::Signals>(new sim::Signals);
  }
  return Descriptor(the_kernel->install(Ref<Object>(process.signals.get())));
}

SignalsTaken take_signals(int signals) {
  auto* const object = object_as<sim::Signals>(signals, Object::Kind::signals);
  SignalsTaken taken;
  if (object != nullptr) taken.stops = std::exchange(object->pending, 0U);
  return taken;
}

void populate(const Mapping&) {}
bool enter_realtime(int) { return true; }
void leave_realtime() {}
bool enter_idle(bool) { return true; }
void leave_idle() {}
void sleep(std::uint64_t time_ns) { the_kernel->wait(the_kernel->now_ns + time_ns, nullptr); }
void free_pages(const Mapping&, std::size_t, std::size_t) {}
void give_back(const Mapping&) {}
std::optional<int> lower_priority() { return 0; }
void restore_priority(int) {}

namespace {

bool lives(const Process& process) {
  return process.state != Process::State::dead && process.state != Process::State::ended;
}

Process* process_of(int fd) {
  const auto* const object = object_as<sim::ProcessRef>(fd, Object::Kind::process);
  return object != nullptr ? the_kernel->find(object->pid) : nullptr;
}

}  // namespace

Descriptor own_process() {
  const sim::HeapScope heap;
  return Descriptor(the_kernel->install(Ref<Object>(new sim::ProcessRef(the_kernel->current->pid))));
}

Descriptor own_scheduling(const char*) { return own_process(); }

Fencing may_kill(int process) {
  const Process* const other = process_of(process);
  if (other == nullptr) return Fencing::not_permitted;
  if (TANDEM_PLANTED(fence_by_number)) return Fencing::possible;
  return Kernel::may_signal(*the_kernel->current, *other) ? Fencing::possible : Fencing::other_namespace;
}

bool has_ended(int process) {
  const Process* const other = process_of(process);
  return other != nullptr && other->gone;
}

bool kill_process(int process) {
  Process* victim = process_of(process);
  if (victim == nullptr || may_kill(process) != Fencing::possible) {
    errno = EINVAL;
    return false;
  }
  if (TANDEM_PLANTED(fence_by_number)) {
    // Whoever has that number in the namespace of the one that signals.
    const std::int32_t number = victim->number;
    for (const auto& other : the_kernel->processes()) {
      const bool same = other->pid_namespace == the_kernel->current->pid_namespace;
      if (same && other->number == number && lives(*other)) victim = other.get();
    }
  }
  the_kernel->director().on_fence(*the_kernel->current, *victim);
  if (lives(*victim)) the_kernel->kill(*victim);
  return true;
}

namespace {

struct WordWaiter final : sim::Waiter {
  WordWaiter(const std::atomic<std::uint32_t>& word, std::uint32_t expected)
      : wait(the_kernel->await_word(&word, word.load() != expected)) {}
  ~WordWaiter() override { the_kernel->forget_wait(wait); }
  WordWaiter(const WordWaiter&) = delete;
  WordWaiter& operator=(const WordWaiter&) = delete;
  [[nodiscard]] bool is_ready() const override { return the_kernel->is_woken(wait); }
  std::uint64_t wait;
};

struct SocketWaiter final : sim::Waiter {
  explicit SocketWaiter(const sim::Socket* which) : socket(which) {}
  [[nodiscard]] bool is_ready() const override {
    return socket == nullptr || !socket->received.empty() || socket->peer == nullptr;
  }
  const sim::Socket* socket;
};

}  // namespace

void wait_for_word(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t timeout_ns) {
  WordWaiter waiter(word, expected);
  the_kernel->wait(the_kernel->now_ns + timeout_ns, &waiter);
}

void wait_readable(int fd, int timeout_ms) {
  SocketWaiter waiter(socket_of(fd));
  the_kernel->wait(the_kernel->now_ns + static_cast<std::uint64_t>(timeout_ms) * 1'000'000, &waiter);
}

Descriptor accept_connection(int listener) {
  auto* const object = object_as<sim::Listener>(listener, Object::Kind::listener);
  if (object == nullptr || object->waiting.empty()) {
    errno = EAGAIN;
    return {};
  }
  const sim::HeapScope heap;
  const Ref<sim::Socket> socket = object->waiting.front();
  object->waiting.erase(object->waiting.begin());
  return Descriptor(the_kernel->install(Ref<Object>(socket.get())));
}

bool has_hung_up(int socket) {
  const auto* const end = socket_of(socket);
  return end == nullptr || (end->received.empty() && end->peer == nullptr);
}

std::ptrdiff_t receive(int socket, std::span<char> buffer, std::vector<Descriptor>&) {
  auto* const end = socket_of(socket);
  if (end == nullptr || end->received.empty()) {
    errno = EAGAIN;
    return end == nullptr || end->peer == nullptr ? 0 : -1;
  }
  const sim::HeapScope heap;
  auto& bytes = end->received.front().bytes;
  const std::size_t count = std::min(bytes.size(), buffer.size());
  std::memcpy(buffer.data(), bytes.data(), count);
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
  if (bytes.empty()) end->received.erase(end->received.begin());
  return static_cast<std::ptrdiff_t>(count);
}

namespace {

bool put(int socket, Bytes bytes, std::span<const int> descriptors) {
  auto* const end = socket_of(socket);
  if (end == nullptr || end->peer == nullptr || end->shut) {
    errno = EPIPE;
    return false;
  }
  const sim::HeapScope heap;
  sim::Socket::Packet packet;
  packet.bytes.assign(bytes.begin(), bytes.end());
  for (const int fd : descriptors) {
    packet.objects.push_back(the_kernel->object(fd));
    if (!packet.objects.back()) {
      the_kernel->director().violation("descriptor", "a descriptor that is not open is passed");
      errno = EBADF;
      return false;
    }
  }
  end->peer->received.push_back(std::move(packet));
  ++end->peer->events;
  the_kernel->notify();
  return true;
}

}  // namespace

std::ptrdiff_t send(int socket, std::string_view bytes) {
  const Bytes octets(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  return put(socket, octets, {}) ? static_cast<std::ptrdiff_t>(bytes.size()) : -1;
}

void shut_down(int socket) {
  auto* const end = socket_of(socket);
  if (end == nullptr) return;
  end->shut = true;
  if (end->peer != nullptr) {
    ++end->peer->events;
    end->peer->peer = nullptr;
    end->peer = nullptr;
    the_kernel->notify();
  }
}

bool send_packet(int socket, Bytes bytes, std::span<const int> descriptors) { return put(socket, bytes, descriptors); }

Packet receive_packet(int socket, std::span<std::uint8_t> buffer, std::vector<Descriptor>& descriptors) {
  auto* const end = socket_of(socket);
  if (end == nullptr || end->received.empty()) {
    errno = EAGAIN;
    return {end == nullptr || end->peer == nullptr ? 0 : -1, false};
  }
  std::vector<int> taken;
  std::size_t count = 0;
  bool truncated = false;
  {
    const sim::HeapScope heap;
    const sim::Socket::Packet packet = std::move(end->received.front());
    end->received.erase(end->received.begin());
    count = std::min(packet.bytes.size(), buffer.size());
    truncated = packet.bytes.size() > buffer.size();
    std::memcpy(buffer.data(), packet.bytes.data(), count);
    std::vector<int> fds;
    for (const Ref<Object>& object : packet.objects) fds.push_back(the_kernel->install(object));
    const sim::HeapScope back(the_kernel->current->arena);
    taken.assign(fds.begin(), fds.end());
  }
  for (const int fd : taken) descriptors.emplace_back(fd);
  return {static_cast<std::ptrdiff_t>(count), truncated};
}

}  // namespace system
}  // namespace ha
}  // namespace tandem
