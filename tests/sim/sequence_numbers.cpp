// SPDX-License-Identifier: BSD-3-Clause
//
// Initial sequence numbers just below their wrap, on both sides, where the run asks for it. The linker puts this in front of the
// stack's own choice (--wrap).
#include <cstdint>

#include "kernel.hpp"

struct ip_addr;

// The names are the linker's.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

std::uint32_t __real_tandem_hook_tcp_isn(const ip_addr* local, std::uint16_t local_port, const ip_addr* remote,
                                         std::uint16_t remote_port);

std::uint32_t __wrap_tandem_hook_tcp_isn(const ip_addr* local, std::uint16_t local_port, const ip_addr* remote,
                                         std::uint16_t remote_port) {
  const std::uint32_t chosen = __real_tandem_hook_tcp_isn(local, local_port, remote, remote_port);
  constexpr std::uint32_t kBelow = 16'384;
  if (tandem::sim::the_kernel == nullptr || !tandem::sim::the_kernel->sequence_numbers_wrap) return chosen;
  return 0 - chosen % kBelow;
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
