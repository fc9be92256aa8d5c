/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Our port, with what the parts of lwIP that only its own tests build (sockets, PPP) want besides.
 */
#include <sys/time.h>

#include "../../../port/include/arch/cc.h"

#ifndef TANDEM_LWIP_TESTS_ARCH_CC_H
#define TANDEM_LWIP_TESTS_ARCH_CC_H
typedef unsigned int sys_prot_t;
struct sio_status_s;
typedef struct sio_status_s sio_status_t;
#define sio_fd_t sio_status_t*
#define __sio_fd_t_defined
#endif
