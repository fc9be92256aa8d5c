// SPDX-License-Identifier: BSD-3-Clause
//
// Waits for a word in shared memory in a thread of its own, and says so through a descriptor: for kernels whose io_uring cannot
// (before 6.7). It costs a thread's wake-up, some tens of microseconds.
#pragma once

#include <cstdint>
#include <memory>

namespace tandem {

class FutexThread {
 public:
  /// Begins to wait until `word` no longer holds `expected`, or somebody wakes it. Throws std::system_error.
  FutexThread(const std::uint32_t* word, std::uint32_t expected);
  /// Nothing is said any more. The thread ends by itself, within a tenth of a second; the word may be unmapped before.
  ~FutexThread();
  FutexThread(const FutexThread&) = delete;
  FutexThread& operator=(const FutexThread&) = delete;

  /// Ready for POLLIN when the wait is over.
  [[nodiscard]] int fd() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace tandem
