#include "lua/guard.h"

#include <lauxlib.h>

#define GUARD_TYPE "perilune.guard"

void pl_guard_free(pl_guard *g) {
  void *object = g->object;
  g->object = NULL;
  if (object != NULL) g->free(object);
}

static int guard_gc(lua_State *L) {
  pl_guard_free(lua_touserdata(L, 1));
  return 0;
}

pl_guard *pl_guard_push(lua_State *L, void (*free)(void *object)) {
  pl_guard *g = lua_newuserdatauv(L, sizeof *g, 0);
  *g = (pl_guard){.object = NULL, .free = free};
  if (luaL_newmetatable(L, GUARD_TYPE)) {
    lua_pushcfunction(L, guard_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return g;
}
