// Calls of scripts: mesh.call, and the pairs of functions that mesh.with makes.
//
// A caller is a pair (call, stream) over the same defaults. Nothing leaves before the node has
// joined, so a call waits for that first.

#include "lua/bind_call.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "lua/bind_policy.h"
#include "lua/error.h"
#include "lua/pass.h"
#include "lua/sandbox.h"
#include "lua/task.h"
#include "lua/value.h"

const pl_trace *pl_call_outer(lua_State *L) {
  pl_task *t = pl_task_current(L);
  return t == NULL ? NULL : pl_task_trace(t);
}

uint64_t pl_call_deadline(lua_State *L, const pl_node *n, const pl_call_defaults *d,
                          uint64_t usual_us) {
  double usual = usual_us > 0 ? (double)usual_us / 1e6 : pl_node_options(n)->request_timeout;
  double timeout = isnan(d->timeout) ? usual : d->timeout;
  uint64_t own = timeout <= 0 ? PL_NEVER : pl_now_us(pl_node_loop(n)) + (uint64_t)(timeout * 1e6);
  pl_task *t = pl_task_current(L);
  uint64_t inherited = t == NULL ? PL_NEVER : pl_task_deadline(t);
  return inherited < own ? inherited : own;
}

pl_priority pl_call_priority(lua_State *L, const pl_call_defaults *d) {
  if (d->priority != 0) return d->priority;
  const pl_task *t = pl_task_current(L);
  return t == NULL ? PL_PRIORITY_NORMAL : (pl_priority)pl_task_priority(t);
}

void pl_call_fill(lua_State *L, pl_node *n, int index, pl_call_options *o, pl_id *id) {
  const pl_call_defaults *d = lua_touserdata(L, index);
  if (d->has_node) {
    char detail[PL_URL_MAX];
    pl_err err = pl_node_find(n, d->node, d->node_len, id, detail);
    if (err != PL_OK) pl_raise_code(L, err, PL_NOT_SENT, "%s", detail);
    o->node = id;
  }
  if (d->has_meta) {
    lua_getiuservalue(L, index, PL_DEFAULTS_META);
    o->meta.data = (const uint8_t *)lua_tolstring(L, -1, &o->meta.len);
    lua_pop(L, 1);  // the user value keeps the string alive
  }
  // What a monitor does stays hidden from monitors.
  bool hidden = o->outer != NULL && (o->outer->flags & PL_TRACE_QUIET) != 0;
  if (d->has_outer && !hidden) o->outer = &d->outer;
  o->policy = d->policy;
  if (!d->chooses) {
    lua_pushnil(L);
    return;
  }
  lua_getiuservalue(L, index, PL_DEFAULTS_CHOOSER);
  const pl_policy *chosen = pl_policy_ask(L, n, lua_gettop(L), o, d->policy);
  lua_replace(L, -2);
  if (chosen != NULL) o->policy = chosen;
}

void pl_call_encode_args(lua_State *L, const pl_node *n, int codec, int top, pl_parts *out) {
  size_t max = (size_t)pl_node_options(n)->max_message;
  pl_values_pack(L, (pl_codec)codec, 2, top - 1, "args", max, out);
}

int pl_call_raise(lua_State *L, const pl_failure *f, int action) {
  pl_failure shown = *f;
  if (shown.action.len == 0) {
    shown.action.data = (const uint8_t *)lua_tolstring(L, action, &shown.action.len);
  }
  return pl_raise(L, &shown);
}

// Waiting for the join.

typedef struct join_op {
  pl_op op;
  pl_watch watch;
  lua_CFunction then;  // goes on with the arguments that are still on the stack
} join_op;

static int join_finish(lua_State *L, pl_op *op) {
  join_op *j = pl_container(op, join_op, op);
  lua_CFunction then = j->then;
  pl_free(j);
  return then(L);
}

static void join_cancel(pl_op *op) {
  join_op *j = pl_container(op, join_op, op);
  pl_watch_cancel(&j->watch);
  pl_free(j);
}

static const pl_op_type join_type = {
    .name = "waiting for the mesh", .finish = join_finish, .cancel = join_cancel};

