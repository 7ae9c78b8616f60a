// Hosts of the cluster, and code that a spec runs in the VM of their script.

#include <string.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/host.h"
#include "lua/script.h"
#include "lua/value.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_cluster.h"
#include "spec/support/testing_copy.h"

#define HOST "perilune.testing.Host"
#define EVAL "perilune.testing.Eval"

// Holds itself in the registry until it is freed. User values: the cluster, the list of reports.
typedef struct host {
  pl_host *host;  // NULL once freed
  testing_cluster *cluster;
  int self;
  int reports;  // reference to the list of what the script reported
  bool ready, over;
  int code;
  pl_buf dumped;  // the script, when it is a function
  int reloads;    // reference to the list of what came of reloads
} host;

// One task of a spec. Holds itself in the registry until the task has ended.
typedef struct eval {
  pl_task *task;  // NULL once its host is freed or it has ended
  host *host;
  int self;
  int args;     // reference to {n = …, code, arguments…}
  int results;  // reference to {n = …, values…} or {n = 1, error}
  const char *state;
} eval;

// Copying.

// Pushes {n = n, values…} of the `n` values on top of `from`.
static void copy_list(lua_State *from, int n, lua_State *to) {
  int first = lua_gettop(from) - n + 1;
  luaL_checkstack(to, 8, NULL);
  lua_createtable(to, n, 1);
  lua_pushinteger(to, n);
  lua_setfield(to, -2, "n");
  for (int i = 0; i < n; i++) {
    testing_copy_value(from, first + i, to);
    lua_rawseti(to, -2, i + 1);
  }
}

// Code: a text, or a function of the specs that was dumped.

// Pushes the function. Of the upvalues of a dumped one only _ENV has a value.
static void load_code(lua_State *L, const char *text, size_t len, const char *name) {
  if (luaL_loadbufferx(L, text, len, name, "bt") != LUA_OK) lua_error(L);
  const char *upvalue;
  for (int i = 1; (upvalue = lua_getupvalue(L, -1, i)) != NULL; i++) {
    lua_pop(L, 1);
    lua_pushglobaltable(L);
    if (strcmp(upvalue, "_ENV") != 0) {
      luaL_error(L, "code for another state uses the local '%s' of the spec", upvalue);
    }
    lua_setupvalue(L, -2, i);
  }
}

// Hosts.

// report(...): hands values to the spec.
static int l_report(lua_State *L) {
  host *h = lua_touserdata(L, lua_upvalueindex(1));
  lua_State *S = h->cluster->L;
  lua_rawgeti(S, LUA_REGISTRYINDEX, h->reports);
  copy_list(L, lua_gettop(L), S);
  lua_rawseti(S, -2, luaL_len(S, -2) + 1);
  lua_pop(S, 1);
  testing_cluster_notify(h->cluster);
  return 0;
}

static void on_ready(pl_host *ph, void *user) {
  (void)ph;
  host *h = user;
  h->ready = true;
  testing_cluster_notify(h->cluster);
}

static void on_over(pl_host *ph, int code, void *user) {
  (void)ph;
  host *h = user;
  h->over = true;
  h->code = code;
  testing_cluster_notify(h->cluster);
}

// Globals of the script: report, and `main` when it is a dumped function.
static void set_globals(host *h, lua_State *L) {
  lua_pushlightuserdata(L, h);
  lua_pushcclosure(L, l_report, 1);
  lua_setglobal(L, "report");
  if (pl_buf_len(&h->dumped) == 0) return;
  load_code(L, (const char *)pl_buf_data(&h->dumped), pl_buf_len(&h->dumped), "=main");
  lua_setglobal(L, "main");
}

static void on_vm(pl_host *ph, pl_vm *vm, void *user) {
  (void)ph;
  set_globals(user, pl_vm_state(vm));
}

