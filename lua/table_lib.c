// table.insert, remove, move and concat, which in C may take for ever where no hook runs: over a
// range that a metamethod invents, or that metamethods in C serve. Here they give way to others
// every few steps, and end with their task.

#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>

#include "lua/core.h"

enum {
  STEPS = 1024,     // elements between two looks at the time
  PIECE = 16 * 64,  // elements that are joined at once
};

// What the copy of a range needs, in a userdata on the stack.
typedef struct copying {
  lua_Integer from, to;  // the next element, and where it goes
  lua_Integer step;      // 1 or -1
  lua_Unsigned left;
  int source, target;  // indexes of the tables
  int (*finish)(lua_State *L, const struct copying *c);
} copying;

static int copy_on(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  copying *c = (copying *)ctx;
  while (c->left > 0) {
    for (unsigned n = 0; n < STEPS && c->left > 0; n++) {
      lua_geti(L, c->source, c->from);
      lua_seti(L, c->target, c->to);
      // Unsigned, because what follows the last one may be no integer.
      c->from = (lua_Integer)((lua_Unsigned)c->from + (lua_Unsigned)c->step);
      c->to = (lua_Integer)((lua_Unsigned)c->to + (lua_Unsigned)c->step);
      c->left--;
    }
    if (pl_slice_is_over(L)) return pl_give_way(L, ctx, copy_on);
  }
  return c->finish(L, c);
}

static int copy(lua_State *L, const copying *what) {
  copying *c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = *what;
  return copy_on(L, LUA_OK, (lua_KContext)c);
}

enum { READ = 1, WRITE = 2, LENGTH = 4 };

static bool has_metafield(lua_State *L, int arg, const char *name) {
  if (luaL_getmetafield(L, arg, name) == LUA_TNIL) return false;
  lua_pop(L, 1);
  return true;
}

// A table, or what behaves as one in what is needed.
static void check_table(lua_State *L, int arg, int what) {
  if (lua_istable(L, arg)) return;
  bool fits = (!(what & READ) || has_metafield(L, arg, "__index")) &&
              (!(what & WRITE) || has_metafield(L, arg, "__newindex")) &&
              (!(what & LENGTH) || has_metafield(L, arg, "__len"));
  if (!fits) luaL_checktype(L, arg, LUA_TTABLE);
}

// insert and remove.

static int end_insert(lua_State *L, const copying *c) {
  (void)c;
  lua_pushvalue(L, 3);
  lua_seti(L, 1, lua_tointeger(L, 2));
  return 0;
}

static int table_insert(lua_State *L) {
  check_table(L, 1, READ | WRITE | LENGTH);
  lua_Integer end = (lua_Integer)((lua_Unsigned)luaL_len(L, 1) + 1);
  switch (lua_gettop(L)) {
    case 2: lua_seti(L, 1, end); return 0;
    case 3: break;
    default: return luaL_error(L, "wrong number of arguments to 'insert'");
  }
  lua_Integer at = luaL_checkinteger(L, 2);
  lua_Unsigned count = (lua_Unsigned)end - (lua_Unsigned)at;
  luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)end, 2, "position out of bounds");
  copying c = {.from = end - 1, .to = end, .step = -1, .left = count, .finish = end_insert};
  c.source = c.target = 1;
  if (count > STEPS) return copy(L, &c);
  for (lua_Integer i = end; i > at; i--) {
    lua_geti(L, 1, i - 1);
    lua_seti(L, 1, i);
  }
  return end_insert(L, NULL);
}

// The removed value is on top of the tables and numbers, below what is copied with.
static int end_remove(lua_State *L, const copying *c) {
  lua_pushnil(L);
  lua_seti(L, 1, c->to);
  lua_settop(L, 3);
  return 1;
}

