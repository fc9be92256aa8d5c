// SPDX-License-Identifier: BSD-3-Clause
#include "kernel_driver.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>

#include "tandem/loop.hpp"

namespace tandem::perf {

namespace {

constexpr std::size_t kBufferBytes = std::size_t{256} << 10;
constexpr int kReadsAnEvent = 4;
/// Up to so many sockets are tried one by one instead of asking epoll, when spinning.
constexpr std::size_t kTriedDirectly = 4;
constexpr std::uint64_t kListenerMark = std::uint64_t{1} << 63;

std::atomic<int> stop_requests{0};
static_assert(std::atomic<int>::is_always_lock_free, "it is used in a signal handler");

void on_stop_signal(int) { stop_requests.fetch_add(1); }

[[noreturn]] void fail(const char* tried) { throw std::system_error(errno, std::generic_category(), tried); }

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress make_address(const Endpoint& endpoint) {
  SocketAddress made;
  if (endpoint.address.is_v6()) {
    auto& address = reinterpret_cast<sockaddr_in6&>(made.storage);
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(endpoint.port);
    std::memcpy(&address.sin6_addr, endpoint.address.octets.data(), 16);
    made.size = sizeof address;
  } else {
    auto& address = reinterpret_cast<sockaddr_in&>(made.storage);
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    std::memcpy(&address.sin_addr, endpoint.address.octets.data(), 4);
    made.size = sizeof address;
  }
  return made;
}

void set_option(int fd, int level, int option, int value) { ::setsockopt(fd, level, option, &value, sizeof value); }

void prepare(int fd, const Settings& settings) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (settings.socket_buffer != 0) {
    set_option(fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(settings.socket_buffer));
    set_option(fd, SOL_SOCKET, SO_RCVBUF, static_cast<int>(settings.socket_buffer));
  }
  // A figure that was measured with another one than it says would be worth nothing.
  const std::string& name = settings.congestion_control;
  if (!name.empty() &&
      ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size())) != 0)
    fail(("setting the congestion control to " + name +
          " (sysctl net.ipv4.tcp_available_congestion_control lists what the kernel has)")
             .c_str());
}

}  // namespace

class KernelDriver::Socket final : public Carrier {
 public:
  Socket(std::uint32_t index, std::unique_ptr<Flow> flow, int fd, bool is_connecting)
      : Carrier(index, std::move(flow)), fd_(fd), is_connecting_(is_connecting) {}
  ~Socket() override { ::close(fd_); }

  std::size_t write(Bytes bytes) override {
    if (is_connecting_ || is_shut_) return 0;
    const ssize_t taken = ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken < 0) {
      if (errno != EAGAIN && errno != EINTR) broken_ = errno;
      return 0;
    }
    written_ += static_cast<std::size_t>(taken);
    return static_cast<std::size_t>(taken);
  }
  [[nodiscard]] std::uint64_t written() const override { return written_; }
  void close() override {
    if (is_shut_) return;
    is_shut_ = true;
    ::shutdown(fd_, SHUT_WR);
  }

  int fd_;
  bool is_connecting_;
  bool is_shut_ = false;
  bool saw_eof_ = false;
  bool is_removed_ = false;
  int broken_ = 0;  ///< errno that ended it
  unsigned armed_ = 0;
  std::uint64_t written_ = 0;
  std::vector<std::uint8_t> unread_;  ///< what the flow did not take
};

KernelDriver::KernelDriver(const Settings& settings, Meter& meter, Report report)
    : Driver(settings, meter, std::move(report)), buffer_(kBufferBytes) {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) fail("making an epoll instance failed");
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  if (is_server()) {
    for (const std::uint16_t well_known : {std::uint16_t{7}, std::uint16_t{9}, std::uint16_t{19}}) listen(well_known);
  }
}

KernelDriver::~KernelDriver() {
  for (const Listener& listener : listeners_) ::close(listener.fd);
  if (epoll_ >= 0) ::close(epoll_);
}

void KernelDriver::listen(std::uint16_t well_known) {
  const int fd = ::socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("making a listening socket failed");
  listeners_.push_back({fd, well_known});
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  prepare(fd, settings_);
  const auto port = static_cast<std::uint16_t>(well_known + settings_.port_base);
  const SocketAddress address = make_address({IpAddress::any(6), port});
  if (::bind(fd, address.get(), address.size) != 0) {
    fail(("binding port " + std::to_string(port) + " failed").c_str());
  }
  if (::listen(fd, 4096) != 0) fail("listening failed");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kListenerMark | (listeners_.size() - 1);
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
}

void KernelDriver::accept(const Listener& listener) {
  for (int i = 0; i < 64; ++i) {
    const int fd = ::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    prepare(fd, settings_);
    const std::uint32_t index = meter_.add_flow();
    auto socket = std::make_unique<Socket>(index, make_server_flow(listener.well_known, meter_, index), fd, false);
    sockets_.resize(index + 1);
    Socket& made = *(sockets_[index] = std::move(socket));
    attach(made);
    epoll_event event{};
    event.data.u64 = index;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    made.flow().connected(made);
    settle(made);
  }
}

void KernelDriver::open_one() {
  const int family = settings_.peer.address.is_v6() ? AF_INET6 : AF_INET;
  const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("making a socket failed");
  prepare(fd, settings_);
  const std::uint32_t index = meter_.add_flow();
  sockets_.resize(index + 1);
  Socket& made =
      *(sockets_[index] = std::make_unique<Socket>(index, make_client_flow(settings_, meter_, index), fd, true));
  attach(made);
  ++connecting_;
  epoll_event event{};
  event.events = made.armed_ = EPOLLOUT;
  event.data.u64 = index;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  const SocketAddress address = make_address(settings_.peer);
  if (::connect(fd, address.get(), address.size) != 0 && errno != EINPROGRESS) made.broken_ = errno;
  settle(made);
}

