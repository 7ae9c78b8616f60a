// The options of the node, as scripts give and see them.
#pragma once

#include <lua.h>

#include "perilune.h"

// Sets the options in the table at `index` of the stack, as a script's. Raises on the first that is
// wrong, and then none of them is set;
// `what` takes the options ("mesh.node").
void pl_options_read(lua_State *L, const char *what, int index, pl_options *o);

// Raises as that does, and sets nothing.
void pl_options_check(lua_State *L, const char *what, int index, const pl_options *o);

// Pushes a list of {name, type, text} of all options this version has; the type is as LuaCATS
// writes it. [-0, +1]
void pl_options_push_list(lua_State *L);

// Pushes name = {value, source} of every option this version has. [-0, +1]
void pl_options_push(lua_State *L, const pl_options *o);
