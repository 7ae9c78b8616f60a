#include "lua/hint.h"

#include <assert.h>
#include <lauxlib.h>
#include <string.h>

#include "base/guess.h"
#include "lua/stdlib.h"

enum { CANDIDATES_MAX = 1000 };

// guess(word, list) -> the nearest of the list, or nil
static int l_guess(lua_State *L) {
  const char *word = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Unsigned len = lua_rawlen(L, 2);
  size_t count = len < CANDIDATES_MAX ? (size_t)len : CANDIDATES_MAX;
  const char **candidates = lua_newuserdatauv(L, (count + 1) * sizeof *candidates, 0);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    candidates[i] = luaL_checkstring(L, -1);
    lua_pop(L, 1);  // the list holds it
  }
  lua_pushstring(L, pl_guess(word, candidates, count));
  return 1;
}

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
  lua_pushcfunction(L, l_guess);
  lua_call(L, 4, 1);
}
