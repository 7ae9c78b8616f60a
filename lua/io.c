#include "lua/io.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

enum { NAME = 1, ORIGINAL = 2 };  // upvalues

static int pass_results(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  return lua_gettop(L);
}

// Pushes perilune.io[name]. Loading it does not wait. [-0, +1]
static void push_version(lua_State *L, const char *name) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, "perilune.io") != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "perilune.io");
    lua_call(L, 1, 1);
  }
  lua_getfield(L, -1, name);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

// The waiting version of the function, called with the original and its arguments.
static int call_version(lua_State *L) {
  int n = lua_gettop(L);
  push_version(L, lua_tostring(L, lua_upvalueindex(NAME)));
  lua_insert(L, 1);
  lua_pushvalue(L, lua_upvalueindex(ORIGINAL));
  lua_insert(L, 2);
  lua_callk(L, n + 1, LUA_MULTRET, 0, pass_results);
  return lua_gettop(L);
}

// A method of Lua's own files: the waiting version for standard input, else the original.
static int call_method(lua_State *L) {
  luaL_Stream *file = luaL_testudata(L, 1, LUA_FILEHANDLE);
  if (file != NULL && file->closef != NULL && file->f == stdin) return call_version(L);
  lua_pushvalue(L, lua_upvalueindex(ORIGINAL));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

// Replaces field `name` of the table at the top. [-0, +0]
static void replace(lua_State *L, const char *name, const char *version, lua_CFunction f) {
  lua_pushstring(L, version);
  lua_getfield(L, -2, name);
  lua_pushcclosure(L, f, 2);
  lua_setfield(L, -2, name);
}

void pl_io_install(lua_State *L) {
  static const char *const functions[] = {"read", "lines", "popen", "type", "close"};
  lua_getglobal(L, LUA_IOLIBNAME);
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    replace(L, functions[i], functions[i], call_version);
  }
  lua_getglobal(L, LUA_OSLIBNAME);
  replace(L, "execute", "execute", call_version);
  luaL_getmetatable(L, LUA_FILEHANDLE);
  lua_getfield(L, -1, "__index");
  replace(L, "read", "stdin_read", call_method);
  replace(L, "lines", "stdin_lines", call_method);
  lua_pop(L, 4);
}
