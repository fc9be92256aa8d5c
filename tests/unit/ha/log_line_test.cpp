// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>

#include "members/crash_notice.hpp"
#include "node/system.hpp"

using namespace tandem::ha;

namespace {

constexpr std::uint64_t kLong_ns = 20'000'000'000;

/// Standard error is something else as long as this lives. A line that waits is a test that ends here.
class OtherStderr {
 public:
  explicit OtherStderr(int file) : before_(::dup(STDERR_FILENO)) {
    REQUIRE(::dup2(file, STDERR_FILENO) == STDERR_FILENO);
    ::alarm(60);
  }
  ~OtherStderr() {
    ::alarm(0);
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
  }
  OtherStderr(const OtherStderr&) = delete;
  OtherStderr& operator=(const OtherStderr&) = delete;

 private:
  int before_;
};

/// A terminal whose output can be stopped, as ^S does.
struct Terminal {
  Terminal() : master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    REQUIRE(master.valid());
    REQUIRE(::grantpt(master.get()) == 0);
    REQUIRE(::unlockpt(master.get()) == 0);
    slave = Descriptor(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    REQUIRE(slave.valid());
  }
  Descriptor master, slave;
};

struct File {
  File() {
    std::string pattern = "/tmp/tandem-log-line-XXXXXX";
    fd = Descriptor(::mkostemp(pattern.data(), O_CLOEXEC | O_APPEND));
    path = pattern;
    REQUIRE(fd.valid());
  }
  ~File() { ::unlink(path.c_str()); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] std::string text() const {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  Descriptor fd;
  std::string path;
};

/// A line's text, which tells it from others.
std::string numbered(int number, std::size_t bytes) {
  std::string text = "line " + std::to_string(number) + " ";
  return text + std::string(bytes - text.size(), 'x');
}

/// How many of those lines are there, in their order and whole.
int lines_in_order(const std::string& text, std::size_t bytes) {
  int count = 0;
  for (std::size_t at = 0; (at = text.find("primary: " + numbered(count, bytes), at)) != std::string::npos; ++count) {
  }
  return count;
}

/// What the calling thread has written to anything.
std::uint64_t own_bytes() {
  std::ifstream file("/proc/thread-self/io");
  std::string name;
  std::uint64_t value = 0;
  while (file >> name >> value)
    if (name == "wchar:") return value;
  return 0;
}

constexpr int kLastLines = 60;
constexpr std::size_t kLastBytes = 4000;
std::string last_path;

/// Says some lines and ends, with a processor for it and the thread that writes, which gets it only when it is given away.
[[noreturn]] void say_and_end(bool by_abort, const std::string& path) {
  ::alarm(60);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
  ::sched_setaffinity(0, sizeof one, &one);
  const sched_param any{};
  ::sched_setscheduler(0, SCHED_BATCH, &any);
  for (const int number : {SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGBUS}) ::signal(number, SIG_DFL);
  install_crash_notice();
  last_path = path;
  // Runs behind the end of what belongs to this thread.
  std::atexit([] {
    std::ifstream file(last_path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    std::_Exit(lines_in_order(text, kLastBytes) == kLastLines ? 0 : 1);
  });
  for (int i = 0; i < kLastLines; ++i) system::write_log_line(6, "primary", numbered(i, kLastBytes));
  if (by_abort) std::abort();
  std::exit(0);
}

}  // namespace

TEST_CASE("a log line never waits for whoever reads standard error") {
  int ends[2];
  const bool is_socket = GENERATE(false, true);
  REQUIRE((is_socket ? ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : ::pipe(ends)) == 0);
  std::uint64_t taken = 0, lost = 0;
  bool shared = false, flows_again = false;
  {
    const OtherStderr other(ends[1]);
    // What waited for the stream of the run before is told as lost first (where the thread writes to pipes: before Linux 6.4).
    while (system::write_log_line(6, "primary", "begins") != 0) continue;
    for (int i = 0; i < 1'000'000 && lost == 0; ++i) {
      lost = system::write_log_line(6, "primary", std::string(1000, 'x'));
      taken += lost == 0 ? 1 : 0;
    }
    shared = (::fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0;
    std::array<char, 65536> buffer{};
    REQUIRE(::read(ends[0], buffer.data(), buffer.size()) > 0);
    // At once, or when the thread has had its turn (before Linux 6.4).
    while (!flows_again) flows_again = system::write_log_line(6, "primary", "here") == 0;
  }
  ::close(ends[0]);
  ::close(ends[1]);
  CHECK(lost == 1);
  CHECK(taken > 0);
  CHECK(flows_again);
  // What others have of it is as it was.
  CHECK(shared);
}

TEST_CASE("lines for a terminal that was stopped wait for it, up to a bound, and nobody waits for them") {
  constexpr std::size_t kBytes = 1000;
  const Terminal terminal;
  REQUIRE(::tcflow(terminal.slave.get(), TCOOFF) == 0);
  int taken = 0;
  std::string text;
  {
    const OtherStderr other(terminal.slave.get());
    for (std::uint64_t lost = 0; lost == 0 && taken < 1'000'000;) {
      lost = system::write_log_line(6, "primary", numbered(taken, kBytes));
      taken += lost == 0 ? 1 : 0;
    }
    REQUIRE(::tcflow(terminal.slave.get(), TCOON) == 0);
    std::array<char, 65536> buffer{};
    while (lines_in_order(text, kBytes) < taken) {
      const ssize_t got = ::read(terminal.master.get(), buffer.data(), buffer.size());
      REQUIRE(got > 0);
      text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    system::await_log_lines(kLong_ns);
    CHECK(system::write_log_line(6, "primary", "here") == 0);
    system::await_log_lines(kLong_ns);
  }
  CHECK(taken >= 200);
  CHECK(taken < 1000);
}

TEST_CASE("the thread that logs does not write to files itself, which a disk may hold up") {
  constexpr std::size_t kBytes = 100;
  const File file;
  {
    const OtherStderr other(file.fd.get());
    // With the first one the writer begins, and is given its name.
    CHECK(system::write_log_line(6, "primary", numbered(0, kBytes)) == 0);
    const std::uint64_t before = own_bytes();
    for (int i = 1; i < 1000; ++i) CHECK(system::write_log_line(6, "primary", numbered(i, kBytes)) == 0);
    // Not one of them; the sanitizers write some bytes of their own, to a pipe.
    CHECK(own_bytes() - before < kBytes);
    system::await_log_lines(kLong_ns);
  }
  CHECK(lines_in_order(file.text(), kBytes) == 1000);
}

TEST_CASE("lines that a full disk does not take are counted, and the next one is tried again") {
  const Descriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  const File file;
  std::uint64_t lost = 0;
  {
    const OtherStderr other(full.get());
    for (int i = 0; i < 3; ++i) {
      lost += system::write_log_line(6, "primary", "lost");
      system::await_log_lines(kLong_ns);
    }
  }
  {
    const OtherStderr other(file.fd.get());
    lost += system::write_log_line(6, "primary", numbered(0, 20));
    system::await_log_lines(kLong_ns);
  }
  CHECK(lost == 3);
  CHECK(lines_in_order(file.text(), 20) == 1);
}

TEST_CASE("what a process says last before it ends arrives") {
  const bool by_abort = GENERATE(false, true);
  const File file;
  const OtherStderr other(file.fd.get());
  // The child inherits that this thread has lines written, and not who writes them.
  system::write_log_line(6, "primary", "of the parent");
  // Its thread rests: a lock of the sanitizers' allocator that it held at the fork would be held for ever in the child.
  system::await_log_lines(kLong_ns);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) say_and_end(by_abort, file.path);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status) == by_abort);
  CHECK((by_abort || WEXITSTATUS(status) == 0));
  CHECK(lines_in_order(file.text(), kLastBytes) == kLastLines);
}
