# SPDX-License-Identifier: BSD-3-Clause
# How everything here is compiled. Rooms add what is theirs alone.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# One set of objects serves libtandem.a and libtandem.so. In a program the linker relaxes the
# accesses to thread-local variables, so the static library pays nothing for it.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")

add_compile_options(-Wall -Wextra)
if(TANDEM_WERROR)
  add_compile_options(-Werror)
endif()

if(TANDEM_SANITIZE)
  add_compile_options(-fsanitize=${TANDEM_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${TANDEM_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # gcc 12 sees uninitialised members in the standard library's own headers once they are instrumented.
    add_compile_options(-Wno-maybe-uninitialized)
  endif()
  if(TANDEM_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()

if(TANDEM_STOP_POINTS)
  add_compile_definitions(TANDEM_STOP_POINTS=1)
endif()

option(TANDEM_SIMULATION "Build the simulator (tests/sim), and compile in the finer steps at which it stops a process" OFF)
if(TANDEM_SIMULATION)
  add_compile_definitions(TANDEM_SIMULATION=1)
endif()

if(TANDEM_STATIC_LINK)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
  set(CMAKE_LINK_SEARCH_START_STATIC ON)
  add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-static>)
endif()

find_program(TANDEM_CCACHE ccache)
mark_as_advanced(TANDEM_CCACHE)
if(TANDEM_CCACHE)
  foreach(language IN ITEMS C CXX)
    if(NOT CMAKE_${language}_COMPILER_LAUNCHER)
      set(CMAKE_${language}_COMPILER_LAUNCHER "${TANDEM_CCACHE}")
    endif()
  endforeach()
endif()
