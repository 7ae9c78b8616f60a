// Values between two states.
#pragma once

#include <lua.h>

// Copies the value at `index` of one state to the top of another: plain data, tables in depth; what
// cannot be copied becomes its text. An error object gets its text as the field `text`.
// [-0, +0] of `from`, [-0, +1] of `to`
void testing_copy_value(lua_State *from, int index, lua_State *to);
