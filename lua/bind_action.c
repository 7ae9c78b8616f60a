// Actions: a request becomes a task that runs the handler; its yields are chunks, its return values
// the result.

#include "lua/bind_action.h"

#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/bind_call.h"
#include "lua/bind_input.h"
#include "lua/bind_task.h"
#include "lua/error.h"
#include "lua/pass.h"
#include "lua/script.h"
#include "lua/task.h"
#include "lua/value.h"

// One request that is being served, in the memory of its task.
typedef struct handling {
  pl_request *request;
  const pl_registration *action;
  pl_task *task;
  pl_op credit;     // the handler waits until it may emit more
  pl_list streams;  // that the handler opened
  pl_parts result;  // between the return and the end
  pl_input *input;  // NULL until it asks for it
  uint64_t began_us;
  int codec;
  bool waiting;
  bool returned;
  bool refused;   // the arguments are not what the action takes
  bool mismatch;  // they, or the results, are not what it says
} handling;
_Static_assert(sizeof(handling) <= PL_TASK_OWN, "a handling lives in its task");

// Waiting for credit.

static int credit_finish(lua_State *L, pl_op *op) {
  (void)L, (void)op;
  return 0;
}

static void credit_cancel(pl_op *op) {
  pl_container(op, handling, credit)->waiting = false;
}

static const pl_op_type credit_type = {
    .name = "emitting a chunk", .finish = credit_finish, .cancel = credit_cancel};

static void on_credit(pl_request *r) {
  handling *h = pl_request_user(r);
  if (!h->waiting) return;
  h->waiting = false;
  pl_op_wake(&h->credit);
}

static void on_items(pl_request *r) {
  const handling *h = pl_request_user(r);
  if (h->input != NULL) pl_input_wake(h->input);
}

// The handler's task.

// What the action says of these values must hold. Raises where it does not.
static void check(lua_State *L, handling *h, pl_schema_part part, int n) {
  if (h->action->schema == NULL || pl_schema_check(L, h->action->schema, part, n)) return;
  h->refused = part == PL_SCHEMA_PARAMS;
  h->mismatch = part != PL_SCHEMA_CHUNKS;  // that is an error of the handler, which may catch it
  lua_error(L);
}

static int begin(lua_State *L, void *user) {
  handling *h = user;
  lua_rawgeti(L, LUA_REGISTRYINDEX, h->action->handler);
  int n = pl_values_take(L, (pl_codec)h->codec, pl_request_args(h->request));
  check(L, h, PL_SCHEMA_PARAMS, n);
  pl_request_begun(h->request);
  return n;
}

static void encode(lua_State *L, const handling *h, int n, const char *root, pl_parts *out) {
  int first = lua_gettop(L) - n + 1;
  pl_values_pack(L, (pl_codec)h->codec, first, n, root, h->action->value_max, out);
}

// Streams among what was encoded go with it.
static void commit(lua_State *L, const handling *h) {
  if (*pl_vm_passing(pl_vm_of(L)) == 0) return;
  pl_list carried;
  pl_list_init(&carried);
  pl_pass_commit(L, &carried);
  pl_request_carry(h->request, &carried);
}

static void refuse_chunk(lua_State *L, handling *h, pl_err err) {
  pl_failure why = pl_failure_of(err, PL_EXECUTED, NULL);
  if (err == PL_STREAM_EXPECTED) pl_task_cancel(h->task, &why);
  pl_raise(L, &why);
}

static pl_step on_yield(lua_State *L, int n, pl_op **wait, void *user) {
  handling *h = user;
  check(L, h, PL_SCHEMA_CHUNKS, n);
  pl_parts item;
  encode(L, h, n, "chunk", &item);
  pl_err err = pl_request_chunk(h->request, &item);
  pl_parts_drop(&item);
  if (err == PL_OK || err == PL_BUSY) commit(L, h);
  if (err == PL_OK) return PL_STEP_GO;
  if (err != PL_BUSY) refuse_chunk(L, h, err == PL_CLOSED ? PL_CANCELLED : err);
  h->credit.type = &credit_type;
  h->waiting = true;
  *wait = &h->credit;
  return PL_STEP_WAIT;
}

// The result is not copied: nothing else of the VM is encoded before the end of the task, which is
// next.
static void on_return(lua_State *L, int n, void *user) {
  handling *h = user;
  check(L, h, PL_SCHEMA_RETURNS, n);
  encode(L, h, n, "result", &h->result);
  commit(L, h);
  h->returned = true;
}

// Context.

static void set_text(lua_State *L, const char *key, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, key);
}

static void set_id(lua_State *L, const char *key, const pl_id *id) {
  char hex[PL_ID_HEX];
  pl_id_format(id, hex);
  set_text(L, key, hex);
}

