// SPDX-License-Identifier: BSD-3-Clause
#include "members/fence_command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace tandem::ha {
namespace {

/// The two names, each with its NUL.
struct Request {
  std::array<char, FenceCommand::kLongestName + 1> group, member;
};

struct Reply {
  std::int32_t code;   ///< exit code; or minus the signal that ended it
  std::int32_t error;  ///< errno of what kept it from running; else 0
  std::uint32_t timed_out;
  std::array<char, 256> last;  ///< of its output, ends with NUL
};

// ---- The helper: a process of its own, which does nothing else ----

std::int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

/// The last line of what comes, as far as there is room for it.
class LastLine {
 public:
  void add(const char* bytes, std::size_t count) {
    for (; count != 0; ++bytes, --count) {
      if (*bytes == '\n') {
        ended_ = true;
      } else {
        if (ended_) size_ = 0;
        ended_ = false;
        if (size_ + 1 < line_.size()) line_[size_++] = static_cast<unsigned char>(*bytes) < ' ' ? '?' : *bytes;
      }
    }
  }
  void copy(std::array<char, 256>& to) const {
    to = line_;
    to[size_] = 0;
  }

 private:
  std::array<char, 256> line_{};
  std::size_t size_ = 0;
  bool ended_ = false;
};

[[noreturn]] void become(const char* path, const Request& request, int output, int failure) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::execl(path, path, request.group.data(), request.member.data(), nullptr);
  const int error = errno;
  if (::write(failure, &error, sizeof error) < 0) ::_exit(126);
  ::_exit(127);
}

/// Whether the node has gone, or waits for nothing any more.
bool is_left(int socket) {
  pollfd end{socket, POLLRDHUP, 0};
  return ::poll(&end, 1, 0) > 0 && (end.revents & (POLLRDHUP | POLLHUP)) != 0;
}

/// Takes the command's output until it has ended or its time is over. A descendant that keeps the pipe open does not hold it up.
bool follow(int socket, pid_t child, int output, std::uint32_t timeout_ms, LastLine& last, int& status) {
  const std::int64_t until = now_ms() + timeout_ms;
  bool open = true, over = false;
  for (;;) {
    siginfo_t info{};
    const bool ended =
        ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
    std::array<char, 4096> bytes;
    for (ssize_t count = 1; open && count > 0;) {
      count = ::read(output, bytes.data(), bytes.size());
      if (count > 0) last.add(bytes.data(), static_cast<std::size_t>(count));
      open = count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
      if (now_ms() > until) break;
    }
    if (ended) break;
    over = over || now_ms() >= until || is_left(socket);
    if (over) ::kill(-child, SIGKILL);
    constexpr int kLook_ms = 5;
    pollfd ready{open ? output : -1, POLLIN, 0};
    ::poll(&ready, 1, kLook_ms);
  }
  // What it has started goes with it: a fence that is over does nothing afterwards. The number is its group's until it is waited for.
  ::kill(-child, SIGKILL);
  ::waitpid(child, &status, 0);
  return over;
}

Reply run(int socket, const char* path, const Request& request, std::uint32_t timeout_ms) {
  Reply reply{};
  std::array<int, 2> output{}, failure{};
  if (::pipe2(output.data(), O_CLOEXEC) != 0 || ::pipe2(failure.data(), O_CLOEXEC) != 0) {
    reply.error = errno;
    return reply;
  }
  ::fcntl(output[0], F_SETFL, O_NONBLOCK);
  const pid_t child = ::fork();
  if (child == 0) become(path, request, output[1], failure[1]);
  if (child < 0) reply.error = errno;
  ::close(output[1]);
  ::close(failure[1]);
  if (child > 0) {
    ::setpgid(child, child);  // whoever of the two comes first
    LastLine last;
    int status = 0;
    reply.timed_out = follow(socket, child, output[0], timeout_ms, last, status) ? 1 : 0;
    reply.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    if (::read(failure[0], &reply.error, sizeof reply.error) != sizeof reply.error) reply.error = 0;
    last.copy(reply.last);
  }
  ::close(output[0]);
  ::close(failure[0]);
  return reply;
}

