// SPDX-License-Identifier: BSD-3-Clause
//
// Writes to a file that may take its time, in a thread of its own, for somebody who must not wait: what does not fit into the
// buffer between them is refused. The thread takes no signals, and touches nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace tandem {

/// What the thread is called, to whoever looks at the process.
inline constexpr const char* kWriterThread = "tandem-writer";

class SideWriter {
 public:
  /// Writes to a duplicate of `file`; at most `most_bytes` wait for that. Throws std::system_error when no descriptor or thread can
  /// be had.
  SideWriter(int file, std::size_t most_bytes);
  /// Gives what is left a bounded time; then it is lost, and the thread ends by itself when the file lets it.
  ~SideWriter();
  SideWriter(const SideWriter&) = delete;
  SideWriter& operator=(const SideWriter&) = delete;

  /// Never waits. False: there is no room now. Of one thread only.
  bool put(std::span<const std::uint8_t> bytes);
  /// Nothing more is put. What there is goes on being written, and the destructor no longer waits for it.
  void end();
  /// Behind end(): whether all of it is written, or the file has failed.
  [[nodiscard]] bool is_done() const;
  /// Whether nothing waits: all is written, or the file has failed. A signal handler may ask.
  [[nodiscard]] bool is_idle() const;
  /// errno of the write that failed, behind which nothing is written; else 0.
  [[nodiscard]] int error() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  bool ended_ = false;
};

}  // namespace tandem
