# SPDX-License-Identifier: BSD-3-Clause

# Compiles SOURCE for the kernel's virtual machine and makes NAME.skel.h of it, with which a program loads it. Further arguments:
# the headers it includes. Sets NAME_skeleton (the header, to be listed among a target's sources) and NAME_skeleton_directory.
function(tandem_add_bpf_skeleton name source)
  find_program(TANDEM_CLANG NAMES clang clang-14 clang-15 clang-16 clang-17 clang-18 clang-19)
  find_program(TANDEM_BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin)
  # The kernel's <asm/types.h> is the same for every 64-bit machine; the bpf target has no directory of its own for it.
  file(GLOB asm_types "/usr/include/*/asm/types.h" "/usr/include/asm/types.h")
  if(NOT TANDEM_CLANG OR NOT TANDEM_BPFTOOL OR NOT asm_types)
    message(FATAL_ERROR
      "The AF_XDP device needs clang (found: ${TANDEM_CLANG}), bpftool (found: ${TANDEM_BPFTOOL}) and the kernel's headers "
      "(found: ${asm_types}) on the machine that builds. Install the packages clang, bpftool and linux-libc-dev, or "
      "configure with -DTANDEM_XDP=OFF to build without AF_XDP.")
  endif()
  list(GET asm_types 0 asm_types)
  get_filename_component(asm_directory "${asm_types}" DIRECTORY)
  get_filename_component(asm_directory "${asm_directory}" DIRECTORY)

  set(object "${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o")
  set(directory "${CMAKE_CURRENT_BINARY_DIR}/skeleton")
  set(skeleton "${directory}/${name}.skel.h")
  add_custom_command(
    OUTPUT "${object}"
    COMMAND "${TANDEM_CLANG}" -target bpf -O2 -g -Wall -Wextra -isystem "${asm_directory}" -c "${source}" -o "${object}"
    DEPENDS "${source}" ${ARGN}
    COMMENT "Compiling ${name} for the kernel"
    VERBATIM)
  add_custom_command(
    OUTPUT "${skeleton}"
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${directory}"
    COMMAND "${TANDEM_BPFTOOL}" gen skeleton "${object}" name ${name}_bpf > "${skeleton}"
    DEPENDS "${object}"
    COMMENT "Making the skeleton of ${name}"
    VERBATIM)
  set(${name}_skeleton "${skeleton}" PARENT_SCOPE)
  set(${name}_skeleton_directory "${directory}" PARENT_SCOPE)
endfunction()
