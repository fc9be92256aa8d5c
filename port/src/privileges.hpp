// SPDX-License-Identifier: BSD-3-Clause
//
// What a refused system call was lacking, looked up and not guessed: advice that names what is there sends people astray.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tandem {

/// Capabilities that devices need, with the kernel's numbers (linux/capability.h).
enum class Capability : std::uint8_t {
  net_admin = 12,
  net_raw = 13,
  ipc_lock = 14,
  perfmon = 38,
  bpf = 39,
};

/// What a process may do, as far as advice depends on it.
struct Privileges {
  std::uint64_t effective = 0;         ///< one bit a capability
  bool first_user_namespace = true;    ///< elsewhere BPF's capabilities do not count
  bool system_calls_filtered = false;  ///< a seccomp filter is at work
};

/// Those of the calling thread.
[[nodiscard]] Privileges own_privileges();

/// Which of `needed` are missing.
[[nodiscard]] std::vector<Capability> missing(const Privileges& privileges, std::span<const Capability> needed);

/// What to do about a call that was refused although `needed` would have allowed it.
[[nodiscard]] std::string privilege_advice(const Privileges& privileges, std::span<const Capability> needed);

/// What to do when memory could not be locked. `fewer`: what to ask less of, when no privilege is missing.
[[nodiscard]] std::string locked_memory_advice(const std::string& fewer);

}  // namespace tandem