static void on_reload(pl_host *ph, const pl_reload_report *r, void *user) {
  (void)ph;
  const host *h = user;
  lua_State *S = h->cluster->L;
  pl_buf text = {0};
  if (r->failed) {
    pl_reload_failure_put(r, &text);
  } else {
    pl_reload_report_put(r, &text);
  }
  lua_rawgeti(S, LUA_REGISTRYINDEX, h->reloads);
  lua_createtable(S, 0, 3);
  lua_pushlstring(S, (const char *)pl_buf_data(&text), pl_buf_len(&text));
  lua_setfield(S, -2, r->failed ? "failure" : "text");
  lua_pushinteger(S, r->generation);
  lua_setfield(S, -2, "generation");
  lua_pushstring(S, r->failed ? pl_err_name(r->failure.code) : NULL);
  lua_setfield(S, -2, "code");
  lua_rawseti(S, -2, luaL_len(S, -2) + 1);
  lua_pop(S, 1);
  pl_buf_fini(&text);
  testing_cluster_notify(h->cluster);
}

static const pl_host_ops host_ops = {
    .on_ready = on_ready, .on_vm = on_vm, .on_reload = on_reload, .on_over = on_over};

static void set_option(lua_State *L, pl_options *o, const char *name) {
  const pl_option *opt = pl_option_find(name);
  if (opt == NULL) luaL_error(L, "unknown option %s", name);
  const char *texts[16];
  pl_option_value v = {.texts = texts};
  switch (lua_type(L, -1)) {
    case LUA_TSTRING:
      v.given = PL_GIVEN_TEXT;
      v.text = lua_tostring(L, -1);
      break;
    case LUA_TNUMBER:
      v.given = PL_GIVEN_NUMBER;
      v.number = lua_tonumber(L, -1);
      break;
    case LUA_TBOOLEAN:
      v.given = PL_GIVEN_BOOLEAN;
      v.boolean = lua_toboolean(L, -1);
      break;
    default:
      v.given = PL_GIVEN_TEXTS;
      for (; v.count < 16 && lua_rawgeti(L, -1, (lua_Integer)v.count + 1) == LUA_TSTRING;
           v.count++) {
        texts[v.count] = lua_tostring(L, -1);
        lua_pop(L, 1);
      }
      lua_pop(L, 1);
  }
  char why[PL_URL_MAX];
  if (pl_option_set(o, PL_SOURCE_FILE, opt, &v, why) != PL_OK) luaL_error(L, "%s", why);
}

// The text of the script.
static pl_bytes take_code(host *h, const char *code, size_t len) {
  pl_buf_clear(&h->dumped);
  if (len == 0 || code[0] != LUA_SIGNATURE[0]) return pl_bytes_of(code, len);
  static const char text[] = "mesh = require 'perilune' main()";
  pl_buf_append(&h->dumped, code, len);
  return pl_bytes_of(text, sizeof text - 1);
}

// cluster:host(name, script, options): starts a host with one script: a text, or a dumped function
// that a text calls as `main`.
int testing_cluster_host(lua_State *L) {
  testing_cluster *c = testing_check_cluster(L, 1);
  const char *name = luaL_checkstring(L, 2);
  size_t len;
  const char *code = luaL_checklstring(L, 3, &len);
  luaL_checktype(L, 4, LUA_TTABLE);
  host *h = lua_newuserdatauv(L, sizeof *h, 1);
  *h = (host){.cluster = c, .self = LUA_NOREF};
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, HOST);

  pl_options options;
  pl_options_init(&options);
  for (lua_pushnil(L); lua_next(L, 4) != 0; lua_pop(L, 1))
    set_option(L, &options, lua_tostring(L, -2));
  h->host = pl_host_new(c->loop, &options, &host_ops, h);
  pl_options_free(&options);

  char detail[PL_URL_MAX];
  pl_bytes text = take_code(h, code, len);
  pl_err err = pl_host_add(h->host, name, text, NULL, 0, false, detail);
  if (err != PL_OK) return luaL_error(L, "%s", detail);
  lua_newtable(L);
  h->reports = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  h->reloads = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushvalue(L, -1);
  h->self = luaL_ref(L, LUA_REGISTRYINDEX);
  pl_host_run(h->host);
  return 1;
}

static host *check_host(lua_State *L) {
  host *h = luaL_checkudata(L, 1, HOST);
  luaL_argcheck(L, h->host != NULL, 1, "freed");
  return h;
}

// host:state() -> ready, over, exit code
static int host_state(lua_State *L) {
  const host *h = luaL_checkudata(L, 1, HOST);
  lua_pushboolean(L, h->ready);
  lua_pushboolean(L, h->over);
  lua_pushinteger(L, h->code);
  return 3;
}

