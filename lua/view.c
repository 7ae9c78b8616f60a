#include "lua/view.h"

#include <ctype.h>
#include <lauxlib.h>

#include "base/limits.h"

const char pl_next_key = 'n';

// Fields of a view, under light userdata. A script that is after them gets there (`pairs` of a
// plain table gives it Lua's own `next`), so nothing here trusts them.
static const char target_key = 't';
static const char name_key = 'o';  // where it was read from, a string
static const char root_key = 'r';  // under which key
static const char version_key = 'v';
enum { FIELDS = 4 };

// In the registry, and of the metatable itself: true.
static const char view_key = 'w';

// Errors.

static bool is_name(const char *s, size_t len) {
  if (len == 0 || isdigit((unsigned char)s[0])) return false;
  for (size_t i = 0; i < len; i++) {
    if (!isalnum((unsigned char)s[i]) && s[i] != '_') return false;
  }
  return true;
}

const char *pl_push_path(lua_State *L, const char *name, int key) {
  enum { SHOWN = 60 };
  size_t len;
  const char *s = lua_tolstring(L, key, &len);
  if (len <= SHOWN && is_name(s, len)) return lua_pushfstring(L, "%s.%s", name, s);
  lua_pushlstring(L, s, len < SHOWN ? len : SHOWN);
  const char *path =
      lua_pushfstring(L, "%s['%s%s']", name, lua_tostring(L, -1), len > SHOWN ? "..." : "");
  lua_remove(L, -2);
  return path;
}

// The line of Lua that does this, also if it does so through table.insert and the like.
static void push_where(lua_State *L) {
  lua_Debug ar;
  for (int level = 1; lua_getstack(L, level, &ar); level++) {
    if (lua_getinfo(L, "Sl", &ar) == 0 || ar.currentline <= 0) continue;
    lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
    return;
  }
  lua_pushliteral(L, "");
}

static int view_newindex(lua_State *L) {
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  lua_rawgetp(L, 1, &name_key);
  const char *name = lua_tostring(L, -1);
  lua_rawgetp(L, 1, &root_key);
  int root = lua_gettop(L);
  const char *path = pl_push_path(L, name, root);
  push_where(L);
  lua_pushfstring(L, "%s%s cannot be written into: %s:update('%s', function(old) return new end)",
                  lua_tostring(L, -1), path, name, lua_tostring(L, root));
  return lua_error(L);
}

// Reading.

// Pushes the target of the view at index 1.
static void push_target(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  if (lua_rawgetp(L, 1, &target_key) != LUA_TTABLE) luaL_argerror(L, 1, "view expected");
}

static void set_field(lua_State *L, const char *field) {
  lua_rawsetp(L, -2, field);
}

// A table in the target of the view at index 1 is at the top: it becomes a view, in the target too,
// under the key at `key`. The target is at `target`.
static void see_child(lua_State *L, int target, int key) {
  if (!lua_istable(L, -1)) return;
  bool seen = lua_rawgetp(L, -1, &target_key) != LUA_TNIL;
  lua_pop(L, 1);
  if (seen) return;
  lua_createtable(L, 0, FIELDS);
  lua_insert(L, -2);
  set_field(L, &target_key);
  lua_rawgetp(L, 1, &name_key);
  set_field(L, &name_key);
  lua_rawgetp(L, 1, &root_key);
  set_field(L, &root_key);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_setmetatable(L, -2);
  lua_pushvalue(L, key);
  lua_pushvalue(L, -2);
  lua_rawset(L, target);
}

static int view_index(lua_State *L) {
  lua_settop(L, 2);
  push_target(L);
  lua_pushvalue(L, 2);
  lua_rawget(L, 3);
  see_child(L, 3, 2);
  return 1;
}

static int view_next(lua_State *L) {
  lua_settop(L, 2);
  push_target(L);
  lua_pushvalue(L, 2);
  if (lua_next(L, 3) == 0) {
    lua_pushnil(L);
    return 1;
  }
  see_child(L, 3, 4);
  return 2;
}

static int view_pairs(lua_State *L) {
  lua_rawgetp(L, lua_upvalueindex(1), &pl_next_key);
  lua_pushvalue(L, 1);
  lua_pushnil(L);
  return 3;
}

