#include <lauxlib.h>
#include <stdlib.h>

#include "prototype.h"

typedef struct sleeper {
  uv_timer_t timer;
  lua_State *co;
} sleeper;

void vm_run_task(vm *v, lua_State *co, int narg) {
  int count, status = lua_resume(co, v->L, narg, &count);
  if (status == LUA_YIELD) return;
  if (status != LUA_OK) vm_die(co);
  vm_give_coroutine(v, co);
  if (co == v->main) {
    v->main = NULL;
    conn_close(v->peer);
  } else if (--v->tasks == 0 && v->joiner != NULL) {
    lua_State *joiner = v->joiner;
    v->joiner = NULL;
    vm_run_task(v, joiner, 0);
  }
}

// mesh.spawn(fn): starts it at once.
static int mesh_spawn(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  vm *v = VM(L);
  lua_State *co = vm_take_coroutine(v);
  lua_settop(L, 1);
  lua_xmove(L, co, 1);
  v->tasks++;
  vm_run_task(v, co, 0);
  lua_pushboolean(L, 1);
  return 1;
}

// mesh.all(tasks): waits for every task there is, whichever are listed.
static int mesh_all(lua_State *L) {
  vm *v = VM(L);
  if (v->tasks == 0) return 0;
  v->joiner = L;
  return lua_yield(L, 0);
}

static void on_timer_closed(uv_handle_t *timer) {
  free(timer);
}

static void on_timer(uv_timer_t *timer) {
  vm *v = timer->data;
  lua_State *co = ((sleeper *)timer)->co;
  uv_close((uv_handle_t *)timer, on_timer_closed);
  vm_run_task(v, co, 0);
  conn_flush(v->peer);
}

// mesh.sleep(seconds)
static int mesh_sleep(lua_State *L) {
  lua_Number seconds = luaL_checknumber(L, 1);
  luaL_argcheck(L, seconds >= 0 && seconds < 1e6, 1, "out of range");
  vm *v = VM(L);
  sleeper *s = malloc(sizeof *s);
  if (s == NULL) die("memory", "exhausted");
  uv_timer_init(v->loop, &s->timer);
  s->timer.data = v;
  s->co = L;
  uv_update_time(v->loop);
  uv_timer_start(&s->timer, on_timer, (uint64_t)(seconds * 1e3), 0);
  lua_settop(L, 0);
  return lua_yield(L, 0);
}

static int mesh_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)uv_hrtime() / 1e9);
  return 1;
}

void tasks_open(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"spawn", mesh_spawn}, {"all", mesh_all}, {"sleep", mesh_sleep},
      {"now", mesh_now},     {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
}
