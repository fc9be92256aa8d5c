/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Our port. The programs themselves assert that their memory is never exhausted, which an input can bring about; that ends
 * the input, and is no fault.
 */
#include "../../../../stack/lwip/port/include/arch/cc.h"

#ifndef TANDEM_LWIP_FUZZ_ARCH_CC_H
#define TANDEM_LWIP_FUZZ_ARCH_CC_H
#ifdef TANDEM_FUZZ_PROGRAM
#ifdef __cplusplus
extern "C"
#endif
    void
    tandem_fuzz_give_up(void) __attribute__((noreturn));
#undef LWIP_PLATFORM_ASSERT
#define LWIP_PLATFORM_ASSERT(what) tandem_fuzz_give_up()
#endif
#endif
