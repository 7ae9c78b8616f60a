// The parts of `perilune.testing`.wire; each pushes one table.  [-0, +1]
#pragma once

#include <lauxlib.h>
#include <lua.h>

#include "base/buf.h"
#include "base/err.h"

void testing_push_json(lua_State *L);
void testing_push_message(lua_State *L);

// Pushes nil and the name of the error.
int testing_push_error(lua_State *L, int err);  // [-0, +2]
// Pushes what is in `b`, and frees it; on an error that and its name.
int testing_push_encoded(lua_State *L, pl_err err, pl_buf *b);

// A string argument as a view; nothing behind it can be read.
pl_bytes testing_check_bytes(lua_State *L, int arg);
