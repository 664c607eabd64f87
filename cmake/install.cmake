# What an installed Isthmus offers to others: headers, libraries, a CMake package and a pkg-config file.
include(CMakePackageConfigHelpers)

set(isthmus_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/isthmus)
set(isthmus_exported)
foreach(target isthmus_transport isthmus_marshal isthmus_shared)
  if(TARGET ${target})
    list(APPEND isthmus_exported ${target})
  endif()
endforeach()

if(isthmus_exported)
  install(TARGETS ${isthmus_exported} EXPORT isthmusTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/isthmus
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
    FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
  install(EXPORT isthmusTargets NAMESPACE isthmus::
    DESTINATION ${isthmus_cmake_dir} COMPONENT development)

  configure_package_config_file(
    ${PROJECT_SOURCE_DIR}/cmake/isthmusConfig.cmake.in ${PROJECT_BINARY_DIR}/isthmusConfig.cmake
    INSTALL_DESTINATION ${isthmus_cmake_dir}
    NO_SET_AND_CHECK_MACRO)
  # Before 1.0 a new minor version may change the interface.
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/isthmusConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/isthmusConfig.cmake ${PROJECT_BINARY_DIR}/isthmusConfigVersion.cmake
    DESTINATION ${isthmus_cmake_dir} COMPONENT development)
endif()

if(TARGET isthmus_transport)
  # The .pc file finds its prefix from its own place, so that the installed tree can be moved.
  if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(isthmus_pc_prefix ${CMAKE_INSTALL_PREFIX})
    set(isthmus_pc_libdir ${CMAKE_INSTALL_FULL_LIBDIR})
    set(isthmus_pc_includedir ${CMAKE_INSTALL_FULL_INCLUDEDIR})
  else()
    file(RELATIVE_PATH isthmus_pc_up /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
    string(REGEX REPLACE "/$" "" isthmus_pc_up "${isthmus_pc_up}")
    set(isthmus_pc_prefix "\${pcfiledir}/${isthmus_pc_up}")
    set(isthmus_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(isthmus_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
  endif()
  configure_file(${PROJECT_SOURCE_DIR}/cmake/isthmus.pc.in ${PROJECT_BINARY_DIR}/isthmus.pc @ONLY)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/isthmus-c.pc.in ${PROJECT_BINARY_DIR}/isthmus-c.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/isthmus.pc ${PROJECT_BINARY_DIR}/isthmus-c.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
endif()