static int host_reports(lua_State *L) {
  const host *h = luaL_checkudata(L, 1, HOST);
  lua_rawgeti(L, LUA_REGISTRYINDEX, h->reports);
  return 1;
}

// host:reloads() -> list of {generation, text | failure, code}
static int host_reloads(lua_State *L) {
  const host *h = luaL_checkudata(L, 1, HOST);
  lua_rawgeti(L, LUA_REGISTRYINDEX, h->reloads);
  return 1;
}

// host:stop([drain])
static int host_stop(lua_State *L) {
  host *h = check_host(L);
  if (lua_isnoneornil(L, 2)) {
    pl_host_stop(h->host, 0);
  } else {
    pl_host_stop_within(h->host, 0, (uint64_t)(luaL_checknumber(L, 2) * 1e6));
  }
  return 0;
}

// Id and addresses of its node; nil while there is none.
static int host_node(lua_State *L) {
  host *h = check_host(L);
  pl_node *n = pl_host_node(h->host);
  if (n == NULL) return 0;
  char hex[PL_ID_HEX];
  pl_id_format(pl_node_id(n), hex);
  lua_pushstring(L, hex);
  lua_newtable(L);
  const char *address;
  for (size_t i = 0; (address = pl_node_address(n, i)) != NULL; i++) {
    lua_pushstring(L, address);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 2;
}

// Bytes that its VM uses.
static int host_memory(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_vm_memory(pl_host_vm(check_host(L)->host)));
  return 1;
}

// An action of the node itself that does not end before its caller gives up.
static void hold_start(pl_request *r, void *user) {
  (void)r, (void)user;
}

static void hold_cancel(pl_request *r, const pl_failure *why) {
  pl_request_end(r, NULL, why);
}

// host:hold(name): the node serves it itself
static int host_hold(lua_State *L) {
  static const pl_action_ops ops = {.on_start = hold_start, .on_cancel = hold_cancel};
  pl_node_add_system_action(pl_host_node(check_host(L)->host), luaL_checkstring(L, 2), &ops, NULL);
  return 0;
}

// host:reload(name [, script]): loads it anew, with another text or function
static int host_reload(lua_State *L) {
  host *h = check_host(L);
  const char *name = luaL_checkstring(L, 2);
  if (!lua_isnoneornil(L, 3)) {
    size_t len;
    const char *code = luaL_checklstring(L, 3, &len);
    if (pl_host_set_text(h->host, name, take_code(h, code, len)) != PL_OK)
      return luaL_error(L, "no script %s", name);
  }
  lua_pushboolean(L, pl_host_reload(h->host, name) == PL_OK);
  return 1;
}

static void tell_changed(pl_script *s, void *user) {
  bool *minds = user;
  *minds = pl_reload_minds_changes(pl_script_reload(s));
  if (*minds) pl_reload_changed(pl_script_reload(s));
}

// host:change(name, script): its text is another one, which the watch of the files sees. Returns
// whether it told so.
static int host_change(lua_State *L) {
  host *h = check_host(L);
  size_t len;
  const char *name = luaL_checkstring(L, 2), *code = luaL_checklstring(L, 3, &len);
  bool minds = false;
  if (pl_host_set_text(h->host, name, take_code(h, code, len)) != PL_OK)
    return luaL_error(L, "no script %s", name);
  pl_host_each_file(h->host, name, tell_changed, &minds);
  lua_pushboolean(L, minds);
  return 1;
}

// Only when it is over.
static int host_free(lua_State *L) {
  host *h = check_host(L);
  luaL_argcheck(L, h->over, 1, "not over");
  pl_host_free(h->host);
  h->host = NULL;
  pl_buf_fini(&h->dumped);
  luaL_unref(L, LUA_REGISTRYINDEX, h->self);
  return 0;
}

// Code in a VM.

