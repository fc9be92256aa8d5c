# SPDX-License-Identifier: BSD-3-Clause
set(CMAKE_C_COMPILER gcc)
set(CMAKE_CXX_COMPILER g++)