static int view_len(lua_State *L) {
  push_target(L);
  lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
  return 1;
}

// Comparing.

// Replaces the table at the top by its target, when it is a view.
static void to_target(lua_State *L) {
  if (lua_rawgetp(L, -1, &target_key) == LUA_TTABLE) {
    lua_remove(L, -2);
  } else {
    lua_pop(L, 1);
  }
}

// Whether the two values at the top hold the same; both are so deep in what is compared, where
// `left` values more may be looked at. [-2, +0]
static bool equal(lua_State *L, unsigned depth, size_t *left) {
  if (depth > PL_DEPTH_MAX || *left == 0) luaL_error(L, "tables too large to be compared");
  --*left;
  if (!lua_istable(L, -1) || !lua_istable(L, -2) || lua_rawequal(L, -1, -2)) {
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
  }
  luaL_checkstack(L, 8, NULL);
  to_target(L);
  lua_insert(L, -2);
  to_target(L);
  int a = lua_gettop(L), b = a - 1;
  lua_Integer count = 0;
  bool same = true;
  for (lua_pushnil(L); same && lua_next(L, a) != 0; count++) {
    lua_pushvalue(L, -2);
    lua_rawget(L, b);
    same = equal(L, depth + 1, left);
  }
  lua_settop(L, a);
  for (lua_pushnil(L); same && lua_next(L, b) != 0; lua_pop(L, 1))
    count--;
  lua_settop(L, b - 1);
  return same && count == 0;
}

// By what they hold: two reads of one key are equal, whether it was written in between or not.
static int view_eq(lua_State *L) {
  size_t left = PL_STATE_COMPARED;
  lua_settop(L, 2);
  lua_pushboolean(L, equal(L, 0, &left));
  return 1;
}

// next(t [, key]), which is the upvalue for all else.
static int base_next(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 2);
  if (lua_getmetatable(L, 1) && lua_rawgetp(L, 3, &pl_next_key) == LUA_TFUNCTION) {
    lua_replace(L, 3);
    lua_insert(L, 1);
    lua_call(L, 2, 2);
    return 2;
  }
  lua_settop(L, 2);
  luaL_checktype(L, 1, LUA_TTABLE);
  if (lua_next(L, 1) != 0) return 2;
  lua_pushnil(L);
  return 1;
}

void pl_open_views(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"__index", view_index}, {"__newindex", view_newindex},
      {"__pairs", view_pairs}, {"__len", view_len},
      {"__eq", view_eq},       {NULL, NULL},
  };
  lua_createtable(L, 0, 10);
  lua_pushvalue(L, -1);
  luaL_setfuncs(L, functions, 1);
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, view_next, 1);
  lua_rawsetp(L, -2, &pl_next_key);
  lua_pushboolean(L, 1);
  lua_rawsetp(L, -2, &view_key);
  lua_pushliteral(L, "perilune.view");
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);  // closed to setmetatable and getmetatable
  lua_setfield(L, -2, "__metatable");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &view_key);
  lua_pushcfunction(L, base_next);
  lua_setglobal(L, "next");
}

void pl_view_wrap(lua_State *L, const char *name, int key, uint64_t version) {
  lua_createtable(L, 0, FIELDS);
  lua_insert(L, -2);
  set_field(L, &target_key);
  lua_pushstring(L, name);
  set_field(L, &name_key);
  lua_pushvalue(L, key);
  set_field(L, &root_key);
  lua_pushinteger(L, (lua_Integer)version);
  set_field(L, &version_key);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &view_key);
  lua_setmetatable(L, -2);
}

uint64_t pl_view_version(lua_State *L, int index) {
  lua_rawgetp(L, index, &version_key);
  uint64_t version = (uint64_t)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return version;
}

bool pl_view_target(lua_State *L, int index) {
  bool view = lua_rawgetp(L, -1, &view_key) != LUA_TNIL;
  lua_pop(L, 1);
  if (!view) return false;
  if (lua_rawgetp(L, index, &target_key) == LUA_TTABLE) return true;
  lua_pop(L, 1);
  return false;
}
