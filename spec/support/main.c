// perilune_spec SCRIPT ARGS… runs a Lua script as plain `lua5.4` would, with the C
// side of the specs (`require 'perilune.testing'`) inside and the modules of the
// source tree on the path.

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "spec/support/testing.h"

// Relative, so that an edited module needs no build: run from the source folder.
static const char prepend_path[] =
    "package.path = 'stdlib/?.lua;stdlib/?/init.lua;?.lua;' .. package.path";

static int add_traceback(lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

static void set_arguments(lua_State *L, int argc, char **argv) {
  lua_createtable(L, argc, 1);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - 1);
  }
  lua_setglobal(L, "arg");
}

// stack: [argc, argv] -> nothing
static int run(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);

  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, testing_open);
  lua_setfield(L, -2, "perilune.testing");
  set_arguments(L, argc, argv);
  if (luaL_dostring(L, prepend_path) != LUA_OK) return lua_error(L);

  if (luaL_loadfile(L, argv[1]) != LUA_OK) return lua_error(L);
  luaL_checkstack(L, argc, "too many arguments");
  for (int i = 2; i < argc; i++)
    lua_pushstring(L, argv[i]);
  lua_call(L, argc - 2, 0);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: perilune_spec SCRIPT [ARGUMENT]...\n");
    return 2;
  }
  lua_State *L = luaL_newstate();
  if (L == NULL) abort();

  lua_pushcfunction(L, add_traceback);
  lua_pushcfunction(L, run);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  int status = lua_pcall(L, 2, 0, 1);
  if (status != LUA_OK) fprintf(stderr, "perilune_spec: %s\n", lua_tostring(L, -1));
  lua_close(L);
  return status == LUA_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
