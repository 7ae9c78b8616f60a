// perilune.core.sim: simulated machines with scripts, for perilune.sim. Machines and running code
// are numbers here; perilune.sim makes objects of them.

#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/bind_options.h"
#include "lua/modules.h"
#include "lua/sim_process.h"
#include "lua/value.h"
#include "lua/vm.h"

#define WORLD "perilune.SimWorld"

enum { MACHINES_MAX = 1000 };

typedef struct world {
  pl_net net;
  bool open;
  pl_sim_process *machines[MACHINES_MAX];
  unsigned count;
  pl_map evals;  // number -> pl_sim_eval
  uint64_t next_eval;
} world;

static world *check_world(lua_State *L) {
  world *w = luaL_checkudata(L, 1, WORLD);
  luaL_argcheck(L, w->open, 1, "it is over");
  return w;
}

static pl_sim_process *check_machine(lua_State *L, const world *w, int arg) {
  lua_Integer i = luaL_checkinteger(L, arg);
  luaL_argcheck(L, i >= 1 && i <= (lua_Integer)w->count, arg, "no such machine");
  return w->machines[i - 1];
}

static uint64_t check_us(lua_State *L, int arg) {
  lua_Number s = luaL_checknumber(L, arg);
  luaL_argcheck(L, s >= 0 && s < 1e9, arg, "out of range");
  return (uint64_t)(s * 1e6 + 0.5);
}

static pl_bytes check_bytes(lua_State *L, int arg) {
  size_t len;
  const char *text = luaL_checklstring(L, arg, &len);
  return pl_bytes_of(text, len);
}

// new(seed)
static int sim_new(lua_State *L) {
  world *w = lua_newuserdatauv(L, sizeof *w, 0);
  memset(w, 0, sizeof *w);
  luaL_setmetatable(L, WORLD);
  pl_net_init(&w->net, (uint64_t)luaL_checkinteger(L, 1));
  w->open = true;
  return 1;
}

// world:free(): whatever still runs dies
static int world_free(lua_State *L) {
  world *w = luaL_checkudata(L, 1, WORLD);
  if (!w->open) return 0;
  w->open = false;
  for (unsigned i = 0; i < w->count; i++) {  // all first: each may have links to the others
    pl_sim_process *p = w->machines[i];
    if (p->host != NULL && !p->over) pl_sim_process_kill(p, true);
  }
  for (unsigned i = 0; i < w->count; i++)
    pl_sim_process_free(w->machines[i]);
  size_t at = 0;
  for (pl_map_entry *e; (e = pl_map_next(&w->evals, &at)) != NULL;)
    pl_sim_eval_free(e->value);
  pl_map_fini(&w->evals);
  pl_net_fini(&w->net);
  return 0;
}

// world:add(name) -> machine
static int world_add(lua_State *L) {
  world *w = check_world(L);
  const char *name = luaL_checkstring(L, 2);
  if (w->count == MACHINES_MAX)
    return luaL_error(L, "a simulation has at most %d nodes", MACHINES_MAX);
  w->machines[w->count++] = pl_sim_process_new(&w->net, name);
  lua_pushinteger(L, w->count);
  return 1;
}

// world:boot(machine, code, options)
static int world_boot(lua_State *L) {
  world *w = check_world(L);
  pl_sim_process *p = check_machine(L, w, 2);
  pl_bytes code = check_bytes(L, 3);
  luaL_checktype(L, 4, LUA_TTABLE);
  pl_sim_process_collect(p);
  luaL_argcheck(L, p->host == NULL, 2, "it runs already");
  pl_options_free(&p->options);
  pl_options_init(&p->options);
  pl_options_read(L, "mesh.node", 4, &p->options);
  char detail[PL_URL_MAX] = "";
  if (pl_sim_process_boot(p, code, detail) != PL_OK) return luaL_error(L, "%s", detail);
  return 0;
}

static pl_sim_process *check_running(lua_State *L, const world *w) {
  pl_sim_process *p = check_machine(L, w, 2);
  if (p->host == NULL || p->over) luaL_error(L, "%s does not run", p->site->name);
  return p;
}

// world:kill(machine, power)
static int world_kill(lua_State *L) {
  pl_sim_process_kill(check_running(L, check_world(L)), lua_toboolean(L, 3));
  return 0;
}

