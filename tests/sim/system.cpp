// SPDX-License-Identifier: BSD-3-Clause
//
// The simulated kernel behind the functions through which a node asks its operating system. Each definition here takes the place
// of the library's own, which is then not linked.
#include "system.hpp"

#include <linux/futex.h>
#include <sys/types.h>
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernel.hpp"
#include "owner_claim.hpp"
#include "prefault.hpp"
#include "rendezvous.hpp"
#include "starvation_probe.hpp"
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

std::optional<Rendezvous::PrimaryDescriptors> Rendezvous::try_become_primary() const {
  Kernel& kernel = *the_kernel;
  if (kernel.group_lock != nullptr) return std::nullopt;
  const auto make = [&kernel](sim::Listener*& place) {
    const sim::HeapScope heap;
    auto* const listener = new sim::Listener(kernel, &place);
    place = listener;
    return Descriptor(kernel.install(Ref<Object>(listener)));
  };
  PrimaryDescriptors result;
  {
    const sim::HeapScope heap;
    auto* const lock = new sim::Lock(kernel);
    kernel.group_lock = lock;
    result.lock = Descriptor(kernel.install(Ref<Object>(lock)));
  }
  kernel.yield(1'000);
  result.attach = make(kernel.attach_listener);
  result.control = make(kernel.control_listener);
  return result;
}

std::optional<Descriptor> Rendezvous::try_connect() const {
  auto socket = the_kernel->connect(the_kernel->attach_listener, the_kernel->current->pid);
  if (!socket) return std::nullopt;
  return Descriptor(the_kernel->install(Ref<Object>(socket.get())));
}

std::optional<PeerCredentials> trusted_peer(int socket) {
  const auto* const end = socket_of(socket);
  if (end == nullptr || end->peer_pid == sim::kForeigner) return std::nullopt;
  return PeerCredentials{end->peer_pid, 0};
}

// ---- owner_claim.hpp: the robust list is one slot a process ----

OwnerSlot& claim_ownership(SharedGroup& group) {
  Process& process = *the_kernel->current;
  const std::uint32_t index = (group.owner.load() + 1) % kOwnerSlots;
  OwnerSlot& slot = group.owners[index];
  slot.pid.store(static_cast<std::uint32_t>(process.pid));
  slot.heartbeat.store(0);
  process.claim = &slot;
  for (const Process::Mapped& item : process.mapped) {
    if (item.memory->name == "tandem-group") process.claim_memory = item.memory;
  }
  slot.word.store(static_cast<std::uint32_t>(process.pid) | FUTEX_WAITERS);
  group.owner.store(index);
  return slot;
}

void hand_over_ownership(OwnerSlot& slot) {
  slot.word.store(kOwnerHandedOver);
  the_kernel->current->claim = nullptr;
  the_kernel->notify();
}

bool take_handed_over(OwnerSlot& slot) {
  std::uint32_t expected = kOwnerHandedOver;
  return slot.word.compare_exchange_strong(expected, kOwnerTaken);
}

bool reclaim_ownership(OwnerSlot& slot) {
  Process& process = *the_kernel->current;
  std::uint32_t expected = kOwnerHandedOver;
  if (!slot.word.compare_exchange_strong(expected, static_cast<std::uint32_t>(process.pid) | FUTEX_WAITERS))
    return false;
  process.claim = &slot;
  return true;
}

void declare_owner_stopped(OwnerSlot& slot) { slot.word.store(FUTEX_WAITERS | FUTEX_OWNER_DIED); }

OwnerFate owner_fate(std::uint32_t word) {
  if ((word & FUTEX_OWNER_DIED) != 0) return OwnerFate::died;
  if (word == kOwnerHandedOver || word == kOwnerTaken) return OwnerFate::handed_over;
  return OwnerFate::alive;
}

void prepare_ownership() {}
void install_crash_notice() {}
void set_crash_notice(OwnerSlot*) {}

// ---- prefault.hpp ----

void prefault_program() {}
ProgramText::ProgramText() = default;

// ---- starvation_probe.hpp ----

StarvationProbe::Sample StarvationProbe::sample() const {
  Sample result;
  const Process* const process = the_kernel->find(static_cast<std::int32_t>(pid_));
  if (process == nullptr) return result;
  result.known = true;
  result.ready_to_run = process->descheduled && !process->paused;
  return result;
}
void StarvationProbe::begin() { first_ = sample(); }
bool StarvationProbe::is_starved(std::uint64_t elapsed_ns) const {
  const Sample now = sample();
  return first_.known && now.known && now.ready_to_run && now.ran_ns - first_.ran_ns < elapsed_ns / 2;
}

namespace system {

int process_id() { return the_kernel->current->pid; }

void write_log_line(int /*priority*/, std::string_view role, std::string_view text) {
  the_kernel->director().on_log_line(*the_kernel->current, role, text);
}

std::string address_of_the_kernel(const std::vector<IpPrefix>&) { return {}; }

Descriptor catch_stop_signals() {
  Process& process = *the_kernel->current;
  if (!process.signals) {
    const sim::HeapScope heap;
    process.signals = Ref<sim::Signals>(new sim::Signals);
  }
  return Descriptor(the_kernel->install(Ref<Object>(process.signals.get())));
}

bool take_stop_signals(int signals) {
  auto* const object = object_as<sim::Signals>(signals, Object::Kind::signals);
  return object != nullptr && std::exchange(object->pending, false);
}

void populate(const Mapping&) {}
bool enter_realtime(int) { return true; }
void leave_realtime() {}
bool enter_idle(bool) { return true; }
void leave_idle() {}
void make_idle(std::uint32_t, int) {}
void sleep(std::uint64_t time_ns) { the_kernel->wait(the_kernel->now_ns + time_ns, nullptr); }
void give_back(const Mapping&) {}
std::optional<int> lower_priority() { return 0; }
void restore_priority(int) {}

Descriptor open_process(std::uint32_t pid) {
  const Process* const process = the_kernel->find(static_cast<std::int32_t>(pid));
  if (process == nullptr || process->state == Process::State::dead || process->state == Process::State::ended)
    return {};
  const sim::HeapScope heap;
  return Descriptor(the_kernel->install(Ref<Object>(new sim::ProcessRef(process->pid))));
}

bool process_exists(std::uint32_t pid) {
  const Process* const process = the_kernel->find(static_cast<std::int32_t>(pid));
  return process != nullptr && process->state != Process::State::dead && process->state != Process::State::ended;
}

bool kill_process(int process) {
  const auto* const object = object_as<sim::ProcessRef>(process, Object::Kind::process);
  if (object == nullptr) return false;
  if (Process* const victim = the_kernel->find(object->pid)) {
    the_kernel->director().on_fence(*victim);
    the_kernel->kill(*victim);
  }
  return true;
}

namespace {

struct WordWaiter final : sim::Waiter {
  WordWaiter(const std::atomic<std::uint32_t>& where, std::uint32_t value) : word(where), expected(value) {}
  [[nodiscard]] bool is_ready() const override { return word.load() != expected; }
  const std::atomic<std::uint32_t>& word;
  std::uint32_t expected;
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

std::ptrdiff_t receive(int socket, std::span<char> buffer) {
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
