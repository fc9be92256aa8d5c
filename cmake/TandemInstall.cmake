# SPDX-License-Identifier: BSD-3-Clause
# What `cmake --install` puts where: headers, libraries, find_package(tandem), pkg-config tandem,
# and the systemd units with a directory for their configuration. Programs install themselves.

include(CMakePackageConfigHelpers)

foreach(room IN ITEMS stack port ha)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/${room}/include/tandem"
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
endforeach()

set(tandem_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tandem)
foreach(library IN LISTS tandem_libraries)
  string(REPLACE sealed static installed_as ${library})
  install(TARGETS ${library} EXPORT ${installed_as}_targets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT ${installed_as}_targets NAMESPACE tandem:: DESTINATION ${tandem_package_dir})
endforeach()

configure_package_config_file(cmake/tandemConfig.cmake.in
  "${PROJECT_BINARY_DIR}/cmake/tandemConfig.cmake"
  INSTALL_DESTINATION ${tandem_package_dir}
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/cmake/tandemConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/cmake/tandemConfig.cmake"
  "${PROJECT_BINARY_DIR}/cmake/tandemConfigVersion.cmake"
  cmake/TandemDependencies.cmake
  DESTINATION ${tandem_package_dir})

# ${pcfiledir} keeps the file right when the prefix is moved; it works when libdir is relative.
file(RELATIVE_PATH tandem_pc_prefix
  "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
list(JOIN tandem_dependencies " " tandem_requires)
configure_file(cmake/tandem.pc.in "${PROJECT_BINARY_DIR}/cmake/tandem.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/cmake/tandem.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# Units start programs, so they come with those alone. They name what was installed, wherever `cmake --install --prefix` has put
# it, so they are made while installing; what is made now is for systemd's own opinion of them (tests/lint/units).
if(TANDEM_APPS)
  file(GLOB tandem_units CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/ha/systemd/*.service.in")
  set(TANDEM_UNIT_BINDIR "${CMAKE_INSTALL_FULL_BINDIR}")
  set(TANDEM_UNIT_SYSCONFDIR "${CMAKE_INSTALL_FULL_SYSCONFDIR}")
  foreach(unit IN LISTS tandem_units)
    get_filename_component(name "${unit}" NAME_WLE)
    configure_file("${unit}" "${PROJECT_BINARY_DIR}/systemd/${name}" @ONLY)
  endforeach()
  configure_file(cmake/InstallUnits.cmake.in "${PROJECT_BINARY_DIR}/cmake/InstallUnits.cmake" @ONLY)
  install(SCRIPT "${PROJECT_BINARY_DIR}/cmake/InstallUnits.cmake")
  install(FILES ha/systemd/bgpd.conf.example DESTINATION ${CMAKE_INSTALL_DOCDIR})
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
# Whoever distributes libtandem distributes lwIP in it.
install(FILES "${PROJECT_BINARY_DIR}/lwip/lwip-src/COPYING" DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME COPYING.lwip)