static int table_remove(lua_State *L) {
  check_table(L, 1, READ | WRITE | LENGTH);
  lua_Integer size = luaL_len(L, 1), at = luaL_optinteger(L, 2, size);
  if (lua_gettop(L) > 1) {
    luaL_argcheck(L, (lua_Unsigned)at - 1u <= (lua_Unsigned)size, 2, "position out of bounds");
  }
  lua_settop(L, 2);
  lua_geti(L, 1, at);
  lua_Unsigned count = at < size ? (lua_Unsigned)size - (lua_Unsigned)at : 0;
  copying c = {.to = at, .step = 1, .left = count, .finish = end_remove};
  c.from = (lua_Integer)((lua_Unsigned)at + 1);
  c.source = c.target = 1;
  if (count > STEPS) return copy(L, &c);
  for (; count > 0; count--, c.to++) {
    lua_geti(L, 1, c.to + 1);
    lua_seti(L, 1, c.to);
  }
  return end_remove(L, &c);
}

// move.

static int end_move(lua_State *L, const copying *c) {
  lua_pushvalue(L, c->target);
  return 1;
}

static int table_move(lua_State *L) {
  lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3);
  lua_Integer to = luaL_checkinteger(L, 4);
  int target = lua_isnoneornil(L, 5) ? 1 : 5;
  check_table(L, 1, READ);
  check_table(L, target, WRITE);
  copying c = {.from = first, .to = to, .step = 1, .source = 1, .target = target};
  c.finish = end_move;
  if (last < first) return end_move(L, &c);
  luaL_argcheck(L, first > 0 || last < LUA_MAXINTEGER + first, 3, "too many elements to move");
  c.left = (lua_Unsigned)last - (lua_Unsigned)first + 1;
  luaL_argcheck(L, to <= LUA_MAXINTEGER - (lua_Integer)c.left + 1, 4, "destination wrap around");
  bool overlap = to > first && to <= last;
  if (overlap && (target == 1 || lua_compare(L, 1, target, LUA_OPEQ))) {  // from behind
    c.from = last;
    c.to = to + (lua_Integer)(c.left - 1);
    c.step = -1;
  }
  return copy(L, &c);
}

// concat. The result of a long one is joined of pieces.

enum { TABLE = 1, SEPARATOR, FIRST, LAST, PIECES };  // on the stack

static const char original_concat;  // key in the registry

static void call_original(lua_State *L, int table, lua_Integer first, lua_Integer last) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &original_concat);
  lua_pushvalue(L, table);
  lua_pushvalue(L, SEPARATOR);
  lua_pushinteger(L, first);
  lua_pushinteger(L, last);
  lua_call(L, 4, 1);
}

static int join_on(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  lua_Integer first = lua_tointeger(L, FIRST), last = lua_tointeger(L, LAST);
  lua_Integer count = (lua_Integer)ctx;
  for (;;) {
    bool rest = (lua_Unsigned)last - (lua_Unsigned)first < PIECE;
    call_original(L, TABLE, first, rest ? last : first + PIECE - 1);
    lua_rawseti(L, PIECES, ++count);
    if (rest) break;
    first += PIECE;
    if (!pl_slice_is_over(L)) continue;
    lua_pushinteger(L, first);
    lua_replace(L, FIRST);
    return pl_give_way(L, (lua_KContext)count, join_on);
  }
  call_original(L, PIECES, 1, count);
  return 1;
}

static int table_concat(lua_State *L) {
  check_table(L, TABLE, READ | LENGTH);
  lua_Integer last = luaL_len(L, TABLE);
  luaL_optstring(L, SEPARATOR, "");
  lua_Integer first = luaL_optinteger(L, FIRST, 1);
  last = luaL_optinteger(L, LAST, last);
  lua_settop(L, SEPARATOR);
  lua_pushinteger(L, first);
  lua_pushinteger(L, last);
  pl_slice_is_over(L);  // many short ones within one another are a long one
  if (last < first || (lua_Unsigned)last - (lua_Unsigned)first < PIECE) {
    call_original(L, TABLE, first, last);
    return 1;
  }
  lua_newtable(L);
  return join_on(L, LUA_OK, 0);
}

void pl_open_tables(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"insert", table_insert},
      {"remove", table_remove},
      {"move", table_move},
      {"concat", table_concat},
      {NULL, NULL},
  };
  lua_getfield(L, -1, "concat");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &original_concat);
  luaL_setfuncs(L, functions, 0);
}
