// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "node/system.hpp"
#include "tandem/give_back.hpp"
#include "tandem/loop.hpp"

namespace tandem::ha::system {

int process_id() { return getpid(); }

std::uint64_t draw_identity() {
  std::uint64_t identity = 0;
  while (identity == 0) {
    if (getrandom(&identity, sizeof identity, 0) != sizeof identity) identity = monotonic_ns();
  }
  return identity;
}

std::string address_of_the_kernel(const std::vector<IpPrefix>& ours, const std::string& interface) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {};
  std::string taken;
  for (const ifaddrs* item = list; item != nullptr && taken.empty(); item = item->ifa_next) {
    if (item->ifa_addr == nullptr) continue;
    IpAddress address;
    if (item->ifa_addr->sa_family == AF_INET) {
      std::memcpy(address.octets.data(), &reinterpret_cast<const sockaddr_in*>(item->ifa_addr)->sin_addr, 4);
    } else if (item->ifa_addr->sa_family == AF_INET6) {
      address.version = 6;
      std::memcpy(address.octets.data(), &reinterpret_cast<const sockaddr_in6*>(item->ifa_addr)->sin6_addr, 16);
    } else {
      continue;
    }
    if (address.is_link_local() && item->ifa_name != interface) continue;
    for (const IpPrefix& prefix : ours) {
      if (prefix.address == address)
        taken = address.to_string() + " is configured on the kernel's interface " + item->ifa_name;
    }
  }
  freeifaddrs(list);
  return taken;
}

Descriptor catch_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  return Descriptor(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

SignalsTaken take_signals(int signals) {
  SignalsTaken taken;
  signalfd_siginfo info;
  while (read(signals, &info, sizeof info) == sizeof info) {
    switch (info.ssi_signo) {
      case SIGHUP:
        ++taken.hang_ups;
        break;
      case SIGUSR1:
        ++taken.reports;
        break;
      case SIGUSR2:
        ++taken.switchovers;
        break;
      default:
        ++taken.stops;
    }
  }
  return taken;
}

void populate(const Mapping& mapping) { madvise(mapping.data(), mapping.mapped_size(), MADV_POPULATE_WRITE); }

void free_pages(const Mapping& mapping, std::size_t offset, std::size_t bytes) {
  madvise(mapping.data() + offset, bytes, MADV_REMOVE);
}

void give_back(const Mapping& mapping) {
  give_back_in_pieces(mapping.data(), mapping.mapped_size(), std::size_t{2} << 20);
}

bool enter_realtime(int priority) {
  sched_param realtime{};
  realtime.sched_priority = priority;
  return sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &realtime) == 0;
}

void leave_realtime() {
  sched_param normal{};
  sched_setscheduler(0, SCHED_OTHER, &normal);
}

bool enter_idle(bool must_return) {
  const sched_param any{};
  return (geteuid() == 0 || !must_return) && sched_setscheduler(0, SCHED_IDLE, &any) == 0;
}

void leave_idle() { leave_realtime(); }

void sleep(std::uint64_t time_ns) {
  const timespec time{static_cast<time_t>(time_ns / 1'000'000'000), static_cast<long>(time_ns % 1'000'000'000)};
  nanosleep(&time, nullptr);
}

std::optional<int> lower_priority() {
  if (geteuid() != 0) return std::nullopt;
  const int before = getpriority(PRIO_PROCESS, 0);
  setpriority(PRIO_PROCESS, 0, std::min(19, before + 10));
  return before;
}

void restore_priority(int nice_before) { setpriority(PRIO_PROCESS, 0, nice_before); }

Descriptor own_process() { return Descriptor(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0))); }

Fencing may_kill(int process) {
  if (process < 0) return Fencing::not_permitted;
  if (syscall(SYS_pidfd_send_signal, process, 0, nullptr, 0) == 0 || errno == ESRCH) return Fencing::possible;
  // The kernel's answer for a process that is in no namespace at or below this one's.
  return errno == EINVAL ? Fencing::other_namespace : Fencing::not_permitted;
}

bool has_ended(int process) {
  if (process < 0) return false;
  pollfd ready{process, POLLIN, 0};
  return poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0;
}

Descriptor own_scheduling(const char* name) {
  return Descriptor(open((std::string("/proc/thread-self/") + name).c_str(), O_RDONLY | O_CLOEXEC));
}

bool kill_process(int process) {
  return syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0) == 0 || errno == ESRCH;
}

void wait_for_word(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t timeout_ns) {
  const timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000),
                         static_cast<long>(timeout_ns % 1'000'000'000)};
  syscall(SYS_futex, &word, FUTEX_WAIT, expected, &timeout, nullptr, 0);
}

void wait_readable(int fd, int timeout_ms) {
  pollfd ready{fd, POLLIN, 0};
  poll(&ready, 1, timeout_ms);
}

Descriptor accept_connection(int listener) {
  return Descriptor(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

bool has_hung_up(int socket) {
  char byte = 0;
  const ssize_t got = recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

std::ptrdiff_t receive(int socket, std::span<char> buffer, std::vector<Descriptor>& descriptors) {
  const auto bytes = std::as_writable_bytes(buffer);
  return receive_packet(socket, {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()}, descriptors).bytes;
}

std::ptrdiff_t send(int socket, std::string_view bytes) {
  return ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void shut_down(int socket) { shutdown(socket, SHUT_RDWR); }

bool send_packet(int socket, Bytes bytes, std::span<const int> descriptors) {
  if (descriptors.size() > kMaxPacketDescriptors) {
    errno = EMSGSIZE;
    return false;
  }
  iovec part{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxPacketDescriptors)> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  return sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(bytes.size());
}

Packet receive_packet(int socket, std::span<std::uint8_t> buffer, std::vector<Descriptor>& descriptors) {
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxPacketDescriptors)> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t got = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return {-1, false};
  for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(item) + i * sizeof(int), sizeof fd);
      descriptors.emplace_back(fd);
    }
  }
  return {got, (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0};
}

}  // namespace tandem::ha::system
