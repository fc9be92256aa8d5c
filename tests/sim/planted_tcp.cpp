// SPDX-License-Identifier: BSD-3-Clause
//
// Faults that are planted into the C of our TCP (stack/tcp): the linker puts these functions in front of its own.
#include "lwip.hpp"
#include "tandem/planted.hpp"
#include "tandem_tcp.h"

// The names are the linker's.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

u32_t __real_tandem_tcp_control_seq(const tcp_pcb* pcb);

u32_t __wrap_tandem_tcp_control_seq(const tcp_pcb* pcb) {
  return TANDEM_PLANTED(probe_ack_beyond_window) ? pcb->snd_nxt : __real_tandem_tcp_control_seq(pcb);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
