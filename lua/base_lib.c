// The basic functions that differ from plain Lua's: pcall and xpcall see what breaks off a task,
// load and its kin refuse bytecode, dofile may wait, string.rep does not spin. (setmetatable is in
// finalizer.c, patterns in pattern_lib.c, tables in table_lib.c.)

#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

#include "lua/core.h"

// pcall.

static int end_pcall(lua_State *L, int status, lua_KContext extra) {
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)extra;
  pl_note_caught(L, status);
  lua_pushboolean(L, 0);
  lua_pushvalue(L, -2);
  return 2;
}

int pl_base_pcall(lua_State *L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, 1);
  lua_insert(L, 1);
  int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, end_pcall);
  return end_pcall(L, status, 0);
}

// The message handler sees the error before the script's own changes it.
static int on_message(lua_State *L) {
  lua_settop(L, 1);
  pl_note_caught(L, LUA_ERRRUN);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

int pl_base_xpcall(lua_State *L) {
  int n = lua_gettop(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, on_message, 1);
  lua_replace(L, 2);
  lua_pushboolean(L, 1);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2);
  int status = lua_pcallk(L, n - 2, LUA_MULTRET, 2, 2, end_pcall);
  return end_pcall(L, status, 2);
}

// Loading text.

// The wrapped function is the upvalue; its mode is the argument `at`.
static int call_text_only(lua_State *L, int at) {
  const char *mode = luaL_optstring(L, at, "bt");
  if (strchr(mode, 't') == NULL) {
    lua_pushnil(L);
    lua_pushliteral(L, "attempt to load a binary chunk: bytecode is refused");
    return 2;
  }
  if (lua_gettop(L) < at) lua_settop(L, at);
  lua_pushliteral(L, "t");
  lua_replace(L, at);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

static int base_load(lua_State *L) {
  return call_text_only(L, 3);
}

static int base_loadfile(lua_State *L) {
  return call_text_only(L, 2);
}

static int end_dofile(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  return lua_gettop(L) - 1;
}

int pl_base_dofile(lua_State *L) {
  const char *path = luaL_optstring(L, 1, NULL);
  lua_settop(L, 1);
  if (luaL_loadfilex(L, path, "t") != LUA_OK) return lua_error(L);
  lua_callk(L, 0, LUA_MULTRET, 0, end_dofile);
  return end_dofile(L, LUA_OK, 0);
}

// Fills the `total` bytes at `out` with the first `len` of them, again and again.
static void fill(char *out, size_t len, size_t total) {
  for (size_t done = len; done < total;) {
    size_t n = done < total - done ? done : total - done;
    memcpy(out + done, out, n);
    done += n;
  }
}

// string.rep as Lua's, but it doubles what it has: copies one by one hold up the node for a quarter
// of a second with a text of 64 MiB, and for ever with a huge number of nothing.
static int string_rep(lua_State *L) {
  static const size_t most = SIZE_MAX < LUA_MAXINTEGER ? SIZE_MAX : (size_t)LUA_MAXINTEGER;
  size_t len, sep_len;
  const char *s = luaL_checklstring(L, 1, &len);
  lua_Integer n = luaL_checkinteger(L, 2);
  const char *sep = luaL_optlstring(L, 3, "", &sep_len);
  if (n <= 0 || len + sep_len == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  if (len + sep_len < len || len + sep_len > most / (lua_Unsigned)n) {
    return luaL_error(L, "resulting string too large");
  }
  size_t period = len + sep_len, total = (size_t)n * period - sep_len;
  luaL_Buffer b;
  char *out = luaL_buffinitsize(L, &b, total);
  memcpy(out, s, len);
  if (n > 1) {
    memcpy(out + len, sep, sep_len);
    fill(out, period, total);
  }
  luaL_pushresultsize(&b, total);
  return 1;
}

// Replaces the field `name` of the table at the top by `f` with the old value as upvalue.
static void wrap_field(lua_State *L, const char *name, lua_CFunction f) {
  lua_getfield(L, -1, name);
  lua_pushcclosure(L, f, 1);
  lua_setfield(L, -2, name);
}

void pl_open_base(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"pcall", pl_base_pcall},
      {"xpcall", pl_base_xpcall},
      {"dofile", pl_base_dofile},
      {NULL, NULL},
  };
  lua_pushglobaltable(L);
  luaL_setfuncs(L, functions, 0);
  wrap_field(L, "load", base_load);
  wrap_field(L, "loadfile", base_loadfile);
  pl_open_finalizers(L);
  lua_getfield(L, -1, "string");
  lua_pushcfunction(L, string_rep);
  lua_setfield(L, -2, "rep");
  pl_open_patterns(L);
  lua_getfield(L, -2, "table");
  pl_open_tables(L);
  lua_pop(L, 3);
}
