// Handles that are looked at for every chunk: as luaL_checkudata, but the VM knows their metatables
// without a look into the registry.
#pragma once

#include <lua.h>

typedef enum pl_box { PL_BOX_STREAM, PL_BOX_INPUT, PL_BOXES } pl_box;

// The metatable at the top, which luaL_newmetatable has made, is that of such handles.
void pl_box_register(lua_State *L, pl_box kind);
// The handle at index `at`; raises as luaL_checkudata does when it is none of `name`.
void *pl_box_check(lua_State *L, int at, pl_box kind, const char *name);
