#include "lua/sim_process.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/stdlib.h"
#include "lua/value.h"

static const char prelude_name[] = "perilune.simulated";

// Codes.

static bool is_dumped(pl_bytes code) {
  return code.len > 0 && code.data[0] == (uint8_t)LUA_SIGNATURE[0];
}

// Pushes the function. Of the upvalues of a dumped one, _ENV and `mesh` are those of this state.
static void load_code(lua_State *L, pl_bytes code, const char *name) {
  if (luaL_loadbufferx(L, (const char *)code.data, code.len, name, "bt") != LUA_OK) lua_error(L);
  const char *upvalue;
  for (int i = 1; (upvalue = lua_getupvalue(L, -1, i)) != NULL; i++) {
    lua_pop(L, 1);
    if (strcmp(upvalue, "_ENV") == 0) {
      lua_pushglobaltable(L);
    } else if (strcmp(upvalue, "mesh") == 0) {
      lua_getglobal(L, "mesh");
    } else {
      luaL_error(L, "a function for a simulated node cannot use the local '%s' around it", upvalue);
    }
    lua_setupvalue(L, -2, i);
  }
}

// What the script finds.

// report(...)
static int l_report(lua_State *L) {
  pl_sim_process *p = lua_touserdata(L, lua_upvalueindex(1));
  pl_buf *out = pl_vm_scratch(pl_vm_of(L));
  pl_values_encode(L, PL_CODEC_MSGPACK, 1, lua_gettop(L), "report", SIZE_MAX, out);
  pl_bytes copy;
  if (!pl_bytes_keep(&copy, pl_bytes_of(pl_buf_data(out), pl_buf_len(out))))
    return luaL_error(L, "not enough memory");
  if (p->report_count == p->report_cap) {
    p->report_cap = p->report_cap == 0 ? 16 : p->report_cap * 2;
    p->reports = pl_try_realloc(p->reports, p->report_cap * sizeof *p->reports);
    if (p->reports == NULL) abort();
  }
  p->reports[p->report_count++] = copy;
  return 0;
}

// Seconds since 1970, and of the machine's clock.
static int l_wall(lua_State *L) {
  lua_pushnumber(L, (lua_Number)pl_wall_us() / 1e6);
  return 1;
}

static int l_clock(lua_State *L) {
  lua_pushnumber(L, (lua_Number)pl_now_us(pl_vm_loop(pl_vm_of(L))) / 1e6);
  return 1;
}

void pl_sim_prelude(lua_State *L) {
  const pl_stdlib_module *m = pl_stdlib_find(prelude_name);
  assert(m != NULL);
  if (luaL_loadbufferx(L, (const char *)m->source, m->len, "=simulated", "t") != LUA_OK)
    lua_error(L);
  lua_pushinteger(L, (lua_Integer)pl_random_secret_u64());
  lua_pushcfunction(L, l_wall);
  lua_pushcfunction(L, l_clock);
  lua_call(L, 3, 0);
}

typedef struct setup {
  pl_sim_process *process;
  pl_bytes code;
} setup;

static int set_up(lua_State *L) {
  const setup *s = lua_touserdata(L, 1);
  pl_sim_prelude(L);
  lua_pushlightuserdata(L, s->process);
  lua_pushcclosure(L, l_report, 1);
  lua_setglobal(L, "report");
  if (!is_dumped(s->code)) return 0;
  load_code(L, s->code, "=script");
  lua_setglobal(L, "main");
  return 0;
}

// Processes.

static void on_ready(pl_host *h, void *user) {
  (void)h;
  ((pl_sim_process *)user)->ready = true;
}

static void lose_evals(pl_sim_process *p) {
  for (pl_list *at; (at = pl_list_pop(&p->evals)) != NULL;)
    pl_container(at, pl_sim_eval, node)->state = PL_SIM_EVAL_LOST;
}

static void on_over(pl_host *h, int code, void *user) {
  (void)h;
  pl_sim_process *p = user;
  p->over = true;
  p->code = code;
  lose_evals(p);
}

