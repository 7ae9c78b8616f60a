// A plain Lua under a sanitizer, for specs of the Lua module: one that is instrumented does not
// load into an interpreter that is not. As lua5.4 it runs a file with arguments, and Ctrl-C breaks
// off what runs.

#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static lua_State *state;

static void stop(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  luaL_error(L, "interrupted!");
}

static void on_interrupt(int number) {
  int mask = LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT;
  signal(number, SIG_DFL);
  lua_sethook(state, stop, mask, 1);
}

static int run(lua_State *L) {
  const char *const *argv = lua_touserdata(L, 1);
  luaL_openlibs(L);
  lua_newtable(L);
  for (int i = 1; argv[i] != NULL; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - 1);
  }
  lua_setglobal(L, "arg");
  if (luaL_loadfile(L, argv[1]) != LUA_OK) lua_error(L);
  lua_call(L, 0, 0);
  return 0;
}

static int on_error(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 2) return EXIT_FAILURE;
  state = luaL_newstate();
  if (state == NULL) return EXIT_FAILURE;
  signal(SIGINT, on_interrupt);
  lua_pushcfunction(state, on_error);
  lua_pushcfunction(state, run);
  lua_pushlightuserdata(state, argv);
  int status = lua_pcall(state, 1, 0, 1);
  if (status != LUA_OK) fprintf(stderr, "lua: %s\n", lua_tostring(state, -1));
  lua_close(state);
  return status == LUA_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
