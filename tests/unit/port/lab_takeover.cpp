// SPDX-License-Identifier: BSD-3-Clause
#include "lab_takeover.hpp"

#include <arpa/inet.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "tandem/loop.hpp"
#include "tandem/stop_point.hpp"

namespace tandem::test {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kBound = 20 * kSecond;
constexpr std::uint32_t kMostPackets = 1u << 21;
constexpr std::uint32_t kMostTurns = 1u << 21;
/// Packets under way at most: less than a ring, so that a pause of the owner's loses none.
constexpr std::uint32_t kWindow = 400;
constexpr std::size_t kPayload = 64;

struct Turn {
  WireMark mark;
  std::uint32_t packets_end = 0;
};

/// Shared by all processes. A turn is published by the store to `turns`.
struct Shared {
  struct Owner {
    robust_list_head head{};
    robust_list node{};
    std::uint32_t word = 0;
  };
  std::array<Owner, 2> owners{};
  std::atomic<std::uint32_t> turns{0};
  std::atomic<std::uint32_t> generation{0};  ///< of the owner that is at work, from 1
  std::atomic<std::uint32_t> stop{0};
  std::atomic<std::uint32_t> kills_over{0};
  std::atomic<std::uint32_t> sent{0}, answered{0}, doubled{0};
  std::atomic<std::uint64_t> adopted_packets{0};
  FrameCensus census;
  std::array<Turn, kMostTurns> log{};
  std::array<std::uint32_t, kMostPackets> packets{};
};

struct SharedMemory {
  SharedMemory() {
    void* memory =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    at = static_cast<Shared*>(memory);  // zeroes are a valid Shared
  }
  ~SharedMemory() { ::munmap(at, sizeof(Shared)); }
  Shared* at;
};

void hold_robust_word(Shared::Owner& owner) {
  owner.head.list.next = &owner.node;
  owner.node.next = &owner.head.list;
  owner.head.futex_offset = reinterpret_cast<char*>(&owner.word) - reinterpret_cast<char*>(&owner.node);
  owner.head.list_op_pending = nullptr;
  ::syscall(SYS_set_robust_list, &owner.head, sizeof owner.head);
  std::atomic_ref<std::uint32_t>(owner.word).store(static_cast<std::uint32_t>(::syscall(SYS_gettid)) | FUTEX_WAITERS);
}

/// Turns an IPv4 UDP request into its answer and gives its number; false for anything else.
bool echo(std::span<const std::uint8_t> request, std::span<std::uint8_t> answer, std::uint32_t& number) {
  if (request.size() < 42 + kPayload || request[12] != 8 || request[13] != 0 || request[23] != IPPROTO_UDP)
    return false;
  std::memcpy(&number, &request[42], sizeof number);
  if (number >= kMostPackets) return false;
  std::copy(request.begin(), request.end(), answer.begin());
  std::copy_n(&request[6], 6, &answer[0]);
  std::copy_n(&request[0], 6, &answer[6]);
  std::copy_n(&request[30], 4, &answer[26]);  // sums do not care about the order of their terms
  std::copy_n(&request[26], 4, &answer[30]);
  std::copy_n(&request[36], 2, &answer[34]);
  std::copy_n(&request[34], 2, &answer[36]);
  std::fill_n(&answer[40], 2, std::uint8_t{0});  // none: the request's may be unfinished, as on any veth
  return true;
}

void one_turn(Device& device, Shared& shared) {
  std::array<RxFrame, 32> frames;
  const std::uint32_t turn = shared.turns.load();
  std::uint32_t packets = turn == 0 ? 0 : shared.log[turn - 1].packets_end;
  // A TAP that was just opened may get its carrier a moment later, and nothing is sent before.
  device.look_at_link();
  const std::size_t count = device.rx_peek(frames);
  for (const RxFrame& frame : std::span(frames).first(count)) {
    std::uint32_t number = 0;
    // A frame is reserved for what is answered, and for nothing else that comes: it would stay reserved.
    std::vector<std::uint8_t> answer(frame.bytes.size());
    if (echo(frame.bytes, answer, number) && packets < kMostPackets) {
      const auto room = device.tx_reserve(static_cast<std::uint32_t>(answer.size()));
      if (!room.empty()) {
        std::copy(answer.begin(), answer.end(), room.begin());
        device.tx_stage();
        shared.packets[packets++] = number;
      }
    }
    std::fill_n(frame.bytes.begin(), 42, std::uint8_t{0xee});  // as a stack that changes headers in place
    device.rx_done(frame.cookie);
  }
  if (count != 0 && turn < kMostTurns) {
    shared.log[turn] = {device.mark(), packets};
    shared.turns.store(turn + 1);
  }
  device.tx_release(device.mark().tx_index);
  device.tx_kick();
  device.rx_release();
  device.refill();
}

[[noreturn]] void own(std::unique_ptr<Device> device, Shared& shared, std::uint32_t generation) {
  // A twin holds the device's descriptors from here on; the loop is the owner's own.
  Loop loop(LoopOptions{15, false});
  for (const int fd : device->poll_fds()) loop.wake_on(fd, POLLIN);
  loop.set_spin_condition([&] { return device->rx_ready(); });
  shared.generation = generation;
  while (shared.stop == 0) {
    one_turn(*device, shared);
    loop.run_once(monotonic_ns() + 5'000'000);
  }
  // At rest: everything that was sent has been completed, and the turns behind the last adoption have come to what its dead owner had.
  const std::uint64_t bound = monotonic_ns() + kBound;
  const auto is_at_rest = [&device] {
    const FrameCensus census = device->census();
    return !device->tx_pending() && census.transmitting + census.staged + census.held == 0;
  };
  while (monotonic_ns() < bound && !is_at_rest()) one_turn(*device, shared);
  shared.census = device->census();
  ::_exit(0);
}

void send_descriptors(int socket, const Device& device) {
  const auto descriptors = device.descriptors();
  const auto info = device.adoption_info();
  std::vector<char> names;
  std::vector<int> fds;
  for (const auto& descriptor : descriptors) {
    names.insert(names.end(), descriptor.name.begin(), descriptor.name.end());
    names.push_back('\0');
    fds.push_back(descriptor.fd);
  }
  iovec pieces[2] = {{const_cast<std::uint8_t*>(info.data()), info.size()}, {names.data(), names.size()}};
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = 2;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  if (::sendmsg(socket, &message, 0) < 0) ::_exit(3);
}

struct Passed {
  std::vector<std::uint8_t> info;
  std::vector<NamedDescriptor> descriptors;
  std::vector<UniqueFd> owned;
};

constexpr std::size_t kInfoBytes = 56;

Passed receive_descriptors(int socket) {
  Passed passed;
  std::array<char, 512> data{};
  std::array<char, CMSG_SPACE(16 * sizeof(int))> control{};
  iovec piece{data.data(), data.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t bytes = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  REQUIRE(bytes > static_cast<ssize_t>(kInfoBytes));
  passed.info.assign(data.begin(), data.begin() + kInfoBytes);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  REQUIRE(header != nullptr);
  const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  const char* name = data.data() + kInfoBytes;
  for (std::size_t i = 0; i < count; ++i) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
    passed.owned.emplace_back(fd);
    passed.descriptors.push_back({name, fd});
    name += std::strlen(name) + 1;
  }
  return passed;
}

/// The process that calls this dies there; an empty stop is none.
void arm(const std::string& stop) {
  if (stop.empty()) return;
  ::setenv("TANDEM_STOP", stop.c_str(), 1);
#ifdef TANDEM_STOP_POINTS
  count_turn_stop_points(true);
#endif
}

[[noreturn]] void first_owner(const DeviceOptions& options, Shared& shared, int socket, const std::string& stop) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  arm(stop);
  try {
    auto device = open_device(options);
    hold_robust_word(shared.owners[1]);
    send_descriptors(socket, *device);
    own(std::move(device), shared, 1);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "first owner: %s\n", error.what());
    ::_exit(2);
  }
}

