# SPDX-License-Identifier: BSD-3-Clause
# Our own TCP: one idea a file. Compiled together with lwIP, whose pcb these files work on.
set(TANDEM_TCP_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/control_seq.c)
set(TANDEM_TCP_INCLUDE ${CMAKE_CURRENT_LIST_DIR}/include)
