# SPDX-License-Identifier: BSD-3-Clause
# libtandem, static and shared, made of the rooms' object libraries.
#
#   tandem_static   everything, with all names: what programs and tests of this tree are linked with (not installed)
#   tandem_sealed   libtandem.a    installed as tandem::tandem_static
#   tandem_shared   libtandem.so   installed as tandem::tandem_shared
#
# What is installed shows no other names than those of the public headers (seal-library), so that it stands in others' programs
# beside whatever names they use. Until 1.0 each minor version has a binary interface of its own, which the file name of the
# shared library carries (libtandem.so.0.1): within one, names and layouts of the public headers only grow at their end.

set(tandem_rooms tandem_lwip tandem_stack tandem_port tandem_ha)
set(tandem_objects)
foreach(room IN LISTS tandem_rooms)
  list(APPEND tandem_objects $<TARGET_OBJECTS:${room}>)
endforeach()
set(tandem_abi ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
list(TRANSFORM tandem_dependencies PREPEND PkgConfig::tandem_ OUTPUT_VARIABLE tandem_dependency_targets)

find_program(TANDEM_CXXFILT NAMES c++filt REQUIRED)
find_program(TANDEM_BASH NAMES bash REQUIRED)
mark_as_advanced(TANDEM_CXXFILT TANDEM_BASH)
set(tandem_seal_directory "${PROJECT_BINARY_DIR}/sealed")
set(tandem_header_directories stack/include port/include ha/include)
list(TRANSFORM tandem_header_directories PREPEND "${PROJECT_SOURCE_DIR}/")
file(GENERATE OUTPUT "${tandem_seal_directory}/objects" CONTENT "$<JOIN:${tandem_objects},\n>\n")
file(GLOB_RECURSE tandem_public_headers CONFIGURE_DEPENDS stack/include/*.hpp port/include/*.hpp ha/include/*.hpp)
add_custom_command(
  OUTPUT "${tandem_seal_directory}/tandem.o" "${tandem_seal_directory}/tandem.map"
  COMMAND "${CMAKE_COMMAND}" -E env CXX=${CMAKE_CXX_COMPILER} NM=${CMAKE_NM} OBJCOPY=${CMAKE_OBJCOPY} CXXFILT=${TANDEM_CXXFILT}
    "${TANDEM_BASH}" "${PROJECT_SOURCE_DIR}/cmake/seal-library" "${tandem_seal_directory}" ${tandem_abi}
    "${tandem_seal_directory}/objects" ${tandem_header_directories}
  DEPENDS ${tandem_objects} ${tandem_public_headers} cmake/seal-library
  COMMENT "Sealing libtandem: public names only"
  COMMAND_EXPAND_LISTS
  VERBATIM)
add_custom_target(tandem_seal DEPENDS "${tandem_seal_directory}/tandem.o" "${tandem_seal_directory}/tandem.map")
set_source_files_properties("${tandem_seal_directory}/tandem.o" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)

add_library(tandem_static STATIC ${tandem_objects})
set_target_properties(tandem_static PROPERTIES OUTPUT_NAME tandem_whole)
add_library(tandem_sealed STATIC "${tandem_seal_directory}/tandem.o")
set_target_properties(tandem_sealed PROPERTIES OUTPUT_NAME tandem EXPORT_NAME tandem_static)
set(tandem_libraries tandem_sealed)
if(TANDEM_SHARED)
  add_library(tandem_shared SHARED "${tandem_seal_directory}/tandem.o")
  set_target_properties(tandem_shared PROPERTIES
    OUTPUT_NAME tandem
    VERSION ${PROJECT_VERSION}
    SOVERSION ${tandem_abi}
    LINK_DEPENDS "${tandem_seal_directory}/tandem.map")
  target_link_options(tandem_shared PRIVATE "LINKER:--version-script=${tandem_seal_directory}/tandem.map")
  list(APPEND tandem_libraries tandem_shared)
endif()

foreach(library IN LISTS tandem_libraries ITEMS tandem_static)
  if(NOT library STREQUAL "tandem_static")
    add_dependencies(${library} tandem_seal)
  endif()
  target_include_directories(${library} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/stack/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/port/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/ha/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${library} PUBLIC cxx_std_20)
  # In the order in which they need one another, which is what a static link asks for.
  target_link_libraries(${library} PRIVATE ${tandem_dependency_targets} Threads::Threads)
  set_target_properties(${library} PROPERTIES LINKER_LANGUAGE CXX)
endforeach()

add_custom_target(tandem_libraries)
add_dependencies(tandem_libraries ${tandem_libraries})

# For whoever adds this tree to their own project.
add_library(tandem::tandem_static ALIAS tandem_static)
if(TANDEM_SHARED)
  add_library(tandem::tandem_shared ALIAS tandem_shared)
endif()
if(BUILD_SHARED_LIBS AND TANDEM_SHARED)
  add_library(tandem::tandem ALIAS tandem_shared)
else()
  add_library(tandem::tandem ALIAS tandem_static)
endif()