[[noreturn]] void adopter(const DeviceOptions& options, Shared& shared, const Passed& passed, std::uint32_t generation,
                          int ready, const std::string& stop) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  arm(stop);
  try {
    auto device = attach_device(options, passed.info, passed.descriptors);
    Shared::Owner& predecessor = shared.owners[(generation - 1) % 2];
    Loop loop(LoopOptions{15, false});
    const std::uint32_t held = std::atomic_ref<std::uint32_t>(predecessor.word).load();
    bool dead = (held & FUTEX_OWNER_DIED) != 0;
    if (!dead) loop.futex_wait(&predecessor.word, held, [&] { dead = true; });
    const char byte = 0;
    if (::write(ready, &byte, 1) != 1) ::_exit(4);
    while (!dead && shared.stop == 0) loop.run_once(monotonic_ns() + 5'000'000);
    if (!dead) ::_exit(0);
    // Both words are used in turn; the predecessor's predecessor is long gone.
    hold_robust_word(shared.owners[generation % 2]);
    const std::uint32_t turns = shared.turns.load();
    device->adopt(turns == 0 ? nullptr : &shared.log[turns - 1].mark);
    shared.adopted_packets += device->adopted_packets();
    own(std::move(device), shared, generation);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "adopter %u: %s\n", generation, error.what());
    ::_exit(2);
  }
}

int peer(Shared& shared, std::uint32_t least) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int buffer = 32 << 20;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(7);
  to.sin_addr.s_addr = htonl(0x0a4d0001);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return 1;
  std::vector<bool> seen(kMostPackets);
  std::array<std::uint8_t, kPayload> payload{};
  std::uint32_t sent = 0, answered = 0;
  std::uint64_t progress = monotonic_ns();
  while (answered < sent || sent < least || shared.kills_over == 0) {
    const bool more = sent < least || shared.kills_over == 0;
    if (more && sent - answered < kWindow && sent < kMostPackets) {
      std::memcpy(payload.data(), &sent, sizeof sent);
      if (::send(socket.get(), payload.data(), payload.size(), 0) == static_cast<ssize_t>(payload.size()))
        shared.sent = ++sent;
    }
    while (::recv(socket.get(), payload.data(), payload.size(), 0) == static_cast<ssize_t>(payload.size())) {
      std::uint32_t number = 0;
      std::memcpy(&number, payload.data(), sizeof number);
      if (number >= sent) continue;
      if (seen[number])
        ++shared.doubled;
      else
        shared.answered = ++answered;
      seen[number] = true;
      progress = monotonic_ns();
    }
    if (sent - answered >= kWindow || !more) {
      pollfd readable{socket.get(), POLLIN, 0};
      ::poll(&readable, 1, 10);
    }
    if (monotonic_ns() - progress > kBound) return 2;
  }
  return 0;
}