static const pl_host_ops host_ops = {.on_ready = on_ready, .on_over = on_over};

static bool keep_line(const char *line, size_t len, void *user) {
  pl_sim_process *p = user;
  return pl_buf_len(&p->log) + len <= PL_SIM_LOG_MAX && pl_buf_append(&p->log, line, len);
}

pl_sim_process *pl_sim_process_new(pl_net *net, const char *name) {
  pl_sim_process *p = pl_new(pl_sim_process);
  p->site = pl_site_new(net, name);
  pl_options_init(&p->options);
  pl_list_init(&p->evals);
  return p;
}

void pl_sim_process_free(pl_sim_process *p) {
  if (p->host != NULL && !p->over) pl_sim_process_kill(p, false);
  pl_sim_process_collect(p);
  for (size_t i = 0; i < p->report_count; i++)
    pl_bytes_drop(&p->reports[i]);
  pl_free(p->reports);
  pl_options_free(&p->options);
  pl_buf_fini(&p->log);
  pl_free(p);
}

static pl_err start_host(pl_sim_process *p, pl_bytes code, char *detail) {
  static const char call_main[] = "main()";
  pl_bytes text = is_dumped(code) ? pl_bytes_of(call_main, strlen(call_main)) : code;
  p->host = pl_host_new(p->site->loop, &p->options, &host_ops, p);
  pl_err err = pl_host_add(p->host, p->site->name, text, NULL, 0, false, detail);
  if (err != PL_OK) return err;
  lua_State *L = pl_vm_state(pl_host_vm(p->host));
  setup s = {p, code};
  lua_pushcfunction(L, set_up);
  lua_pushlightuserdata(L, &s);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return PL_OK;
  snprintf(detail, PL_URL_MAX, "%.400s", lua_tostring(L, -1));
  lua_pop(L, 1);
  return PL_INVALID;
}

pl_err pl_sim_process_boot(pl_sim_process *p, pl_bytes code, char *detail) {
  assert(p->host == NULL);
  pl_log *log = pl_log_new();
  pl_log_set_sink(log, keep_line, p);
  pl_site_boot(p->site, log);
  p->ready = p->over = false;
  pl_kernel *before = pl_site_enter(p->site);
  pl_err err = start_host(p, code, detail);
  if (err == PL_OK) pl_host_run(p->host);
  pl_site_leave(p->site, before);
  if (err != PL_OK) pl_sim_process_kill(p, false);
  return err;
}

void pl_sim_process_stop(pl_sim_process *p, uint64_t drain_us) {
  pl_kernel *before = pl_site_enter(p->site);
  if (drain_us == PL_NEVER)
    pl_host_stop(p->host, 0);
  else
    pl_host_stop_within(p->host, 0, drain_us);
  pl_site_leave(p->site, before);
}

void pl_sim_process_kill(pl_sim_process *p, bool power) {
  size_t told = p->report_count;  // what it does in its grave is not seen
  pl_site_kill(p->site, power);
  lose_evals(p);
  if (!p->over) {
    pl_sim_process_stop(p, 0);
    pl_site_bury(p->site, &p->over);
  }
  while (p->report_count > told)
    pl_bytes_drop(&p->reports[--p->report_count]);
  pl_sim_process_collect(p);
  p->over = false;
}

void pl_sim_process_collect(pl_sim_process *p) {
  if (p->host == NULL || !p->over) return;
  pl_kernel *before = pl_kernel_enter(&p->site->kernel);
  pl_host_free(p->host);
  pl_kernel_enter(before);
  p->host = NULL;
  p->ready = false;
  pl_site_close(p->site);
}

// Code from outside.

typedef struct definition {
  const char *name;
  pl_bytes code;
} definition;

static int define(lua_State *L) {
  const definition *d = lua_touserdata(L, 1);
  load_code(L, d->code, "=function");
  lua_setglobal(L, d->name);
  return 0;
}

