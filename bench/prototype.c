// The baseline with Lua on both ends; see prototype.h.
//
//   bench_prototype server SCRIPT URL
//   bench_prototype client SCRIPT URL ARGS…

#include "prototype.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

void vm_die(lua_State *co) {
  luaL_traceback(co, co, luaL_tolstring(co, -1, NULL), 0);
  die("script", lua_tostring(co, -1));
}

lua_State *vm_take_coroutine(vm *v) {
  if (v->idle_count > 0) return v->idle[--v->idle_count];
  lua_State *co = lua_newthread(v->L);
  luaL_ref(v->L, LUA_REGISTRYINDEX);
  return co;
}

void vm_give_coroutine(vm *v, lua_State *co) {
  if (lua_status(co) != LUA_OK) lua_resetthread(co);
  lua_settop(co, 0);
  if (v->idle_count == v->idle_cap) {
    v->idle_cap = v->idle_cap == 0 ? 64 : v->idle_cap * 2;
    v->idle = realloc(v->idle, v->idle_cap * sizeof *v->idle);
    if (v->idle == NULL) die("memory", "exhausted");
  }
  v->idle[v->idle_count++] = co;
}

void vm_on_flush(conn *c) {
  vm *v = c->user;
  lua_settop(v->anchors, 0);
}

static int open_module(lua_State *L) {
  lua_newtable(L);
  server_open(L);
  client_open(L);
  tasks_open(L);
  return 1;
}

static void vm_init(vm *v) {
  memset(v, 0, sizeof *v);
  v->loop = uv_default_loop();
  v->L = luaL_newstate();
  if (v->L == NULL) die("memory", "exhausted");
  VM(v->L) = v;
  luaL_openlibs(v->L);
  luaL_getsubtable(v->L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(v->L, open_module);
  lua_setfield(v->L, -2, "perilune");
  lua_pop(v->L, 1);
  v->anchors = lua_newthread(v->L);
  luaL_ref(v->L, LUA_REGISTRYINDEX);
  for (int i = 0; i < IN_FLIGHT_MAX; i++) {
    v->free_slots[v->free_count++] = (uint16_t)(IN_FLIGHT_MAX - 1 - i);
  }
}

static void set_arguments(lua_State *L, char **args, int count) {
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    lua_pushstring(L, args[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setglobal(L, "arg");
}

int main(int argc, char **argv) {
  bool is_server = argc == 4 && strcmp(argv[1], "server") == 0;
  bool is_client = argc >= 4 && strcmp(argv[1], "client") == 0;
  if (!is_server && !is_client) {
    fprintf(stderr,
            "usage: bench_prototype server SCRIPT URL\n"
            "       bench_prototype client SCRIPT URL ARGS...\n");
    return 2;
  }
  static vm v;
  vm_init(&v);
  set_arguments(v.L, argv + 4, argc - 4);
  int rc = is_server ? server_run(&v, argv[2], argv[3]) : client_run(&v, argv[2], argv[3]);
  lua_close(v.L);
  free(v.idle);
  return rc;
}
