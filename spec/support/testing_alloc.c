#include "spec/support/testing_alloc.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/pages.h"
#include "lua/alloc.h"

enum { BLOCKS_MAX = 100000 };

static const char type_name[] = "testing.alloc";

typedef struct held {
  void *p;
  size_t size;
} held;

typedef struct bench {
  pl_alloc_state state;
  held *blocks;  // the newest last
  size_t count;
  size_t mapped;  // of others
} bench;

static bench *check(lua_State *L) {
  return luaL_checkudata(L, 1, type_name);
}

static void give(bench *b, size_t count) {
  for (; count > 0 && b->count > 0; count--) {
    held *h = &b->blocks[--b->count];
    pl_alloc_lua(&b->state, h->p, h->size, 0);
  }
}

// a:take(count, size)
static int take(lua_State *L) {
  bench *b = check(L);
  size_t count = (size_t)luaL_checkinteger(L, 2), size = (size_t)luaL_checkinteger(L, 3);
  luaL_argcheck(L, count <= BLOCKS_MAX - b->count, 2, "too many");
  for (; count > 0; count--) {
    void *p = pl_alloc_lua(&b->state, NULL, 0, size);
    if (p == NULL) return luaL_error(L, "no memory");
    b->blocks[b->count++] = (held){p, size};
  }
  return 0;
}

// a:give(count): the newest
static int give_back(lua_State *L) {
  give(check(L), (size_t)luaL_checkinteger(L, 2));
  return 0;
}

// a:mapped() -> bytes that it has of the system
static int mapped(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)(pl_pages_bytes() - check(L)->mapped));
  return 1;
}

static int trim(lua_State *L) {
  pl_alloc_trim(&check(L)->state);
  return 0;
}

static int fini(lua_State *L) {
  bench *b = check(L);
  give(b, b->count);
  pl_alloc_fini(&b->state);
  free(b->blocks);
  b->blocks = NULL;
  return 0;
}

int testing_new_alloc(lua_State *L) {
  static const luaL_Reg methods[] = {{"take", take}, {"give", give_back}, {"mapped", mapped},
                                     {"trim", trim}, {"__gc", fini},      {"__close", fini},
                                     {NULL, NULL}};
  bench *b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (bench){.mapped = pl_pages_bytes()};
  if (luaL_newmetatable(L, type_name)) {
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
  }
  lua_setmetatable(L, -2);
  b->blocks = calloc(BLOCKS_MAX, sizeof *b->blocks);
  if (b->blocks == NULL) return luaL_error(L, "no memory");
  return 1;
}