pl_err pl_sim_process_define(pl_sim_process *p, const char *name, pl_bytes code, char *detail) {
  lua_State *L = pl_vm_state(pl_host_vm(p->host));
  definition d = {name, code};
  pl_kernel *before = pl_site_enter(p->site);
  lua_pushcfunction(L, define);
  lua_pushlightuserdata(L, &d);
  bool ok = lua_pcall(L, 1, 0, 0) == LUA_OK;
  if (!ok) {
    snprintf(detail, PL_URL_MAX, "%.400s", lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  pl_site_leave(p->site, before);
  return ok ? PL_OK : PL_INVALID;
}

static int begin(lua_State *L, void *user) {
  const pl_sim_eval *e = user;
  load_code(L, e->code, "=eval");
  return pl_values_decode(L, PL_CODEC_MSGPACK, e->args);
}

static void keep_values(lua_State *L, int n, pl_sim_eval *e) {
  pl_buf *out = pl_vm_scratch(pl_vm_of(L));
  pl_values_encode(L, PL_CODEC_MSGPACK, lua_gettop(L) - n + 1, n, "results", SIZE_MAX, out);
  pl_bytes_keep(&e->values, pl_bytes_of(pl_buf_data(out), pl_buf_len(out)));
}

static void on_return(lua_State *L, int n, void *user) {
  keep_values(L, n, user);
}

static int keep_error(lua_State *L) {
  keep_values(L, 1, lua_touserdata(L, 1));
  return 0;
}

static int keep_error_text(lua_State *L) {
  pl_error_push_text(L, 2);
  keep_values(L, 1, lua_touserdata(L, 1));
  return 0;
}

// The error at the top as it is, or when it cannot travel its text.
static void take_error(lua_State *L, pl_sim_eval *e) {
  static const lua_CFunction ways[] = {keep_error, keep_error_text};
  for (size_t i = 0; i < sizeof ways / sizeof *ways && lua_checkstack(L, 8); i++) {
    lua_pushcfunction(L, ways[i]);
    lua_pushlightuserdata(L, e);
    lua_pushvalue(L, -3);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK) return;
    lua_pop(L, 1);
  }
}

static void on_end(pl_task *t, pl_task_state state, lua_State *L, int n, const char *traceback,
                   void *user) {
  (void)n;
  (void)traceback;
  pl_sim_eval *e = user;
  if (state != PL_TASK_DONE) take_error(L, e);
  if (e->state == PL_SIM_EVAL_RUNNING)
    e->state = state == PL_TASK_DONE ? PL_SIM_EVAL_DONE : PL_SIM_EVAL_FAILED;
  pl_list_remove(&e->node);
  e->task = NULL;
  pl_task_drop(t);
}

static const pl_task_type eval_type = {
    .name = "eval", .begin = begin, .on_end = on_end, .on_return = on_return};

pl_sim_eval *pl_sim_eval_start(pl_sim_process *p, pl_bytes code, pl_bytes args) {
  pl_vm *vm = p->host != NULL && !p->over ? pl_host_vm(p->host) : NULL;
  if (vm == NULL) return NULL;
  pl_sim_eval *e = pl_new(pl_sim_eval);
  pl_list_push(&p->evals, &e->node);
  pl_kernel *before = pl_site_enter(p->site);
  bool ok = pl_bytes_keep(&e->code, code) && pl_bytes_keep(&e->args, args);
  e->task = ok ? pl_task_start(vm, &eval_type, e, NULL) : NULL;
  pl_site_leave(p->site, before);
  if (e->task != NULL) return e;
  pl_list_remove(&e->node);
  pl_sim_eval_free(e);
  return NULL;
}

void pl_sim_eval_cancel(pl_sim_process *p, pl_sim_eval *e) {
  if (e->task == NULL || p->host == NULL) return;
  pl_kernel *before = pl_site_enter(p->site);
  pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, NULL);
  pl_task_cancel(e->task, &why);
  pl_site_leave(p->site, before);
}

void pl_sim_eval_free(pl_sim_eval *e) {
  pl_bytes_drop(&e->code);
  pl_bytes_drop(&e->args);
  pl_bytes_drop(&e->values);
  pl_free(e);
}
