# Writes the Lua modules below FOLDER as the C table of lua/stdlib.h to OUTPUT.
#
#   cmake -D FOLDER=stdlib -D OUTPUT=stdlib.c -P embed.cmake
#
# stdlib/perilune/init.lua becomes `perilune`, stdlib/perilune/fs.lua `perilune.fs`.

file(GLOB_RECURSE paths RELATIVE ${FOLDER} ${FOLDER}/*.lua)
list(SORT paths)

set(arrays "")
set(rows "")
set(index 0)
foreach(path IN LISTS paths)
  string(REGEX REPLACE "(/init)?\\.lua$" "" name ${path})
  string(REPLACE "/" "." name ${name})

  file(SIZE ${FOLDER}/${path} size)
  file(READ ${FOLDER}/${path} hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n  " hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")

  # The zero that ends the array keeps an empty module legal C.
  string(APPEND arrays "static const unsigned char module_${index}[] = {\n  ${bytes}0};\n\n")
  string(APPEND rows "  {\"${name}\", module_${index}, ${size}},\n")
  math(EXPR index "${index} + 1")
endforeach()

file(WRITE ${OUTPUT} "\
// Written by stdlib/embed.cmake.
#include \"lua/stdlib.h\"

${arrays}\
const pl_stdlib_module pl_stdlib_modules[] = {
${rows}\
  {0, 0, 0},
};
")
