# SPDX-License-Identifier: BSD-3-Clause
# libtandem, static and shared, made of the rooms' object libraries.
#
#   tandem::tandem_static   libtandem.a
#   tandem::tandem_shared   libtandem.so
#   tandem::tandem          one of the two, by BUILD_SHARED_LIBS

set(tandem_rooms tandem_lwip tandem_stack tandem_port tandem_ha)
set(tandem_libraries tandem_static)
if(TANDEM_SHARED)
  list(APPEND tandem_libraries tandem_shared)
endif()
add_library(tandem_static STATIC)
if(TANDEM_SHARED)
  add_library(tandem_shared SHARED)
  set_target_properties(tandem_shared PROPERTIES
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR})
endif()

list(TRANSFORM tandem_dependencies PREPEND PkgConfig::tandem_ OUTPUT_VARIABLE tandem_dependency_targets)

foreach(library IN LISTS tandem_libraries)
  foreach(room IN LISTS tandem_rooms)
    target_sources(${library} PRIVATE $<TARGET_OBJECTS:${room}>)
  endforeach()
  target_include_directories(${library} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/stack/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/port/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/ha/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${library} PUBLIC cxx_std_20)
  # In the order in which they need one another, which is what a static link asks for.
  target_link_libraries(${library} PRIVATE ${tandem_dependency_targets} Threads::Threads)
  set_target_properties(${library} PROPERTIES OUTPUT_NAME tandem LINKER_LANGUAGE CXX)
  add_library(tandem::${library} ALIAS ${library})
endforeach()

add_custom_target(tandem_libraries)
add_dependencies(tandem_libraries ${tandem_libraries})

if(BUILD_SHARED_LIBS AND TANDEM_SHARED)
  add_library(tandem::tandem ALIAS tandem_shared)
else()
  add_library(tandem::tandem ALIAS tandem_static)
endif()
