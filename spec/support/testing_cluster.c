// `require('perilune.testing').cluster`: nodes with scripts, all on one loop, in virtual or in real
// time. spec/support/cluster.lua makes clusters of it.

#include "spec/support/testing_cluster.h"

#include <string.h>

#include "base/mem.h"
#include "lua/value.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_proxy.h"

void testing_open_cluster(lua_State *L);

#define CLUSTER "perilune.testing.Cluster"

testing_cluster *testing_check_cluster(lua_State *L, int arg) {
  testing_cluster *c = luaL_checkudata(L, arg, CLUSTER);
  luaL_argcheck(L, c->loop != NULL, arg, "freed");
  return c;
}

void testing_cluster_notify(testing_cluster *c) {
  if (c->loop->uv != NULL) pl_loop_stop(c->loop);
}

static bool keep_line(const char *line, size_t len, void *user) {
  testing_cluster *c = user;
  return pl_buf_append(&c->log, line, len);
}

// cluster.new('virtual' | 'real' [, seed])
static int new_cluster(lua_State *L) {
  static const char *const kinds[] = {"virtual", "real", NULL};
  bool is_virtual = luaL_checkoption(L, 1, NULL, kinds) == 0;
  uint64_t seed = (uint64_t)luaL_optinteger(L, 2, 1);
  testing_cluster *c = lua_newuserdatauv(L, sizeof *c, 0);
  memset(c, 0, sizeof *c);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  c->L = lua_tothread(L, -1);
  lua_pop(L, 1);
  pl_log *log = pl_log_new();
  pl_log_set_sink(log, keep_line, c);
  c->loop = is_virtual ? pl_loop_new_virtual(log, seed) : pl_loop_new(log);
  luaL_setmetatable(L, CLUSTER);
  return 1;
}

static void on_step(pl_timer *t) {
  testing_cluster_notify(pl_container(t, testing_cluster, step));
}

// cluster:run(seconds): in virtual time exactly so long; in real time until something happened, at
// most so long.
static int cluster_run(lua_State *L) {
  testing_cluster *c = testing_check_cluster(L, 1);
  uint64_t us = (uint64_t)(luaL_checknumber(L, 2) * 1e6 + 0.5);
  if (c->loop->uv == NULL) {
    pl_loop_advance(c->loop, us);
    return 0;
  }
  pl_timer_start(&c->loop->clock, &c->step, us, on_step);
  pl_loop_run(c->loop);
  pl_timer_stop(&c->step);
  return 0;
}

// Seconds, of the loop's clock.
static int cluster_now(lua_State *L) {
  testing_cluster *c = testing_check_cluster(L, 1);
  lua_pushnumber(L, (double)pl_now_us(c->loop) / 1e6);
  return 1;
}

static int cluster_metrics(lua_State *L) {
  testing_cluster *c = testing_check_cluster(L, 1);
  testing_push_metrics(L, &c->loop->metrics);
  return 1;
}

static int cluster_log(lua_State *L) {
  testing_cluster *c = testing_check_cluster(L, 1);
  lua_pushlstring(L, (const char *)pl_buf_data(&c->log), pl_buf_len(&c->log));
  return 1;
}

// Fails an assertion when timers, work or handles are left.
static int cluster_free(lua_State *L) {
  testing_cluster *c = luaL_checkudata(L, 1, CLUSTER);
  if (c->loop == NULL) return 0;
  pl_timer_stop(&c->step);
  pl_loop_free(c->loop);
  c->loop = NULL;
  pl_buf_fini(&c->log);
  return 0;
}

// cluster:proxy(url, target) -> proxy
static int cluster_proxy(lua_State *L) {
  testing_cluster *c = testing_check_cluster(L, 1);
  return testing_new_proxy(L, c->loop, c->L);
}

void testing_open_cluster(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"host", testing_cluster_host}, {"dial", testing_cluster_dial}, {"run", cluster_run},
      {"now", cluster_now},           {"metrics", cluster_metrics},   {"log", cluster_log},
      {"free", cluster_free},         {"proxy", cluster_proxy},       {NULL, NULL},
  };
  static const luaL_Reg functions[] = {{"new", new_cluster}, {NULL, NULL}};
  testing_new_class(L, CLUSTER, methods, NULL);
  luaL_newlib(L, functions);
  pl_push_null(L);
  lua_setfield(L, -2, "null");
  testing_add_proxies(L);
  testing_add_eval(L);
  testing_add_raw(L);
}
