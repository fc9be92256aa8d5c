/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The configuration that lwIP's own fuzz programs were written for, with those of our options that they don't contradict.
 */
#include "fuzz/lwipopts.h"

#ifndef TANDEM_LWIP_FUZZ_LWIPOPTS_H
#define TANDEM_LWIP_FUZZ_LWIPOPTS_H
#define LWIP_HOOK_FILENAME "tandem_lwip_hooks.h"
#define LWIP_TCP_TIMESTAMPS 1
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_PCB_NUM_EXT_ARGS 1
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#endif
