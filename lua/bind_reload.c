// perilune.core.reload: mesh.reload, and what a generation hands over to the next.

#include <lauxlib.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/modules.h"
#include "lua/script.h"
#include "lua/task.h"

typedef struct asking {
  pl_op op;
  pl_reload_wait wait;
  pl_reload_report *report;  // one reference; NULL until it is there
} asking;

static void asking_free(asking *a) {
  if (a->report != NULL) pl_reload_report_drop(a->report);
  pl_free(a);
}

static void push_names(lua_State *L, const char *field, const pl_texts *names) {
  lua_createtable(L, (int)names->count, 0);
  for (size_t i = 0; i < names->count; i++) {
    lua_pushstring(L, names->items[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, field);
}

static int push_report(lua_State *L) {
  const pl_reload_report *r = lua_touserdata(L, 1);
  if (r->failed) {
    pl_error_push(L, &r->failure);
    return lua_error(L);
  }
  lua_createtable(L, 0, 5);
  lua_pushinteger(L, r->generation);
  lua_setfield(L, -2, "generation");
  lua_pushnumber(L, (double)r->took_us / 1e6);
  lua_setfield(L, -2, "took");
  push_names(L, "added", &r->difference.added);
  push_names(L, "removed", &r->difference.removed);
  push_names(L, "replaced", &r->difference.replaced);
  return 1;
}

static int finish(lua_State *L, pl_op *op) {
  asking *a = pl_container(op, asking, op);
  lua_pushcfunction(L, push_report);
  lua_pushlightuserdata(L, a->report);
  int status = lua_pcall(L, 1, 1, 0);
  asking_free(a);
  return status == LUA_OK ? 1 : lua_error(L);
}

static void cancel(pl_op *op) {
  asking *a = pl_container(op, asking, op);
  pl_reload_wait_cancel(&a->wait);
  asking_free(a);
}

static const pl_op_type reload_type = {"mesh.reload", finish, cancel};

static void on_done(pl_reload_wait *w, pl_reload_report *r) {
  asking *a = pl_container(w, asking, wait);
  a->report = pl_reload_report_hold(r);
  pl_op_wake(&a->op);
}

// reload() -> {generation, took, added, removed, replaced}; raises why not.
static int l_reload(lua_State *L) {
  const pl_generation *g = pl_generation_of(L);
  if (pl_script_is_command(g->script)) return luaL_error(L, "mesh.reload: a command has no file");
  if (g->state == PL_GENERATION_LOADING)
    return luaL_error(L, "mesh.reload: the script is being loaded");
  pl_op_check(L, &reload_type);
  asking *a = pl_new(asking);
  a->op.type = &reload_type;
  a->wait.done = on_done;
  pl_reload_ask(pl_script_reload(g->script), &a->wait);
  pl_host_want_reload(pl_script_host(g->script));
  return pl_op_wait(L, &a->op);
}

// hook("unload" | "load" | "close", function) -> the function that was set before, or nil
static int l_hook(lua_State *L) {
  static const char *const names[] = {"unload", "load", "close", NULL};
  pl_generation *g = pl_generation_of(L);
  int hook = luaL_checkoption(L, 1, NULL, names);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  int *ref = &g->hooks[hook];
  lua_pushnil(L);
  if (*ref >= 0) lua_rawgeti(L, LUA_REGISTRYINDEX, *ref);
  lua_pushvalue(L, 2);
  int fresh = luaL_ref(L, LUA_REGISTRYINDEX);
  if (*ref >= 0) luaL_unref(L, LUA_REGISTRYINDEX, *ref);
  *ref = fresh;
  return 1;
}

int pl_open_reload(lua_State *L) {
  static const luaL_Reg functions[] = {{"reload", l_reload}, {"hook", l_hook}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