// world:stop(machine [, drain])
static int world_stop(lua_State *L) {
  pl_sim_process *p = check_running(L, check_world(L));
  pl_sim_process_stop(p, lua_isnoneornil(L, 3) ? PL_NEVER : check_us(L, 3));
  return 0;
}

// world:state(machine) -> "off", "starting", "ready" or "over", exit code
static int world_state(lua_State *L) {
  const pl_sim_process *p = check_machine(L, check_world(L), 2);
  bool runs = p->host != NULL && !p->over;
  lua_pushstring(L, p->over ? "over" : !runs ? "off" : p->ready ? "ready" : "starting");
  lua_pushinteger(L, p->code);
  return 2;
}

// world:id(machine) -> of its node, nil while there is none
static int world_id(lua_State *L) {
  const pl_sim_process *p = check_machine(L, check_world(L), 2);
  pl_node *n = p->host != NULL && !p->over ? pl_host_node(p->host) : NULL;
  if (n == NULL) return 0;
  char hex[PL_ID_HEX];
  pl_id_format(pl_node_id(n), hex);
  lua_pushstring(L, hex);
  return 1;
}

static int world_metrics(lua_State *L) {
  const pl_sim_process *p = check_machine(L, check_world(L), 2);
  lua_newtable(L);
  if (p->site->loop == NULL) return 1;
  for (const pl_metric_info *m = pl_metric_list; m->name != NULL; m++) {
    lua_pushinteger(L, (lua_Integer)pl_metric_get(&p->site->loop->metrics, m));
    lua_setfield(L, -2, m->name);
  }
  return 1;
}

static int world_log(lua_State *L) {
  const pl_sim_process *p = check_machine(L, check_world(L), 2);
  lua_pushlstring(L, (const char *)pl_buf_data(&p->log), pl_buf_len(&p->log));
  return 1;
}

static void push_list(lua_State *L, pl_bytes values) {
  int n = pl_values_decode(L, PL_CODEC_MSGPACK, values);
  lua_createtable(L, n, 1);
  lua_insert(L, -n - 1);
  for (int i = n; i > 0; i--)
    lua_rawseti(L, -i - 1, i);
  lua_pushinteger(L, n);
  lua_setfield(L, -2, "n");
}