// The request as a table.
static void push_context(lua_State *L, void *user) {
  const handling *h = user;
  pl_request_info info;
  pl_request_info_get(h->request, &info);
  static const char *const priorities[] = {"", "high", "normal", "low"};
  lua_createtable(L, 0, 9);
  lua_pushlstring(L, (const char *)info.action.data, info.action.len);
  lua_setfield(L, -2, "action");
  lua_createtable(L, 0, 3);
  set_id(L, "id", &info.caller);
  set_text(L, "name", info.caller_name);
  if (info.identity.len > 0) {
    pl_value_decode(L, PL_CODEC_MSGPACK, info.identity);
    lua_setfield(L, -2, "identity");
  }
  lua_setfield(L, -2, "caller");
  uint64_t deadline_us = pl_request_deadline(h->request);
  if (deadline_us != PL_NEVER) {
    lua_pushnumber(L, (double)deadline_us / 1e6);
    lua_setfield(L, -2, "deadline");
  }
  if (info.meta.len > 0) {
    pl_value_decode(L, PL_CODEC_MSGPACK, info.meta);
  } else {
    lua_newtable(L);
  }
  lua_setfield(L, -2, "meta");
  lua_pushboolean(L, pl_request_is_stream(h->request));
  lua_setfield(L, -2, "stream");
  set_text(L, "priority", priorities[pl_request_priority(h->request)]);
  const pl_trace *trace = pl_request_trace(h->request);
  char call[PL_SPAN_HEX];
  set_id(L, "trace_id", &trace->id);
  pl_span_format(trace->span, call);
  set_text(L, "call", call);
}

// The end.

static void log_failure(const handling *h, const pl_failure *f, const char *name) {
  pl_log *log = pl_vm_loop(h->action->generation->vm)->log;
  const char *code = pl_err_name(f->code);
  char trace[PL_ID_HEX];
  pl_id_format(&pl_request_trace(h->request)->id, trace);
  pl_bytes shown = f->name.len > 0 ? f->name : pl_bytes_of(code, strlen(code));
  pl_log_warn(log, "handler failed", pl_f_text("action", name),
              pl_f_bytes("code", (const char *)shown.data, shown.len),
              pl_f_bytes("error", (const char *)f->message.data, f->message.len),
              pl_f_text("trace_id", trace),
              pl_f_bytes("traceback", (const char *)f->traceback.data, f->traceback.len));
}

// Not the handler's doing: nobody knows how far it came.
static bool is_broken_off(pl_err code) {
  return code == PL_TIMEOUT || code == PL_CANCELLED || code == PL_PEER_LOST;
}

// What says something of the handler: not a call that its caller broke off, nor a stream, which
// lasts as long as it likes.
static void count(const handling *h, pl_task_state state) {
  bool late = pl_request_is_late(h->request);
  if (pl_request_is_stream(h->request) || (state == PL_TASK_CANCELLED && !late)) return;
  pl_generation *g = h->action->generation;
  pl_conduct_count(&g->conduct, state != PL_TASK_DONE, pl_now_us(pl_vm_loop(g->vm)) - h->began_us);
}

static void on_end(pl_task *t, pl_task_state state, lua_State *L, int n, const char *traceback,
                   void *user) {
  (void)n;
  handling *h = user;
  if (pl_task_has_begun(t) && !h->refused) count(h, state);
  pl_request_set_user(h->request, NULL);
  if (h->input != NULL) pl_input_leave(h->input);
  if (pl_request_is_metered(h->request)) pl_request_spent(h->request, pl_task_cpu_us(t));
  if (state == PL_TASK_DONE && h->returned) {
    pl_request_end(h->request, &h->result, NULL);
  } else {
    pl_request_info info;
    pl_request_info_get(h->request, &info);
    char name[PL_NAME_MAX + 1];
    memcpy(name, info.action.data, info.action.len);
    name[info.action.len] = '\0';
    pl_failure f = pl_error_take(L, name, traceback);
    if (state == PL_TASK_FAILED && !h->refused) log_failure(h, &f, name);
    pl_failure shown = f;
    if (h->refused) shown.outcome = PL_NOT_EXECUTED;
    if (h->mismatch) shown.cause = (pl_bytes){0};  // that would be itself
    if (state == PL_TASK_CANCELLED && is_broken_off(f.code))
      shown.outcome = pl_task_has_begun(t) ? PL_UNKNOWN : PL_NOT_EXECUTED;
    shown.node = *pl_node_id(pl_host_node(pl_script_host(h->action->generation->script)));
    pl_request_end(h->request, NULL, &shown);
    pl_failure_drop(&f);
  }
  pl_streams_close(&h->streams);
  pl_parts_drop(&h->result);
  pl_task_drop(t);
}

static const pl_trace *trace_of(void *user) {
  handling *h = user;
  return pl_request_trace(h->request);
}

static bool is_late(void *user) {
  const handling *h = user;
  return pl_request_is_late(h->request);
}

