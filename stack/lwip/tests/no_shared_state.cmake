# SPDX-License-Identifier: BSD-3-Clause
#
# Fails if an object file of lwIP (-DOBJECTS=FILE with one path a line) has a variable that all stacks would share.
# What the linker makes read-only after relocation (.data.rel.ro) is constant, and what instrumentation adds is its own.

cmake_minimum_required(VERSION 3.25)

file(STRINGS ${OBJECTS} objects)
set(shared)
set(per_stack 0)
foreach(object IN LISTS objects)
  if(object MATCHES "tandem_stack_state")
    continue() # it finds the blocks of all threads, so what it knows is the process's
  endif()
  execute_process(COMMAND ${OBJDUMP} -t ${object} OUTPUT_VARIABLE table COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\n" ";" lines "${table}")
  foreach(line IN LISTS lines)
    # value, seven flag characters (an O among them: an object; for thread-local ones too), section, size, name
    if(NOT line MATCHES "^[0-9a-f]+ ......[O ] ([^ \t]+)[ \t]+([0-9a-f]+) +([^ ].*)$")
      continue()
    endif()
    set(section "${CMAKE_MATCH_1}")
    set(size "${CMAKE_MATCH_2}")
    string(REGEX REPLACE "^\\.hidden " "" name "${CMAKE_MATCH_3}")
    if(size MATCHES "^0+$" OR name MATCHES "asan|LASAN|ubsan|Lubsan|tsan|sancov|gcov|llvm|^__unnamed_[0-9]+$|^\\.")
      continue()
    endif()
    if(section STREQUAL "tandem_stack_state")
      math(EXPR per_stack "${per_stack} + 1")
    elseif(section MATCHES "^\\.(data|bss|tdata|tbss|sdata|sbss)" AND NOT section MATCHES "^\\.data\\.rel\\.ro"
           OR section STREQUAL "*COM*")
      get_filename_component(file ${object} NAME)
      list(APPEND shared "${name} (${section} of ${file})")
    endif()
  endforeach()
endforeach()

message("lwIP: ${per_stack} variables per stack")
if(per_stack LESS 50)
  message(FATAL_ERROR "Fewer variables per stack than lwIP has: the symbol tables were not understood.")
endif()
if(shared)
  list(JOIN shared "\n  " text)
  message(FATAL_ERROR "These would be shared by all stacks of the process; mark them TANDEM_PER_STACK (patch 01):\n  ${text}")
endif()
