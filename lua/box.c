#include "lua/box.h"

#include <lauxlib.h>

#include "lua/core.h"

void pl_box_register(lua_State *L, pl_box kind) {
  pl_vm_of(L)->boxes[kind] = lua_topointer(L, -1);
}

void *pl_box_check(lua_State *L, int at, pl_box kind, const char *name) {
  if (lua_getmetatable(L, at)) {
    const void *metatable = lua_topointer(L, -1);
    lua_pop(L, 1);
    if (metatable == pl_vm_of(L)->boxes[kind]) return lua_touserdata(L, at);
  }
  return luaL_checkudata(L, at, name);
}
