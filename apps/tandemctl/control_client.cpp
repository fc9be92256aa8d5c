// SPDX-License-Identifier: BSD-3-Clause
#include "control_client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

namespace tandem::ctl {

namespace {

constexpr std::size_t kMaxAnswerBytes = std::size_t{256} << 20;

using Clock = std::chrono::steady_clock;

class Socket {
 public:
  Socket() : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (fd_ < 0) throw std::runtime_error(std::string("making a Unix socket failed: ") + std::strerror(errno));
  }
  ~Socket() { ::close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

  void wait(short events, Clock::time_point deadline, const std::string& path) const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting{fd_, events, 0};
    const int ready = left > 0 ? ::poll(&waiting, 1, static_cast<int>(left)) : 0;
    if (ready == 0 || (ready < 0 && errno != EINTR)) {
      throw std::runtime_error(
          "the group at '" + path +
          "' did not answer in time; its primary may be stopped or about to be replaced, try again");
    }
  }

 private:
  int fd_;
};

void connect_to(const Socket& socket, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw std::runtime_error("the path '" + path + "' is too long for a Unix socket; choose a shorter --runtime-dir");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return;
  const int error = errno;
  const std::string tried = "connecting to '" + path + "' failed: " + std::strerror(error) + "; ";
  if (error == ENOENT || error == ECONNREFUSED) {
    throw NoGroup(tried + "no process of this group runs here (are --runtime-dir and --group right?)");
  }
  if (error == EACCES) throw std::runtime_error(tried + "ask as the user that the group runs as, or as root");
  throw std::runtime_error(tried + "is it a control socket?");
}

bool send_request(int socket, std::string request, int descriptor) {
  iovec part{request.data(), request.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof descriptor)> control{};
  if (descriptor >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  }
  return ::sendmsg(socket, &header, MSG_NOSIGNAL) == static_cast<ssize_t>(request.size());
}

}  // namespace

std::string ask(const std::string& socket_path, const std::string& command, int timeout_ms, int descriptor) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  const Socket socket;
  connect_to(socket, socket_path);
  const std::string request = nlohmann::json{{"command", command}}.dump() + "\n";
  if (!send_request(socket.fd(), request, descriptor)) {
    throw std::runtime_error("sending the request to '" + socket_path + "' failed: " + std::strerror(errno));
  }
  std::string answer;
  std::array<char, 65536> piece{};
  while (true) {
    socket.wait(POLLIN, deadline, socket_path);
    const ssize_t got = ::recv(socket.fd(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (got == 0) break;
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      throw std::runtime_error("the group at '" + socket_path + "' broke off: " + std::strerror(errno) + "; try again");
    }
    answer.append(piece.data(), static_cast<std::size_t>(got));
    if (answer.size() > kMaxAnswerBytes) throw std::runtime_error("the answer of '" + socket_path + "' has no end");
  }
  if (answer.empty()) {
    throw std::runtime_error("the group at '" + socket_path +
                             "' closed without an answer; a takeover may be under way, try again");
  }
  if (answer.back() != '\n') {
    throw std::runtime_error("the group at '" + socket_path +
                             "' broke off within its answer; a takeover may be under way, try again");
  }
  answer.pop_back();
  return answer;
}

}  // namespace tandem::ctl
