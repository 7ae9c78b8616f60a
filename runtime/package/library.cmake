# The C library, of the layers that the executable is made of: one object, in which all names but
# those of the public header are local, so that a program and what else it links cannot meet them.
# There is no shared one while the version is below 1: its ABI would be a promise.

set(library_layers base wire link peer route service edge node sim lua)
list(TRANSFORM library_layers REPLACE "(.+)" "$<TARGET_OBJECTS:perilune_\\1>"
  OUTPUT_VARIABLE library_objects)
if(CMAKE_INTERPROCEDURAL_OPTIMIZATION)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
  separate_arguments(library_flags UNIX_COMMAND
    "${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_${build_type}} -flto=auto -flinker-output=nolto-rel")
endif()
add_custom_command(
  OUTPUT ${PROJECT_BINARY_DIR}/libperilune.a
  COMMAND ${CMAKE_C_COMPILER} ${library_flags} -r -nostdlib -o libperilune.o ${library_objects}
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden --strip-debug libperilune.o
  COMMAND ${CMAKE_COMMAND} -E rm -f libperilune.a
  COMMAND ${CMAKE_AR} rcs libperilune.a libperilune.o
  DEPENDS ${library_objects}
  COMMAND_EXPAND_LISTS
  COMMENT "Linking the C library"
  VERBATIM)
add_custom_target(perilune_library ALL DEPENDS ${PROJECT_BINARY_DIR}/libperilune.a)
install(FILES ${PROJECT_BINARY_DIR}/libperilune.a DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES lua/embed.h RENAME perilune.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# How programs find it. Both are relative to where they lie, as an installation can be moved.
cmake_path(SET pkgconfig_folder /${CMAKE_INSTALL_LIBDIR}/pkgconfig)
cmake_path(RELATIVE_PATH pkgconfig_folder BASE_DIRECTORY / OUTPUT_VARIABLE pkgconfig_folder)
string(REGEX REPLACE "[^/]+" ".." to_prefix ${pkgconfig_folder})
configure_file(runtime/package/perilune.pc.in ${package_dir}/perilune.pc @ONLY)
configure_file(runtime/package/config.cmake.in ${package_dir}/perilune-config.cmake @ONLY)
include(CMakePackageConfigHelpers)
write_basic_package_version_file(${package_dir}/perilune-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${package_dir}/perilune.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${package_dir}/perilune-config.cmake ${package_dir}/perilune-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/perilune)
