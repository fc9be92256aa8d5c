# SPDX-License-Identifier: BSD-3-Clause
# The libraries that libtandem is linked with. This file is installed too: whoever links the
# static library needs the same ones, and finds them the same way.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

set(tandem_dependencies liburing)
if(TANDEM_XDP)
  # libelf and zlib are libbpf's own needs. They are named because a static libbpf does not bring them.
  list(PREPEND tandem_dependencies libxdp libbpf)
  list(APPEND tandem_dependencies libelf zlib)
endif()
foreach(tandem_dependency IN LISTS tandem_dependencies)
  if(NOT TARGET PkgConfig::tandem_${tandem_dependency})
    pkg_check_modules(tandem_${tandem_dependency} REQUIRED QUIET IMPORTED_TARGET GLOBAL ${tandem_dependency})
  endif()
endforeach()
unset(tandem_dependency)
