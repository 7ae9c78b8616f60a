// perilune.core.fs: reading and writing a file in one piece of work.
#pragma once

#include <lua.h>

// read(path, max) -> bytes, or an open file when it is a FIFO or terminal, which has no end yet.
int pl_file_read_whole(lua_State *L);
// write(path, bytes, {append, atomic, sync, exclusive}, mode) -> nothing, or as above an open file
// to which nothing has been written. `atomic`: whoever opens the file sees the old bytes or the
// new.
int pl_file_write_whole(lua_State *L);
