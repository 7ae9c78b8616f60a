// Reading what comes next from an open file.
#pragma once

#include <lua.h>

// file:read([n]) -> at most n bytes, fewer when no more are there now, none when another task has
// read meanwhile; nil at the end. A read that is broken off takes nothing from the file, also when
// its bytes were there already.
int pl_file_read(lua_State *L);