static void on_join(pl_watch *w) {
  pl_op_wake(&pl_container(w, join_op, watch)->op);
}

int pl_wait_joined(lua_State *L, lua_CFunction then) {
  pl_op_check(L, &join_type);
  join_op *j = pl_new(join_op);
  j->op.type = &join_type;
  j->then = then;
  pl_host_on_join(pl_host_of(L), &j->watch, on_join);
  return pl_op_wait(L, &j->op);
}

// Calls.

// In the space of its task.
typedef struct call_op {
  pl_op op;
  pl_call *call;
  pl_call_defaults *defaults;  // of the function that waits
} call_op;
_Static_assert(sizeof(call_op) <= PL_TASK_SPACE, "a call lives in the space of its task");

#define DEFAULTS "perilune.Caller"

static void forget_ended(pl_call_defaults *d) {
  if (d->ended != NULL) pl_call_free(d->ended, PL_CANCELLED);
  d->ended = NULL;
}

static int defaults_close(lua_State *L) {
  forget_ended(lua_touserdata(L, 1));
  return 0;
}

static int call_finish(lua_State *L, pl_op *op) {
  const call_op *wait = pl_container(op, call_op, op);
  pl_call *c = wait->call;
  // From here on the defaults own the call: what follows may raise. One that did is freed by the
  // next, or with them.
  pl_call_defaults *d = wait->defaults;
  forget_ended(d);
  d->ended = c;
  if (pl_call_failure(c) != NULL) return pl_call_raise(L, pl_call_failure(c), 1);
  int n = pl_values_take(L, (pl_codec)pl_call_codec(c), pl_call_result(c));
  forget_ended(d);
  return n;
}

static void call_cancel(pl_op *op) {
  pl_call_free(pl_container(op, call_op, op)->call, PL_CANCELLED);
}

static const pl_op_type call_type = {
    .name = "mesh.call", .finish = call_finish, .cancel = call_cancel};

static void on_call_end(pl_call *c, void *user) {
  (void)c;
  pl_op_wake(&((call_op *)user)->op);
}

static const pl_call_ops call_ops = {.on_end = on_call_end};

// Streams among the arguments go with the call.
static void carry(lua_State *L, pl_call *c) {
  pl_list carried;
  pl_list_init(&carried);
  pl_pass_commit(L, &carried);
  pl_call_carry(c, &carried);
}

static int call_now(lua_State *L) {
  pl_call_options o = {0};
  o.action.data = (const uint8_t *)luaL_checklstring(L, 1, &o.action.len);
  pl_sandbox_check_call(L, (const char *)o.action.data);
  pl_call_defaults *d = lua_touserdata(L, lua_upvalueindex(1));
  pl_node *n = pl_host_start(L);
  pl_id id;
  int top = lua_gettop(L);
  pl_op_check(L, &call_type);
  o.outer = pl_call_outer(L);
  if (d->special) pl_call_fill(L, n, lua_upvalueindex(1), &o, &id);
  o.deadline_us = pl_call_deadline(L, n, d, pl_node_timeout(n, o.action));
  o.priority = pl_call_priority(L, d);
  o.codec = pl_node_codec(n, o.action);
  o.within = pl_handler_request(L);
  pl_parts args;
  pl_call_encode_args(L, n, o.codec, top, &args);

  call_op *op = pl_op_space(L);
  *op = (call_op){.op = {.type = &call_type}, .defaults = d};
  pl_failure why;
  pl_err err = pl_node_call(&op->call, n, &o, &args, &call_ops, op, &why);
  pl_parts_drop(&args);
  if (err != PL_OK) return pl_raise(L, &why);
  if (*pl_vm_passing(pl_vm_of(L)) > 0) carry(L, op->call);
  return pl_op_wait(L, &op->op);
}

static int l_call(lua_State *L) {
  if (pl_host_joined(pl_host_of(L))) return call_now(L);
  luaL_checkstring(L, 1);
  pl_host_start(L);
  return pl_wait_joined(L, call_now);
}

// Callers.

