// SPDX-License-Identifier: BSD-3-Clause
//
// Lines on standard error, which is whatever somebody else has made of it, and is never waited for. A socket and a pipe take a line
// at once or not at all. What may hold up whoever writes (a file on a disk that is slow, frozen or far away; a terminal that was
// stopped) gets its lines from a thread.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "node/system.hpp"
#include "tandem/loop.hpp"
#include "tandem/side_writer.hpp"

namespace tandem::ha::system {
namespace {

/// Of lines that wait for the thread: some thousands.
constexpr std::size_t kMostBytes = std::size_t{256} << 10;
constexpr std::uint64_t kLookAgain_ns = 100'000;

/// What standard error is; asks no server for it.
struct Stream {
  mode_t type = 0;
  std::uint32_t device_major = 0, device_minor = 0;
  std::uint64_t inode = 0;
  bool operator==(const Stream&) const = default;
};
std::optional<Stream> look_at_stderr() {
  struct statx found {};
  if (::statx(STDERR_FILENO, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &found) != 0) return {};
  return Stream{static_cast<mode_t>(found.stx_mode & S_IFMT), found.stx_dev_major, found.stx_dev_minor, found.stx_ino};
}

/// systemd says which stream it reads, so that one that was redirected since is not taken for the journal.
bool stderr_is_the_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  unsigned long long device = 0, inode = 0;
  const std::optional<Stream> is = look_at_stderr();
  return stream != nullptr && std::sscanf(stream, "%llu:%llu", &device, &inode) == 2 && is &&
         makedev(is->device_major, is->device_minor) == device && is->inode == inode;
}

enum class Taken : std::uint8_t { yes, no, would_wait };

/// The open file description is shared with others (a shell, a service manager), who would not expect O_NONBLOCK on it. Regular
/// files are not even asked: RWF_NOWAIT waits for a file system that was frozen.
Taken write_at_once(const Stream& stream, std::string_view line) {
  if (S_ISSOCK(stream.type)) {
    const ssize_t sent = ::send(STDERR_FILENO, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent >= 0 ? Taken::yes : Taken::no;
  }
  if (!S_ISFIFO(stream.type)) return Taken::would_wait;
  const iovec part{const_cast<char*>(line.data()), line.size()};
  if (pwritev2(STDERR_FILENO, &part, 1, -1, RWF_NOWAIT) >= 0) return Taken::yes;
  // Before Linux 6.4 a pipe cannot do that.
  return errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS ? Taken::would_wait : Taken::no;
}

/// What the crash notice asks; it may not touch an object that is made when it is first used.
thread_local constinit const SideWriter* last_words = nullptr;

/// The lines of one thread that another one writes, in order.
class LinesBehind {
 public:
  LinesBehind() = default;
  ~LinesBehind() {
    last_words = nullptr;
    leave_to_parent();
  }
  LinesBehind(const LinesBehind&) = delete;
  LinesBehind& operator=(const LinesBehind&) = delete;

  /// Whether a line that went another way would overtake some.
  [[nodiscard]] bool waits() const { return writer_ && !writer_->is_idle(); }
  /// Those that waited when the file failed, since this was asked last.
  std::uint64_t take_lost() {
    if (!writer_ || writer_->error() == 0) return 0;
    const std::uint64_t lost = lines_;
    drop_writer();
    return lost;
  }
  /// False: it is lost.
  bool put(const Stream& stream, std::string_view line) {
    leave_to_parent();
    // Standard error is another file by now. What waits for the old one goes on being written there.
    if (writer_ && stream_ != stream) drop_writer();
    if (!writer_ && !begin(stream)) return false;
    if (writer_->is_idle()) lines_ = 0;
    const auto bytes = std::as_bytes(std::span(line));
    if (!writer_->put({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()})) return false;
    ++lines_;
    return true;
  }

 private:
  bool begin(const Stream& stream) {
    try {
      writer_ = std::make_unique<SideWriter>(STDERR_FILENO, kMostBytes);
    } catch (const std::system_error&) {
      return false;
    }
    process_ = getpid();
    stream_ = stream;
    last_words = writer_.get();
    return true;
  }
  void drop_writer() {
    last_words = nullptr;
    writer_->end();
    writer_.reset();
    lines_ = 0;
  }
  /// Behind a fork the thread is the parent's alone.
  void leave_to_parent() {
    if (!writer_ || process_ == getpid()) return;
    last_words = nullptr;
    parents_ = writer_.release();
    lines_ = 0;
  }

  SideWriter* parents_ = nullptr;  ///< never ended here: its thread is in another process
  std::unique_ptr<SideWriter> writer_;
  pid_t process_ = 0;
  Stream stream_;
  std::uint64_t lines_ = 0;  ///< put since nothing waited
};

thread_local LinesBehind behind;

}  // namespace

std::uint64_t write_log_line(int priority, std::string_view role, std::string_view text) {
  static const bool journal = stderr_is_the_journal();
  // What a pipe takes wholly or not at all.
  constexpr std::size_t kLongest = 4096;
  std::string line = journal ? "<" + std::to_string(priority) + ">" : std::string();
  line.append("tandem[").append(std::to_string(getpid())).append("] ").append(role).append(": ");
  line.append(text.substr(0, kLongest - line.size() - 1)).append("\n");
  const std::uint64_t lost = behind.take_lost();
  const std::optional<Stream> stream = look_at_stderr();
  if (!stream) return lost + 1;
  const Taken taken = behind.waits() ? Taken::would_wait : write_at_once(*stream, line);
  const bool is_taken = taken == Taken::would_wait ? behind.put(*stream, line) : taken == Taken::yes;
  return lost + (is_taken ? 0 : 1);
}

void await_log_lines(std::uint64_t timeout_ns) {
  const std::uint64_t until = monotonic_ns() + timeout_ns;
  while (last_words != nullptr && !last_words->is_idle() && monotonic_ns() < until) sleep(kLookAgain_ns);
}

}  // namespace tandem::ha::system
