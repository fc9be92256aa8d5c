// SPDX-License-Identifier: BSD-3-Clause
//
// Two network namespaces joined by a veth pair: "ours", which the test's process enters, and "the peer's", in which a child
// process waits. Both have no name: the kernel removes them and the interfaces when the processes are gone, however they end.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "unique_fd.hpp"

namespace tandem::test {

/// Prints why and fails the test when it cannot run; returns false when TANDEM_LAB_OPTIONAL=1 allows that.
bool lab_possible();

class Lab {
 public:
  static constexpr const char* kOurs = "lab0";
  static constexpr const char* kPeers = "lab1";

  /// With a veth pair, both ends up, as the kernel makes it; or with namespaces only (for TAP).
  explicit Lab(bool veth);
  ~Lab();
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;

  /// Run a command in our (the peer's) namespace. The exit code; its output goes to the test's.
  static int run(const std::string& command);
  [[nodiscard]] int run_at_peer(const std::string& command) const;
  /// Forks a process that lives in the peer's namespace, runs `body` and exits with what it returns.
  [[nodiscard]] pid_t fork_at_peer(const std::function<int()>& body) const;

 private:
  UniqueFd original_;
  UniqueFd peer_namespace_;
};

/// The child's exit code, or -1 when it did not exit by itself or not within the bound.
int wait_exit(pid_t child, std::uint64_t bound_ns);

}  // namespace tandem::test