void KernelDriver::run() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  const auto after = [this](Carrier& carrier) { settle(static_cast<Socket&>(carrier)); };
  while (true) {
    const std::uint64_t now = monotonic_ns();
    if (now >= limit_ns_ || stop_requests.load() > 1) {
      if (!is_server()) fail_all("was not done when the run had to end");
      for (const auto& socket : sockets_) {
        if (socket) count_retransmissions(*socket);
      }
      return;
    }
    const bool finishing = finish_when_due(now, stop_requests.load() > 0, after);
    if (finishing && (is_server() || live_ == 0)) return;
    for (std::size_t count = wanted(connecting_); count > 0; --count) open_one();
    if (live_ == 0 && !is_server() && settings_.requests == 0) return;
    run_ticks(now, after);
    report_when_due(now);
    if (settings_.spin && !is_server() && settings_.requests == 0 && live_ <= kTriedDirectly && connecting_ == 0) {
      poll_directly();
    } else {
      wait(now);
    }
    removed_.clear();
  }
}

void KernelDriver::poll_directly() {
  for (const auto& socket : sockets_) {
    if (!socket) continue;
    unsigned events = EPOLLIN;
    if ((socket->armed_ & EPOLLOUT) != 0) events |= EPOLLOUT;
    handle(*socket, events);
  }
}

void KernelDriver::wait(std::uint64_t now_ns) {
  const std::uint64_t wake = next_wake_ns();
  const std::uint64_t left = settings_.spin || wake <= now_ns ? 0 : wake - now_ns;
  const timespec timeout{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
  std::array<epoll_event, 256> events;
  const int count = ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if ((event.data.u64 & kListenerMark) != 0) {
      accept(listeners_[event.data.u64 & ~kListenerMark]);
    } else if (const auto& socket = sockets_[event.data.u64]) {
      handle(*socket, event.events);
    }
  }
}

void KernelDriver::handle(Socket& socket, unsigned events) {
  if (socket.is_connecting_) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket.fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0 && (events & EPOLLOUT) == 0) return;
    socket.is_connecting_ = false;
    --connecting_;
    if (error != 0) {
      socket.broken_ = error;
    } else {
      socket.flow().connected(socket);
      if (finishing_) socket.flow().finish(socket);
    }
    settle(socket);
    return;
  }
  if ((events & EPOLLERR) != 0) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket.fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) socket.broken_ = error;
  }
  if ((events & EPOLLOUT) != 0) {
    if (!socket.unread_.empty()) {
      const std::size_t taken = socket.flow().receive(socket, socket.unread_);
      socket.unread_.erase(socket.unread_.begin(), socket.unread_.begin() + static_cast<std::ptrdiff_t>(taken));
    }
    if (socket.flow().wants_to_write()) socket.flow().writable(socket);
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive(socket);
  settle(socket);
}

void KernelDriver::receive(Socket& socket) {
  for (int i = 0; i < kReadsAnEvent && socket.unread_.empty() && !socket.saw_eof_ && socket.broken_ == 0; ++i) {
    const ssize_t got = ::recv(socket.fd_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got < 0) {
      if (errno != EAGAIN && errno != EINTR) socket.broken_ = errno;
      return;
    }
    if (got == 0) {
      socket.saw_eof_ = true;
      socket.flow().eof(socket);
      return;
    }
    const auto size = static_cast<std::size_t>(got);
    const std::size_t taken = socket.flow().receive(socket, Bytes(buffer_.data(), size));
    socket.unread_.assign(buffer_.begin() + static_cast<std::ptrdiff_t>(taken),
                          buffer_.begin() + static_cast<std::ptrdiff_t>(size));
    if (size < buffer_.size()) return;
  }
}

void KernelDriver::settle(Socket& socket) {
  if (socket.is_removed_) return;
  if (socket.broken_ != 0) {
    if (socket.broken_ == ECONNRESET) meter_.add_reset();
    if (socket.is_connecting_) --connecting_;
    socket.is_connecting_ = false;
    socket.flow().failed(std::generic_category().message(socket.broken_));
    remove(socket);
    return;
  }
  if (socket.flow().is_done() || (socket.saw_eof_ && socket.is_shut_)) {
    if (is_server()) meter_.done(socket.index(), monotonic_ns());
    remove(socket);
    return;
  }
  rearm(socket);
  unsigned interest = 0;
  if (socket.is_connecting_) {
    interest = EPOLLOUT;
  } else {
    if (socket.unread_.empty() && !socket.saw_eof_) interest |= EPOLLIN;
    if (!socket.unread_.empty() || socket.flow().wants_to_write()) interest |= EPOLLOUT;
  }
  if (interest == socket.armed_) return;
  epoll_event event{};
  event.events = socket.armed_ = interest;
  event.data.u64 = socket.index();
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, socket.fd_, &event);
}

void KernelDriver::count_retransmissions(const Socket& socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket.fd_, IPPROTO_TCP, TCP_INFO, &info, &size) == 0) {
    meter_.add_retransmissions(info.tcpi_total_retrans);
  }
}

void KernelDriver::remove(Socket& socket) {
  socket.is_removed_ = true;
  count_retransmissions(socket);
  detach(socket);
  removed_.push_back(std::move(sockets_[socket.index()]));
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, socket.fd_, nullptr);
}

}  // namespace tandem::perf