/// Until the node closes its end, or has ended: then nothing that it began goes on.
[[noreturn]] void serve(int socket, const char* path, std::uint32_t timeout_ms) {
  ::prctl(PR_SET_NAME, "tandem-fence");
  // Signals that are sent to the group of the terminal or of the service are its parent's to decide.
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  ::signal(SIGCHLD, SIG_DFL);
  // Nothing of the node's stays open here.
  ::dup2(socket, STDERR_FILENO + 1);
  if (::close_range(STDERR_FILENO + 2, ~0U, 0) != 0) {  // an emulator may not have it
    const int most = std::min(::getdtablesize(), 1 << 16);
    for (int fd = STDERR_FILENO + 2; fd < most; ++fd) ::close(fd);
  }
  socket = STDERR_FILENO + 1;
  ::fcntl(socket, F_SETFD, FD_CLOEXEC);
  for (Request request{}; ::recv(socket, &request, sizeof request, 0) == sizeof request;) {
    request.group.back() = request.member.back() = 0;
    const Reply reply = run(socket, path, request, timeout_ms);
    if (::send(socket, &reply, sizeof reply, MSG_NOSIGNAL) != sizeof reply) break;
  }
  ::_exit(0);
}

}  // namespace

// ---- The node's side ----

FenceCommand::FenceCommand(const std::string& path, std::uint32_t timeout_ms) {
  struct stat status {};
  const std::string name = "--fence: the command " + path;
  if (path.empty() || path.front() != '/')
    throw FenceCommandError("--fence takes command:PATH, an absolute one, not '" + path + "'");
  if (::stat(path.c_str(), &status) != 0)
    throw FenceCommandError(name + " cannot be had: " + std::strerror(errno) +
                            ". Without a fence nobody is fenced; put it there");
  if (!S_ISREG(status.st_mode) || ::access(path.c_str(), X_OK) != 0)
    throw FenceCommandError(name + " cannot be executed by this process. chmod +x " + path);
  if ((status.st_mode & S_IWOTH) != 0)
    throw FenceCommandError(
        name + " may be written by everybody, who would run with the rights of this process. chmod o-w " + path);
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
    throw FenceCommandError(std::string("--fence: no socket for the helper: ") + std::strerror(errno));
  helper_ = ::fork();
  if (helper_ == 0) serve(pair[1], path.c_str(), timeout_ms);
  const int error = errno;
  ::close(pair[1]);
  if (helper_ < 0) {
    ::close(pair[0]);
    throw FenceCommandError(std::string("--fence: the helper cannot be started: ") + std::strerror(error));
  }
  socket_ = pair[0];
}

FenceCommand::~FenceCommand() {
  // It ends what it runs, and itself. One that somebody has stopped is not waited for.
  ::close(socket_);
  constexpr int kLook_ms = 5, kMost_ms = 500;
  for (int waited_ms = 0; waited_ms < kMost_ms; waited_ms += kLook_ms) {
    if (::waitpid(helper_, nullptr, WNOHANG) != 0) return;
    ::poll(nullptr, 0, kLook_ms);
  }
  ::kill(helper_, SIGKILL);
  ::waitpid(helper_, nullptr, 0);
}

bool FenceCommand::fence(std::string_view group, std::string_view member) {
  const auto fits = [](std::string_view name) {
    return name.size() <= kLongestName && name.find('\0') == std::string_view::npos;
  };
  if (under_way_ || !fits(group) || !fits(member)) return false;
  Request request{};
  std::copy(group.begin(), group.end(), request.group.begin());
  std::copy(member.begin(), member.end(), request.member.begin());
  under_way_ = ::send(socket_, &request, sizeof request, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof request;
  return under_way_;
}

std::optional<FenceResult> FenceCommand::take() {
  Reply reply{};
  const ssize_t count = ::recv(socket_, &reply, sizeof reply, MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  const bool was_under_way = under_way_;
  under_way_ = false;
  if (count != sizeof reply) {
    if (!was_under_way) return std::nullopt;
    return FenceResult{false, "the helper that runs it has gone; nobody was fenced for certain"};
  }
  reply.last.back() = 0;
  const std::string said = reply.last[0] != 0 ? ": " + std::string(reply.last.data()) : "";
  if (reply.error != 0) return FenceResult{false, std::string("it could not be run: ") + std::strerror(reply.error)};
  if (reply.timed_out != 0) return FenceResult{false, "it had not ended in time and was ended" + said};
  if (reply.code < 0) return FenceResult{false, "it was ended by signal " + std::to_string(-reply.code) + said};
  return FenceResult{reply.code == 0, "it ended with " + std::to_string(reply.code) + said};
}

}  // namespace tandem::ha
