// What scripts send and are sent, for specs: values in two parts, strings that stay where they are.
#pragma once

#include <lua.h>

#include "lua/value.h"

pl_codec testing_check_codec(lua_State *L, int arg);  // testing_lua.c
// In a task: pack(codec, max, ...); take(codec, front, behind, bytes) -> whether a string stayed
// where it was, values…
int testing_pack(lua_State *L);
int testing_take(lua_State *L);
// In a spec: packed() -> head, tail of what was packed last, which are given up.
int testing_packed(lua_State *L);