static int explain_now(lua_State *L) {
  pl_call_options o = {0};
  o.action.data = (const uint8_t *)luaL_checklstring(L, 1, &o.action.len);
  pl_node *n = pl_host_start(L);
  pl_id id;
  int top = lua_gettop(L);
  pl_call_fill(L, n, lua_upvalueindex(1), &o, &id);
  pl_buf *scratch = pl_vm_scratch(pl_vm_of(L));
  size_t max = (size_t)pl_node_options(n)->max_message;
  pl_values_encode(L, (pl_codec)pl_node_codec(n, o.action), 2, top - 1, "args", max, scratch);
  const char *args = lua_pushlstring(L, (const char *)pl_buf_data(scratch), pl_buf_len(scratch));
  const pl_call_defaults *d = lua_touserdata(L, lua_upvalueindex(1));
  pl_policy_explain(L, n, &o, pl_bytes_of(args, pl_buf_len(scratch)), d->chooses);
  return 1;
}

// explain(name, …): what would come of the call.
static int l_explain(lua_State *L) {
  luaL_checkstring(L, 1);
  pl_host_start(L);
  return pl_host_joined(pl_host_of(L)) ? explain_now(L) : pl_wait_joined(L, explain_now);
}

// The defaults at the top from the arguments of l_caller.
static void read_policy(lua_State *L, pl_call_defaults *d) {
  int defaults = lua_gettop(L);
  if (!lua_isnil(L, 6)) {
    d->policy = pl_policy_new(L, 6);
    lua_setiuservalue(L, defaults, PL_DEFAULTS_POLICY);
  }
  if (!lua_isnil(L, 7)) {
    d->chooses = true;
    lua_pushvalue(L, 7);
    lua_setiuservalue(L, defaults, PL_DEFAULTS_CHOOSER);
  }
}

// caller([timeout [, node [, meta [, idle [, priority [, policy [, chooser]]]]]]]), each may be nil
// -> call, stream, explain, upload. The Lua side has checked the types, and leaves the policy
// alone.
static int l_caller(lua_State *L) {
  enum { IDLE = 60 };  // seconds: the longest gap of a stream unless told otherwise
  static const char *const priorities[] = {"", "high", "normal", "low", NULL};
  lua_settop(L, 7);
  pl_call_defaults *d = lua_newuserdatauv(L, sizeof *d, PL_DEFAULTS_VALUES);
  *d = (pl_call_defaults){.timeout = luaL_optnumber(L, 1, NAN), .idle = luaL_optnumber(L, 4, IDLE)};
  luaL_setmetatable(L, DEFAULTS);
  d->priority = (pl_priority)luaL_checkoption(L, 5, "", priorities);
  if (!lua_isnil(L, 2)) {
    const char *node = luaL_checklstring(L, 2, &d->node_len);
    luaL_argcheck(L, d->node_len <= PL_NAME_MAX, 2, "longer than 255 bytes");
    memcpy(d->node, node, d->node_len);
    d->has_node = true;
  }
  if (!lua_isnil(L, 3)) {
    pl_buf *scratch = pl_vm_scratch(pl_vm_of(L));
    pl_value_encode(L, PL_CODEC_MSGPACK, 3, "meta", PL_META_MAX, scratch);
    lua_pushlstring(L, (const char *)pl_buf_data(scratch), pl_buf_len(scratch));
    lua_setiuservalue(L, 8, PL_DEFAULTS_META);
    d->has_meta = true;
    size_t len;
    lua_pushliteral(L, "traceparent");
    const char *parent = lua_rawget(L, 3) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    d->has_outer = parent != NULL && pl_trace_parse(&d->outer, parent, len);
    lua_pop(L, 1);
  }
  read_policy(L, d);
  d->special = d->has_node || d->has_meta || d->policy != NULL || d->chooses;
  static const lua_CFunction functions[] = {l_call, pl_stream_new, l_explain, pl_upload_new};
  for (int i = 0; i < 4; i++) {
    lua_pushvalue(L, 8);
    lua_pushcclosure(L, functions[i], 1);
  }
  return 4;
}

int pl_open_call(lua_State *L) {
  luaL_newmetatable(L, DEFAULTS);
  lua_pushcfunction(L, defaults_close);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  pl_stream_register(L);
  lua_newtable(L);
  lua_pushcfunction(L, l_caller);
  lua_setfield(L, -2, "caller");
  return 1;
}
