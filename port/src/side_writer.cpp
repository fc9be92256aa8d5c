// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/side_writer.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <semaphore>
#include <system_error>
#include <thread>
#include <utility>

#include "unique_fd.hpp"

namespace tandem {
namespace {

constexpr std::chrono::milliseconds kLastWords{1000};
/// Room is made as often as so many bytes are written.
constexpr std::uint64_t kMostAtOnce = 65536;

/// Wholly; errno of what went wrong, or 0.
int write_all(int file, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {
      // Somebody who has the same open file wants no waiting; here there is time.
      pollfd ready{file, POLLOUT, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (written <= 0) return written < 0 ? errno : EIO;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return 0;
}

}  // namespace

/// Owned by both: the thread may have to outlive the writer, when the file never comes back. The buffer is a ring without a lock, of
/// one that puts and one that writes: whoever puts may be of a higher priority, and never waits for the thread.
struct SideWriter::Shared {
  Shared(UniqueFd f, std::size_t most)
      : file(std::move(f)), most_bytes(most), ring(std::make_unique_for_overwrite<std::uint8_t[]>(most)) {}

  UniqueFd file;
  std::size_t most_bytes;
  std::unique_ptr<std::uint8_t[]> ring;
  std::atomic<std::uint64_t> put_bytes = 0, written_bytes = 0;
  std::atomic<std::uint32_t> changes = 0;  ///< of `put_bytes` and `stop`: what the thread waits for
  std::atomic<bool> stop = false, done = false;
  std::atomic<int> error = 0;
  std::binary_semaphore ended{0};

  void changed() {
    changes.fetch_add(1, std::memory_order_release);
    changes.notify_one();
  }
  void run() {
    while (error == 0) {
      const std::uint32_t seen = changes.load(std::memory_order_acquire);
      const bool last = stop;
      const std::uint64_t from = written_bytes.load(std::memory_order_relaxed);
      const std::uint64_t waiting = put_bytes.load(std::memory_order_acquire) - from;
      if (waiting == 0) {
        if (last) break;
        changes.wait(seen, std::memory_order_acquire);
        continue;
      }
      const std::size_t at = from % most_bytes;
      const std::size_t bytes = std::min<std::uint64_t>({waiting, most_bytes - at, kMostAtOnce});
      if (const int failed = write_all(file.get(), {ring.get() + at, bytes}); failed != 0)
        error = failed;
      else
        written_bytes.store(from + bytes, std::memory_order_release);
    }
    done = true;
    ended.release();
  }
};

SideWriter::SideWriter(int file, std::size_t most_bytes)
    : shared_(std::make_shared<Shared>(UniqueFd::duplicate(file), most_bytes)) {
  if (!shared_->file.valid()) throw std::system_error(errno, std::generic_category(), "duplicating a descriptor");
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread thread([shared = shared_] { shared->run(); });
    // Named before anything is put: who looks for it would else not know the new one yet.
    ::pthread_setname_np(thread.native_handle(), kWriterThread);
    thread.detach();
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

SideWriter::~SideWriter() {
  if (ended_) return;
  end();
  static_cast<void>(shared_->ended.try_acquire_for(kLastWords));
}

bool SideWriter::put(std::span<const std::uint8_t> bytes) {
  const std::uint64_t from = shared_->put_bytes.load(std::memory_order_relaxed);
  const std::uint64_t waiting = from - shared_->written_bytes.load(std::memory_order_acquire);
  if (bytes.size() > shared_->most_bytes - waiting) return false;
  const std::size_t at = from % shared_->most_bytes;
  const std::size_t first = std::min(bytes.size(), shared_->most_bytes - at);
  std::memcpy(shared_->ring.get() + at, bytes.data(), first);
  std::memcpy(shared_->ring.get(), bytes.data() + first, bytes.size() - first);
  shared_->put_bytes.store(from + bytes.size(), std::memory_order_release);
  shared_->changed();
  return true;
}

void SideWriter::end() {
  if (std::exchange(ended_, true)) return;
  shared_->stop = true;
  shared_->changed();
}

bool SideWriter::is_done() const { return shared_->done; }

bool SideWriter::is_idle() const {
  return shared_->error != 0 ||
         shared_->written_bytes.load(std::memory_order_acquire) == shared_->put_bytes.load(std::memory_order_relaxed);
}

int SideWriter::error() const { return shared_->error; }

}  // namespace tandem