// world:reports(machine) -> a list of lists with `n`
static int world_reports(lua_State *L) {
  const pl_sim_process *p = check_machine(L, check_world(L), 2);
  lua_createtable(L, (int)p->report_count, 0);
  for (size_t i = 0; i < p->report_count; i++) {
    push_list(L, p->reports[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

// Code.

// world:eval(machine, code, …) -> number
static int world_eval(lua_State *L) {
  world *w = check_world(L);
  pl_sim_process *p = check_running(L, w);
  pl_bytes code = check_bytes(L, 3);
  pl_buf *args = pl_vm_scratch(pl_vm_of(L));
  pl_values_encode(L, PL_CODEC_MSGPACK, 4, lua_gettop(L) - 3, "args", SIZE_MAX, args);
  pl_sim_eval *e = pl_sim_eval_start(p, code, pl_bytes_of(pl_buf_data(args), pl_buf_len(args)));
  if (e == NULL) return luaL_error(L, "%s does not run", p->site->name);
  pl_map_put(&w->evals, ++w->next_eval, e);
  lua_pushinteger(L, (lua_Integer)w->next_eval);
  return 1;
}

// world:define(machine, name, code): a dumped function becomes a global there
static int world_define(lua_State *L) {
  pl_sim_process *p = check_running(L, check_world(L));
  const char *name = luaL_checkstring(L, 3);
  char detail[PL_URL_MAX] = "";
  if (pl_host_vm(p->host) == NULL) return luaL_error(L, "%s does not run", p->site->name);
  if (pl_sim_process_define(p, name, check_bytes(L, 4), detail) != PL_OK)
    return luaL_error(L, "%s", detail);
  return 0;
}

static pl_sim_eval *check_eval(lua_State *L, const world *w, int arg) {
  pl_sim_eval *e = pl_map_find(&w->evals, (uint64_t)luaL_checkinteger(L, arg));
  luaL_argcheck(L, e != NULL, arg, "no such code");
  return e;
}

// world:result(number) -> "running", or "done", "failed" or "lost", and the list of its values
static int world_result(lua_State *L) {
  static const char *const names[] = {"running", "done", "failed", "lost"};
  const pl_sim_eval *e = check_eval(L, check_world(L), 2);
  lua_pushstring(L, names[e->state]);
  if (e->values.len == 0) return 1;
  push_list(L, e->values);
  return 2;
}

// world:cancel(machine, number)
static int world_cancel(lua_State *L) {
  world *w = check_world(L);
  pl_sim_eval_cancel(check_machine(L, w, 2), check_eval(L, w, 3));
  return 0;
}

// Time and faults.

// world:run(seconds)
static int world_run(lua_State *L) {
  world *w = check_world(L);
  pl_net_run(&w->net, pl_net_now_us(&w->net) + check_us(L, 2));
  return 0;
}

static int world_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)pl_net_now_us(&check_world(L)->net) / 1e6);
  return 1;
}

// world:random(n) -> 1 to n
static int world_random(lua_State *L) {
  world *w = check_world(L);
  lua_Integer n = luaL_checkinteger(L, 2);
  luaL_argcheck(L, n >= 1, 2, "out of range");
  lua_pushinteger(L, 1 + (lua_Integer)pl_random_below(&w->net.random, (uint64_t)n));
  return 1;
}

// world:block(from, to, down)
static int world_block(lua_State *L) {
  world *w = check_world(L);
  pl_sim_process *from = check_machine(L, w, 2), *to = check_machine(L, w, 3);
  pl_net_block(&w->net, from->site, to->site, lua_toboolean(L, 4));
  return 0;
}

// world:cut(a, b, a is told, b is told, mute) -> how many connections
static int world_cut(lua_State *L) {
  world *w = check_world(L);
  pl_sim_process *a = check_machine(L, w, 2), *b = check_machine(L, w, 3);
  unsigned n = pl_net_cut(&w->net, a->site, b->site, lua_toboolean(L, 4), lua_toboolean(L, 5),
                          lua_toboolean(L, 6));
  lua_pushinteger(L, n);
  return 1;
}

// world:path(from, to, latency, jitter, bytes a second, share lost)
static int world_path(lua_State *L) {
  world *w = check_world(L);
  pl_sim_process *from = check_machine(L, w, 2), *to = check_machine(L, w, 3);
  lua_Number loss = luaL_checknumber(L, 7);
  luaL_argcheck(L, loss >= 0 && loss <= 1, 7, "a share from 0 to 1");
  const pl_wire p = {
      .latency_us = check_us(L, 4),
      .jitter_us = check_us(L, 5),
      .bytes_per_s = (uint64_t)luaL_checkinteger(L, 6),
      .loss_ppm = (uint32_t)(loss * 1e6),
  };
  pl_net_shape(&w->net, from->site, to->site, &p);
  return 0;
}

// world:pause(machine, on)
static int world_pause(lua_State *L) {
  pl_site_pause(check_running(L, check_world(L))->site, lua_toboolean(L, 3));
  return 0;
}

// world:clock(machine, leap, rate, wall offset, lag): nil leaves it as it is
static int world_clock(lua_State *L) {
  pl_site *s = check_running(L, check_world(L))->site;
  if (!lua_isnil(L, 3)) pl_site_leap(s, check_us(L, 3));
  if (!lua_isnil(L, 4)) pl_site_set_rate(s, check_us(L, 4) > 0 ? check_us(L, 4) : 1);
  if (!lua_isnil(L, 5)) pl_site_set_wall_offset(s, (int64_t)(luaL_checknumber(L, 5) * 1e6));
  if (!lua_isnil(L, 6)) s->lag_us = check_us(L, 6);
  return 0;
}

static const luaL_Reg methods[] = {
    {"free", world_free},       {"add", world_add},         {"boot", world_boot},
    {"kill", world_kill},       {"stop", world_stop},       {"state", world_state},
    {"id", world_id},           {"metrics", world_metrics}, {"log", world_log},
    {"eval", world_eval},       {"define", world_define},   {"result", world_result},
    {"cancel", world_cancel},   {"run", world_run},         {"now", world_now},
    {"random", world_random},   {"block", world_block},     {"cut", world_cut},
    {"path", world_path},       {"pause", world_pause},     {"clock", world_clock},
    {"reports", world_reports}, {"__gc", world_free},       {NULL, NULL},
};

int pl_open_sim(lua_State *L) {
  if (luaL_newmetatable(L, WORLD)) {
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
  static const luaL_Reg functions[] = {{"new", sim_new}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
