// SPDX-License-Identifier: BSD-3-Clause
//
// Writes to a file that may take its time, in a thread of its own, for somebody who must not wait: what does not fit into the
// buffer between them is refused. The thread takes no signals, and touches nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "unique_fd.hpp"

namespace tandem {

class SideWriter {
 public:
  /// At most `most_bytes` wait to be written. Throws std::system_error when no thread can be had.
  SideWriter(UniqueFd file, std::size_t most_bytes);
  /// Gives what is left a bounded time; then it is lost, and the thread ends by itself when the file lets it.
  ~SideWriter();
  SideWriter(const SideWriter&) = delete;
  SideWriter& operator=(const SideWriter&) = delete;

  /// Never waits. False: there is no room now, or the thread is just taking what there is.
  bool put(std::span<const std::uint8_t> bytes);
  /// Nothing more is put. What there is goes on being written, and the destructor no longer waits for it.
  void end();
  /// Behind end(): whether all of it is written, or the file has failed.
  [[nodiscard]] bool is_done() const;
  /// errno of the write that failed, behind which nothing is written; else 0.
  [[nodiscard]] int error() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  bool ended_ = false;
};

}  // namespace tandem
