// SPDX-License-Identifier: BSD-3-Clause
//
// Ends another box by a command of the operator's (`--fence command:PATH`; design.md section 6, step 2): one that cuts its power, or
// tells its hypervisor. Success stands for the end of its lease, never for the arbiter's swap. The command is run by a helper that is
// started beforehand, when there is time: nobody forks a process with gigabytes mapped, or waits for a command, in a takeover.
//
//   PATH GROUP MEMBER     exit code 0: the member's box has ended and sends nothing any more. Everything else is no fence.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tandem::ha {

/// What is wrong with the command, and what to do.
class FenceCommandError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct FenceResult {
  bool fenced = false;
  std::string said;  ///< in a line: how it ended, and what it wrote last
};

class FenceCommand {
 public:
  static constexpr std::uint32_t kLongestName = 255;

  /// Starts the helper. `path`: an absolute one of a file that this process may execute and others may not write. What runs for longer
  /// than `timeout_ms` is ended, with all that it has started, and is no fence. Throws FenceCommandError.
  FenceCommand(const std::string& path, std::uint32_t timeout_ms);
  /// Ends the helper and what it runs.
  ~FenceCommand();
  FenceCommand(const FenceCommand&) = delete;
  FenceCommand& operator=(const FenceCommand&) = delete;

  /// Begins; never waits. False: one is under way, a name is longer than kLongestName or holds a NUL, or the helper has gone.
  bool fence(std::string_view group, std::string_view member);
  /// Readable when there is a result.
  [[nodiscard]] int event_fd() const { return socket_; }
  /// The result of what was begun. A helper that has gone is one too.
  std::optional<FenceResult> take();

 private:
  int socket_ = -1;
  pid_t helper_ = -1;
  bool under_way_ = false;
};

}  // namespace tandem::ha
