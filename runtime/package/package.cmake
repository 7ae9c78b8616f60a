# What is installed beside the executable. Manual and completions are what the executable itself
# prints, so that they tell of this version; one under a sanitizer may not be fit to run in a build.

set(package_dir ${PROJECT_BINARY_DIR}/package)
file(MAKE_DIRECTORY ${package_dir})

# perilune_prints(<file> <argument>...)
function(perilune_prints name)
  add_custom_command(
    OUTPUT ${package_dir}/${name}
    COMMAND perilune ${ARGN} > ${package_dir}/${name}
    DEPENDS perilune
    COMMENT "Writing ${name}"
    VERBATIM)
endfunction()

if(NOT PERILUNE_SANITIZE)
  include(runtime/package/library.cmake)
endif()

if(TARGET perilune AND NOT PERILUNE_SANITIZE)
  perilune_prints(perilune.1 help --man)
  perilune_prints(perilune.bash completion bash)
  perilune_prints(perilune.zsh completion zsh)
  perilune_prints(perilune.fish completion fish)
  add_custom_target(perilune_printed ALL DEPENDS
    ${package_dir}/perilune.1 ${package_dir}/perilune.bash ${package_dir}/perilune.zsh
    ${package_dir}/perilune.fish)
  install(FILES ${package_dir}/perilune.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${package_dir}/perilune.bash RENAME perilune
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${package_dir}/perilune.zsh RENAME _perilune
    DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
  install(FILES ${package_dir}/perilune.fish
    DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs examples DESTINATION ${CMAKE_INSTALL_DOCDIR} USE_SOURCE_PERMISSIONS)

# The unit names places below the prefix of the installation, and what an administrator has changed
# of the configuration stays.
configure_file(runtime/package/service.cmake.in ${package_dir}/service.cmake @ONLY)
install(SCRIPT ${package_dir}/service.cmake)

# `./dev package`: a .deb of what is installed below /usr.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME perilune)
set(CPACK_PACKAGE_CONTACT "the perilune authors <perilune@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "scriptable mesh node runtime")
set(CPACK_PACKAGE_DESCRIPTION
  "A node runs Lua scripts whose actions every other node can call and stream.")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR})
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_SET_DESTDIR ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "lua-busted")
file(WRITE ${package_dir}/conffiles "/etc/perilune/perilune.json\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${package_dir}/conffiles)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