static int begin(lua_State *L, void *user) {
  const eval *e = user;
  lua_State *S = e->host->cluster->L;
  lua_rawgeti(S, LUA_REGISTRYINDEX, e->args);
  int list = lua_gettop(S);
  size_t len;
  lua_rawgeti(S, list, 1);
  const char *code = lua_tolstring(S, -1, &len);
  load_code(L, code, len, "=eval");
  lua_getfield(S, list, "n");
  int n = (int)lua_tointeger(S, -1);
  luaL_checkstack(L, n, NULL);
  for (int i = 2; i <= n; i++) {
    lua_rawgeti(S, list, i);
    testing_copy_value(S, -1, L);
    lua_pop(S, 1);
  }
  lua_settop(S, list - 1);
  return n - 1;
}

static int copy_results(lua_State *L) {
  eval *e = lua_touserdata(L, 1);
  lua_State *S = e->host->cluster->L;
  int top = lua_gettop(S);
  copy_list(L, lua_gettop(L) - 1, S);
  e->results = luaL_ref(S, LUA_REGISTRYINDEX);
  lua_settop(S, top);
  return 0;
}

static void on_end(pl_task *t, pl_task_state state, lua_State *L, int n, const char *traceback,
                   void *user) {
  (void)traceback;
  eval *e = user;
  lua_State *S = e->host->cluster->L;
  e->state = state == PL_TASK_DONE ? "done" : state == PL_TASK_FAILED ? "failed" : "cancelled";
  if (lua_checkstack(L, n + 4)) {
    lua_pushcfunction(L, copy_results);
    lua_pushlightuserdata(L, e);
    for (int i = 0; i < n; i++)
      lua_pushvalue(L, -n - 2);
    if (lua_pcall(L, n + 1, 0, 0) != LUA_OK) lua_pop(L, 1);
  }
  e->task = NULL;
  pl_task_drop(t);
  luaL_unref(S, LUA_REGISTRYINDEX, e->args);
  luaL_unref(S, LUA_REGISTRYINDEX, e->self);
  testing_cluster_notify(e->host->cluster);
}

static const pl_task_type eval_type = {.name = "eval", .begin = begin, .on_end = on_end};

// host:eval(code, …) -> task
static int host_eval(lua_State *L) {
  host *h = check_host(L);
  luaL_checkstring(L, 2);
  luaL_argcheck(L, pl_host_vm(h->host) != NULL, 1, "over");
  int n = lua_gettop(L) - 1;
  copy_list(L, n, L);
  int args = luaL_ref(L, LUA_REGISTRYINDEX);
  eval *e = lua_newuserdatauv(L, sizeof *e, 1);
  *e = (eval){.host = h, .args = args, .results = LUA_NOREF, .state = "running"};
  luaL_setmetatable(L, EVAL);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, -1);
  e->self = luaL_ref(L, LUA_REGISTRYINDEX);
  e->task = pl_task_start(pl_host_vm(h->host), &eval_type, e, NULL);
  if (e->task == NULL) return luaL_error(L, "no task");
  return 1;
}

static eval *check_eval(lua_State *L) {
  return luaL_checkudata(L, 1, EVAL);
}

// task:state() -> "running", "done", "failed" or "cancelled"
static int eval_state(lua_State *L) {
  lua_pushstring(L, check_eval(L)->state);
  return 1;
}

// task:results() -> {n = …, values…}, or {n = 1, the error}
static int eval_results(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, check_eval(L)->results);
  return 1;
}

static int eval_cancel(lua_State *L) {
  eval *e = check_eval(L);
  pl_failure why = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, luaL_optstring(L, 2, NULL));
  if (e->task != NULL) pl_task_cancel(e->task, &why);
  return 0;
}

static int eval_gc(lua_State *L) {
  luaL_unref(L, LUA_REGISTRYINDEX, check_eval(L)->results);
  return 0;
}

void testing_add_eval(lua_State *L) {
  static const luaL_Reg host_methods[] = {
      {"state", host_state},   {"reports", host_reports}, {"stop", host_stop},
      {"node", host_node},     {"memory", host_memory},   {"eval", host_eval},
      {"free", host_free},     {"reload", host_reload},   {"reloads", host_reloads},
      {"change", host_change}, {"hold", host_hold},       {NULL, NULL},
  };
  static const luaL_Reg eval_methods[] = {
      {"state", eval_state}, {"results", eval_results}, {"cancel", eval_cancel}, {NULL, NULL}};
  testing_new_class(L, HOST, host_methods, NULL);
  testing_new_class(L, EVAL, eval_methods, eval_gc);
}