static void about(void *user, pl_task_about *about) {
  const handling *h = user;
  pl_request_info info;
  pl_request_info_get(h->request, &info);
  *about = (pl_task_about){info.action, info.caller, info.caller_name};
}

static void on_cpu(uint64_t us, void *user) {
  const handling *h = user;
  pl_request_computed(h->request, us);
}

static const pl_task_type handler_type = {
    .name = "handler",
    .begin = begin,
    .on_yield = on_yield,
    .on_end = on_end,
    .on_return = on_return,
    .context = push_context,
    .is_late = is_late,
    .on_cpu = on_cpu,
    .trace = trace_of,
    .about = about,
};

// Requests.

static void refuse_request(pl_request *r, pl_err code, const char *message) {
  pl_failure f = pl_failure_of(code, PL_NOT_EXECUTED, message);
  pl_request_end(r, NULL, &f);
}

static void on_start(pl_request *r, void *user) {
  const pl_registration *a = user;
  pl_generation *g = a->generation;
  if (g == NULL || g->state == PL_GENERATION_CLOSING) {
    refuse_request(r, PL_DRAINING, "the script is closing");
    return;
  }
  pl_task *t = pl_task_start(g->vm, &handler_type, NULL, NULL);
  if (t == NULL) {
    refuse_request(r, PL_BUSY, "too many tasks run in the script");
    return;
  }
  handling *h = pl_task_user(t);
  *h = (handling){.request = r,
                  .action = a,
                  .task = t,
                  .codec = pl_request_codec(r),
                  .began_us = pl_now_us(pl_vm_loop(g->vm))};
  pl_list_init(&h->streams);
  pl_request_set_user(r, h);
  pl_task_set_topic(t, a->topic);
  pl_task_set_priority(t, pl_request_priority(r));
  if (!pl_request_is_stream(r) && !pl_request_has_input(r))
    pl_task_set_deadline(t, pl_request_deadline(r));
  if (a->cpu_limit_us > 0) pl_task_set_cpu_limit(t, a->cpu_limit_us);
  if (pl_request_is_metered(r)) pl_task_meter(t);
}

static void on_cancel(pl_request *r, const pl_failure *why) {
  handling *h = pl_request_user(r);
  if (h != NULL) pl_task_cancel(h->task, why);
}

static void on_deadline(pl_request *r) {
  handling *h = pl_request_user(r);
  if (h != NULL) pl_task_set_deadline(h->task, pl_request_deadline(r));
}

const pl_action_ops pl_registration_ops = {
    .on_start = on_start,
    .on_cancel = on_cancel,
    .on_credit = on_credit,
    .on_deadline = on_deadline,
    .on_items = on_items,
    .on_gone = pl_registration_gone,
};

static handling *current_handling(lua_State *L) {
  pl_task *t = pl_task_current(L);
  return t != NULL && pl_task_kind(t) == &handler_type ? pl_task_user(t) : NULL;
}

pl_request *pl_handler_request(lua_State *L) {
  const pl_task *t = pl_task_current(L);
  while (t != NULL && pl_task_kind(t) != &handler_type)
    t = pl_task_waiter(t);
  return t == NULL ? NULL : ((handling *)pl_task_user(t))->request;
}

pl_list *pl_handler_streams(lua_State *L) {
  handling *h = current_handling(L);
  return h == NULL ? NULL : &h->streams;
}

pl_input *pl_handler_input(lua_State *L) {
  handling *h = current_handling(L);
  if (h == NULL) return NULL;
  if (h->input == NULL) h->input = pl_input_new(h->request);
  return h->input;
}

// info(value): what the caller of the running handler finds out before the first chunk.
static int l_info(lua_State *L) {
  luaL_checkany(L, 1);
  handling *h = current_handling(L);
  if (h == NULL) return luaL_error(L, "mesh.info is only possible in the task of a handler");
  lua_settop(L, 1);
  pl_buf *scratch = pl_vm_scratch(pl_vm_of(L));
  pl_values_encode(L, (pl_codec)h->codec, 1, 1, "info", PL_INFO_MAX, scratch);
  pl_bytes info = pl_bytes_of(pl_buf_data(scratch), pl_buf_len(scratch));
  if (pl_request_tell_info(h->request, info) == PL_INVALID)
    return luaL_error(L, "mesh.info: once, before the first chunk");
  return 0;
}

// context() -> the table of the request that the task serves, or inherited; nil outside.
static int l_context(lua_State *L) {
  pl_task *t = pl_task_current(L);
  if (t == NULL) return 0;
  pl_task_push_context(L, t);
  return 1;
}

int pl_open_action(lua_State *L) {
  pl_input_register(L);
  static const luaL_Reg functions[] = {
      {"action", pl_register_action},
      {"remove", pl_remove_action},
      {"context", l_context},
      {"input", pl_input_open},
      {"info", l_info},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}
