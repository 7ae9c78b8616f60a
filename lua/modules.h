// The C modules of the embedding. X(name, opener): `require 'perilune.core.<name>'` calls the opener, which pushes one table.
// They are the raw material of stdlib/perilune/*.lua and not meant for scripts.
#pragma once

#include <lua.h>

#define PL_LUA_MODULES(X)   \
  X(value, pl_open_value)   \
  X(task, pl_open_task)     \
  X(error, pl_open_error)

#define X(name, opener) int opener(lua_State *L);
PL_LUA_MODULES(X)
#undef X
