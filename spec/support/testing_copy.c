// Values between two states, or within one.

#include "spec/support/testing_copy.h"

#include <lauxlib.h>

#include "lua/error.h"

enum { COPY_DEPTH = 70 };

static void copy(lua_State *from, int index, lua_State *to, int depth);

static void copy_table(lua_State *from, int index, lua_State *to, int depth) {
  lua_newtable(to);
  int table = lua_gettop(to);
  for (lua_pushnil(from); lua_next(from, index) != 0; lua_pop(from, 1)) {
    int top = lua_gettop(from);
    copy(from, top - 1, to, depth);
    copy(from, top, to, depth);
    lua_rawset(to, table);
  }
  if (!pl_error_is(from, index)) return;
  luaL_tolstring(from, index, NULL);
  lua_pushstring(to, lua_tostring(from, -1));
  lua_setfield(to, -2, "text");
  lua_pop(from, 1);
}

static void copy(lua_State *from, int index, lua_State *to, int depth) {
  luaL_checkstack(to, 8, NULL);
  luaL_checkstack(from, 8, NULL);
  size_t len;
  const char *text;
  switch (lua_type(from, index)) {
    case LUA_TNIL: lua_pushnil(to); return;
    case LUA_TBOOLEAN: lua_pushboolean(to, lua_toboolean(from, index)); return;
    case LUA_TLIGHTUSERDATA: lua_pushlightuserdata(to, lua_touserdata(from, index)); return;
    case LUA_TNUMBER:
      if (lua_isinteger(from, index)) {
        lua_pushinteger(to, lua_tointeger(from, index));
      } else {
        lua_pushnumber(to, lua_tonumber(from, index));
      }
      return;
    case LUA_TSTRING:
      text = lua_tolstring(from, index, &len);
      lua_pushlstring(to, text, len);
      return;
    case LUA_TTABLE:
      if (depth < COPY_DEPTH) {
        copy_table(from, index, to, depth + 1);
        return;
      }
      break;
    default: break;
  }
  text = luaL_tolstring(from, index, &len);
  lua_pushlstring(to, text, len);
  lua_pop(from, 1);
}

void testing_copy_value(lua_State *from, int index, lua_State *to) {
  copy(from, lua_absindex(from, index), to, 0);
}
