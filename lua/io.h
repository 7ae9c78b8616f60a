// Replaces what would block the loop in Lua's own libraries by waiting versions of the same
// signature: io.read, io.lines and the methods of io.stdin on standard input, io.popen,
// os.execute; io.type and io.close know the files of popen. Other files stay plain.
#pragma once

#include <lua.h>

// After the standard libraries are open. Loads nothing: stdlib/perilune/io.lua comes with the first
// use. [-0, +0]
void pl_io_install(lua_State *L);