bool wait_for(const std::function<bool()>& condition) {
  const std::uint64_t bound = monotonic_ns() + kBound;
  while (!condition()) {
    if (monotonic_ns() > bound) return false;
    ::sched_yield();
  }
  return true;
}

void read_log(const Shared& shared, ChainResult& result) {
  std::vector<std::uint8_t> times(result.sent, 0);
  const std::uint32_t turns = shared.turns;
  const std::uint32_t packets = turns == 0 ? 0 : shared.log[turns - 1].packets_end;
  for (std::uint32_t i = 0; i < packets; ++i)
    if (shared.packets[i] < result.sent && times[shared.packets[i]] < 255) ++times[shared.packets[i]];
  for (const std::uint8_t n : times) {
    result.log_missing += n == 0 ? 1 : 0;
    result.log_doubled += n > 1 ? 1 : 0;
  }
}

}  // namespace

ChainResult run_chain(const Lab& lab, bool peer_in_own_namespace, const ChainOptions& options) {
  const SharedMemory memory;
  Shared& shared = *memory.at;
  ChainResult result;
  int sockets[2], ready[2];
  REQUIRE((::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0 && ::pipe(ready) == 0));
  const UniqueFd ours(sockets[0]), theirs(sockets[1]), ready_in(ready[0]), ready_out(ready[1]);

  std::size_t deaths = 0;
  const auto next_stop = [&] {
    return options.stops.empty() || deaths >= options.kills ? std::string()
                                                            : options.stops[deaths++ % options.stops.size()];
  };
  const std::string first_stop = next_stop();
  pid_t owner = ::fork();
  REQUIRE(owner >= 0);
  if (owner == 0) first_owner(options.device, shared, theirs.get(), first_stop);
  pollfd readable{ours.get(), POLLIN, 0};
  if (::poll(&readable, 1, 20'000) != 1) {
    wait_exit(owner, 0);
    FAIL("the first owner did not open its device");
  }
  const Passed passed = receive_descriptors(ours.get());

  pid_t sender = -1;
  if (peer_in_own_namespace) {
    sender = lab.fork_at_peer([&] { return peer(shared, options.packets); });
  } else {
    sender = ::fork();
    if (sender == 0) ::_exit(peer(shared, options.packets));
  }

  const auto fork_adopter = [&](std::uint32_t generation) {
    const std::string stop = next_stop();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) adopter(options.device, shared, passed, generation, ready_out.get(), stop);
    return child;
  };
  const auto attached = [&] {
    char byte = 0;
    pollfd written{ready_in.get(), POLLIN, 0};
    return ::poll(&written, 1, 20'000) == 1 && ::read(ready_in.get(), &byte, 1) == 1;
  };

  bool good = true;
  std::uint32_t random = 12345;
  for (std::uint32_t generation = 2; good && result.kills < options.kills; ++generation) {
    pid_t next = fork_adopter(generation);
    good = attached();
    if (options.stops.empty()) {
      // Somewhere in the middle of the traffic: after a changing number of turns, wherever the owner then is.
      random = random * 1664525 + 1013904223;
      const std::uint32_t turns = shared.turns + 5 + (random >> 16) % 60;
      good = good && wait_for([&] { return shared.turns >= turns; });
      if (owner > 0) ::kill(owner, SIGKILL);  // -1 would be everybody
    }
    // A process that has been waited for is nobody any more: its number may be another's.
    bool adopter_died = false;
    const auto settled = [&] {
      adopter_died = adopter_died || ::waitpid(next, nullptr, WNOHANG) == next;
      return adopter_died || shared.generation == generation;
    };
    good = good && wait_for(settled);
    if (owner > 0) wait_exit(owner, kBound);
    ++result.kills;
    // It may have died while it adopted: another one begins again where that one stopped.
    while (good && adopter_died && shared.generation != generation) {
      ++result.kills;
      next = fork_adopter(generation);
      adopter_died = false;
      good = attached() && wait_for(settled);
    }
    owner = adopter_died ? -1 : next;
  }
  shared.kills_over = 1;
  const bool peer_good = wait_exit(sender, 3 * kBound) == 0;
  result.finished = good && peer_good;
  shared.stop = 1;
  if (owner < 0 || wait_exit(owner, 2 * kBound) != 0) result.finished = false;
  result.sent = shared.sent;
  result.answered = shared.answered;
  result.doubled = shared.doubled;
  result.adopted_packets = shared.adopted_packets;
  result.census = shared.census;
  read_log(shared, result);
  return result;
}

}  // namespace tandem::test
