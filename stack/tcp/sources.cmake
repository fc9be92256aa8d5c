# SPDX-License-Identifier: BSD-3-Clause
# Our own TCP: one idea a file. Compiled together with lwIP, whose pcb these files work on.
set(TANDEM_TCP_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/acceptance.c
  ${CMAKE_CURRENT_LIST_DIR}/answer.c
  ${CMAKE_CURRENT_LIST_DIR}/control_seq.c
  ${CMAKE_CURRENT_LIST_DIR}/delayed_ack.c
  ${CMAKE_CURRENT_LIST_DIR}/handshake.c
  ${CMAKE_CURRENT_LIST_DIR}/keepalive.c
  ${CMAKE_CURRENT_LIST_DIR}/reset.c
  ${CMAKE_CURRENT_LIST_DIR}/rtt.c
  ${CMAKE_CURRENT_LIST_DIR}/segment.c
  ${CMAKE_CURRENT_LIST_DIR}/syn_cookie.c
  ${CMAKE_CURRENT_LIST_DIR}/time_wait.c
  ${CMAKE_CURRENT_LIST_DIR}/timestamps.c)
set(TANDEM_TCP_INCLUDE ${CMAKE_CURRENT_LIST_DIR}/include)
