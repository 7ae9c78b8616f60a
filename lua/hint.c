#include "lua/hint.h"

#include <assert.h>
#include <lauxlib.h>

#include "lua/modules.h"
#include "lua/stdlib.h"

// path -> text. [-0, +1]
static void push_sources(lua_State *L, const pl_origins *sources) {
  lua_createtable(L, 0, (int)sources->count);
  for (size_t i = 0; i < sources->count; i++) {
    const pl_origin *s = &sources->items[i];
    lua_pushlstring(L, (const char *)s->text->data, s->text->len);
    lua_setfield(L, -2, s->path);
  }
}

void pl_hint_push(lua_State *L, const char *message, const char *traceback,
                  const pl_origins *sources) {
  const pl_stdlib_module *m = pl_stdlib_find("perilune.hint");
  assert(m != NULL);
  luaL_checkstack(L, 10, NULL);
  if (luaL_loadbufferx(L, (const char *)m->source, m->len, "=perilune.hint", "t") != LUA_OK)
    lua_error(L);
  lua_pushstring(L, message);
  lua_pushstring(L, traceback);
  push_sources(L, sources);
  lua_pushcfunction(L, pl_sys_guess);
  lua_call(L, 4, 1);
}
