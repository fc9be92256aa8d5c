// SPDX-License-Identifier: BSD-3-Clause
#include "side_writer.hpp"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace tandem {
namespace {

constexpr std::chrono::milliseconds kLastWords{1000};

/// Wholly; errno of what went wrong, or 0.
int write_all(int file, const std::vector<std::uint8_t>& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t written = ::write(file, bytes.data() + done, bytes.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : EIO;
    done += static_cast<std::size_t>(written);
  }
  return 0;
}

}  // namespace

/// Owned by both: the thread may have to outlive the writer, when the file never comes back.
struct SideWriter::Shared {
  UniqueFd file;
  std::size_t most_bytes = 0;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::uint8_t> waiting;
  bool stop = false;
  bool done = false;
  std::atomic<int> error = 0;

  void run() {
    std::vector<std::uint8_t> bytes;
    for (;;) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return stop || !waiting.empty(); });
        if (waiting.empty() || error != 0) break;
        bytes.clear();
        bytes.swap(waiting);
      }
      if (const int failed = write_all(file.get(), bytes); failed != 0) error = failed;
    }
    const std::lock_guard lock(mutex);
    done = true;
    changed.notify_all();
  }
};

SideWriter::SideWriter(UniqueFd file, std::size_t most_bytes) : shared_(std::make_shared<Shared>()) {
  shared_->file = std::move(file);
  shared_->most_bytes = most_bytes;
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([shared = shared_] { shared->run(); }).detach();
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

SideWriter::~SideWriter() {
  if (ended_) return;
  std::unique_lock lock(shared_->mutex);
  shared_->stop = true;
  shared_->changed.notify_all();
  shared_->changed.wait_for(lock, kLastWords, [this] { return shared_->done; });
}

bool SideWriter::put(std::span<const std::uint8_t> bytes) {
  {
    const std::unique_lock lock(shared_->mutex, std::try_to_lock);
    if (!lock.owns_lock() || shared_->waiting.size() + bytes.size() > shared_->most_bytes) return false;
    shared_->waiting.insert(shared_->waiting.end(), bytes.begin(), bytes.end());
  }
  shared_->changed.notify_all();
  return true;
}

void SideWriter::end() {
  if (std::exchange(ended_, true)) return;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stop = true;
  }
  shared_->changed.notify_all();
}

bool SideWriter::is_done() const {
  const std::unique_lock lock(shared_->mutex, std::try_to_lock);
  return lock.owns_lock() && shared_->done;
}

int SideWriter::error() const { return shared_->error; }

}  // namespace tandem
