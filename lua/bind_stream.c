// A stream as a script holds it: perilune.Stream, the handle that mesh.stream returns.
//
// It is opened by the first next or result, so that mesh.stream itself never waits and never fails
// for what the mesh answers. A consumer that finds items takes them without leaving its coroutine.

#include <lauxlib.h>
#include <math.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/pass.h"
#include "lua/sandbox.h"
#include "lua/stream.h"
#include "lua/value.h"

static void wake(pl_op *op, bool *waiting) {
  if (!*waiting) return;
  *waiting = false;
  pl_op_wake(op);
}

static void drop_call(pl_stream *s, pl_bytes reason) {
  pl_parts_drop(&s->args);
  if (s->call != NULL) pl_call_abort(s->call, PL_CANCELLED, reason);
  s->call = NULL;
  if (s->refused) pl_failure_drop(&s->refusal);
  s->refused = false;
  pl_carried_drop(&s->carried);
  if (s->received && !s->opened && !s->passed) {
    s->opened = true;
    pl_node_let_go(s->node, &s->reference);
  }
  wake(&s->reader, &s->reading);  // in other tasks: they are told
  wake(&s->sender, &s->sending);
}

static void release(pl_stream *s, pl_bytes reason) {
  pl_list_remove(&s->in_scope);
  s->closed = true;
  drop_call(s, reason);
}

void pl_stream_release(pl_stream *s) {
  release(s, (pl_bytes){0});
}

void pl_stream_give_away(pl_stream *s) {
  s->passed = true;
  s->offered = false;
  s->call = NULL;
  pl_stream_release(s);
}

void pl_stream_check_own(lua_State *L, const pl_stream *s) {
  if (!s->passed) return;
  pl_raise_code(L, PL_INVALID, PL_NOT_SENT,
                "this stream was passed on, and belongs to who received it");
}

void pl_streams_close(pl_list *streams) {
  while (!pl_list_empty(streams)) {
    pl_stream *s = pl_container(streams->next, pl_stream, in_scope);
    s->left = !s->exhausted;  // what was cut off must not look as if it had come to its end
    pl_stream_release(s);
  }
}

void pl_stream_check_left(lua_State *L, const pl_stream *s) {
  if (s->left)
    pl_raise_code(L, PL_CANCELLED, PL_UNKNOWN, "the stream ended with the handler that had it");
}

// Also __gc and __close.
static int l_close(lua_State *L) {
  pl_stream_release(pl_stream_check(L));
  return 0;
}

// abort(reason): the same, and the handler is told why.
static int l_abort(lua_State *L) {
  pl_stream *s = pl_stream_check(L);
  size_t len;
  const char *reason = luaL_checklstring(L, 2, &len);
  release(s, pl_bytes_of(reason, len));
  return 0;
}

// fail(error): breaks it off; who reads or sends from now on gets the error.
static int l_fail(lua_State *L) {
  pl_stream *s = pl_stream_check(L);
  luaL_checkany(L, 2);
  if (s->closed || s->faulted) return 0;
  lua_settop(L, 2);
  lua_setiuservalue(L, 1, PL_STREAM_FAULT);
  static const char reason[] = "what the caller sends has failed";
  s->faulted = true;
  drop_call(s, pl_bytes_of(reason, sizeof reason - 1));
  return 0;
}

static void on_items(pl_call *c, void *user) {
  (void)c;
  pl_stream *s = user;
  wake(&s->reader, &s->reading);
}

static void on_end(pl_call *c, void *user) {
  (void)c;
  pl_stream *s = user;
  wake(&s->reader, &s->reading);
  wake(&s->sender, &s->sending);
}

static const pl_call_ops call_ops = {
    .on_items = on_items, .on_credit = pl_stream_on_credit, .on_end = on_end};

// What prevents it is an answer, too.
static void opened(pl_stream *s, pl_err err, const pl_failure *why) {
  s->opened = true;
  pl_parts_drop(&s->args);
  if (err == PL_OK) {
    pl_call_carry(s->call, &s->carried);
    return;
  }
  pl_carried_drop(&s->carried);
  s->refusal = pl_failure_keep(why);
  s->refused = true;
}

// It has a deadline where it was made, and none of its own.
static void take(lua_State *L, pl_stream *s) {
  pl_task *t = pl_task_current(L);
  const pl_call_options o = {
      .stream = true,
      .input = true,
      .deadline_us = t == NULL ? PL_NEVER : pl_task_deadline(t),
      .idle_us = s->reference.idle_ms * 1000,
      .outer = pl_call_outer(L),
  };
  pl_failure why;
  opened(s, pl_node_take(&s->call, s->node, &s->reference, &o, &call_ops, s, &why), &why);
}

void pl_stream_begin(lua_State *L, pl_stream *s) {
  if (s->opened || s->faulted) return;
  if (s->received) {
    take(L, s);
    return;
  }
  pl_node *n = pl_host_start(L);
  int top = lua_gettop(L);
  lua_getiuservalue(L, 1, PL_STREAM_DEFAULTS);
  lua_getiuservalue(L, 1, PL_STREAM_NAME);
  const pl_call_defaults *d = lua_touserdata(L, top + 1);
  pl_call_options o = {
      .stream = s->chunks,
      .input = true,
      .whole = !s->chunks && d->timeout > 0,
      .deadline_us = s->deadline_us,
      .idle_us = (uint64_t)(d->idle * 1e6),
      .priority = pl_call_priority(L, d),
      .codec = s->codec,
      .outer = pl_call_outer(L),
      .within = pl_handler_request(L),
  };
  pl_id id;
  pl_failure why;
  o.action.data = (const uint8_t *)lua_tolstring(L, top + 2, &o.action.len);
  pl_sandbox_check_call(L, lua_tostring(L, top + 2));
  pl_call_fill(L, n, top + 1, &o, &id);
  lua_setiuservalue(L, 1, PL_STREAM_CHOICE);
  opened(s, pl_node_call(&s->call, n, &o, &s->args, &call_ops, s, &why), &why);
  lua_settop(L, top);
}

void pl_stream_open(lua_State *L, pl_stream *s) {
  if (s->faulted) {
    lua_getiuservalue(L, 1, PL_STREAM_FAULT);
    lua_error(L);
  }
  pl_stream_begin(L, s);
  if (s->refused) pl_raise(L, &s->refusal);
}

int pl_stream_raise(lua_State *L, const pl_stream *s) {
  lua_getiuservalue(L, 1, PL_STREAM_NAME);
  return pl_call_raise(L, pl_call_failure(s->call), lua_gettop(L));
}

int pl_stream_joined(lua_State *L, lua_CFunction then) {
  return pl_host_joined(pl_host_of(L)) ? then(L) : pl_wait_joined(L, then);
}

// Waiting.

static int step(lua_State *L);

static int wait_finish(lua_State *L, pl_op *op) {
  (void)op;
  return step(L);
}

static void wait_cancel(pl_op *op) {
  pl_container(op, pl_stream, reader)->reading = false;
}

static const pl_op_type wait_type = {
    .name = "waiting for a stream", .finish = wait_finish, .cancel = wait_cancel};

// Reading.

// What is asked of the stream, at index 2 of the function that asks.
enum { EACH, NEXT, RESULT, INFO };

static int ended(lua_State *L, pl_stream *s, int what) {
  s->exhausted = true;
  if (pl_call_failure(s->call) != NULL) return pl_stream_raise(L, s);
  if (what == RESULT) {
    return pl_values_decode(L, (pl_codec)s->codec, pl_call_result(s->call));
  }
  if (what == EACH) {
    lua_pushnil(L);
  } else {
    lua_pushboolean(L, 0);
  }
  return 1;
}

int pl_chunk_decode(lua_State *L, int codec, pl_bytes item) {
  int first = lua_gettop(L) + 1;
  int n = pl_values_take(L, (pl_codec)codec, item);
  if (n == 0 || lua_isnil(L, first)) {  // a nil would end the loop
    pl_push_null(L);
    if (n > 0) {
      lua_replace(L, first);
    } else {
      n = 1;
    }
  }
  return n;
}

static int give(lua_State *L, const pl_stream *s, pl_bytes item, int what) {
  if (what != NEXT) return pl_chunk_decode(L, s->codec, item);
  lua_pushboolean(L, 1);
  return 1 + pl_values_take(L, (pl_codec)s->codec, item);
}

static int wait(lua_State *L, pl_stream *s) {
  if (s->reading) {
    return pl_raise_code(L, PL_INVALID, PL_NOT_SENT, "another task is reading this stream");
  }
  pl_op_check(L, &wait_type);
  s->reader.type = &wait_type;
  s->reading = true;
  pl_call_expect(s->call);
  return pl_op_wait(L, &s->reader);
}

static int after_close(lua_State *L, const pl_stream *s, int what) {
  pl_stream_check_left(L, s);
  if (what == RESULT) return pl_raise_code(L, PL_CANCELLED, PL_UNKNOWN, "the stream was closed");
  if (what == NEXT) {
    lua_pushboolean(L, 0);
  } else {
    lua_pushnil(L);
  }
  return 1;
}

static int step_info(lua_State *L, pl_stream *s) {
  pl_bytes info;
  int there = pl_call_info(s->call, &info);
  if (there == 0) return wait(L, s);
  if (there > 0) return pl_values_decode(L, (pl_codec)s->codec, info);
  if (pl_call_failure(s->call) != NULL) return pl_stream_raise(L, s);
  lua_pushnil(L);
  return 1;
}

static int step(lua_State *L) {
  pl_stream *s = lua_touserdata(L, 1);
  int what = (int)lua_tointeger(L, 2);
  pl_stream_check_own(L, s);
  if (s->closed) return after_close(L, s, what);
  if (pl_task_had_turn(L)) return pl_task_let_others(L, step);
  pl_stream_open(L, s);
  if (what == INFO) return step_info(L, s);
  pl_bytes item;
  int more;
  while ((more = pl_call_next(s->call, &item)) == 1) {
    pl_task_passed(L);
    if (what != RESULT) return give(L, s, item, what);
  }
  if (more < 0) return ended(L, s, what);

  return wait(L, s);
}

static int ask(lua_State *L, int what) {
  pl_stream_check(L);
  lua_settop(L, 1);
  lua_pushinteger(L, what);
  return pl_stream_joined(L, step);
}

static int l_each(lua_State *L) {
  return ask(L, EACH);
}

static int l_next(lua_State *L) {
  return ask(L, NEXT);
}

static int l_result(lua_State *L) {
  return ask(L, RESULT);
}

// info() -> what the handler said with mesh.info before its first chunk; nil: nothing.
static int l_info(lua_State *L) {
  return ask(L, INFO);
}

static int l_tostring(lua_State *L) {
  const pl_stream *s = pl_stream_check(L);
  lua_getiuservalue(L, 1, PL_STREAM_NAME);
  lua_pushfstring(L, "%s %s (%s)", PL_STREAM, lua_tostring(L, -1),
                  s->passed   ? "passed on"
                  : s->closed ? "closed"
                  : s->opened ? "open"
                              : "not opened yet");
  return 1;
}

// Making.

// The handle at the top ends with the handler that runs, if one does.
static void enter_scope(lua_State *L, pl_stream *s) {
  pl_list_init(&s->in_scope);
  pl_list_init(&s->carried);
  luaL_setmetatable(L, PL_STREAM);
  pl_list *scope = pl_handler_streams(L);
  if (scope != NULL) pl_list_push(scope, &s->in_scope);
}

// False: streams among the arguments, for which nobody can come before the node has joined.
static bool new_stream(lua_State *L, bool chunks) {
  luaL_checkstring(L, 1);
  const pl_call_defaults *d = lua_touserdata(L, lua_upvalueindex(1));
  pl_node *n = pl_host_start(L);
  size_t len;
  const char *name = lua_tolstring(L, 1, &len);
  int codec = pl_node_codec(n, pl_bytes_of(name, len));
  pl_parts args, kept;
  pl_call_encode_args(L, n, codec, lua_gettop(L), &args);
  if (*pl_vm_passing(pl_vm_of(L)) > 0 && !pl_host_joined(pl_host_of(L))) {
    pl_parts_drop(&args);
    return false;
  }
  bool ok = pl_parts_keep(&kept, &args);
  pl_parts_drop(&args);
  if (!ok) pl_raise_code(L, PL_NO_MEMORY, PL_NOT_SENT, "no memory for the arguments");

  pl_stream *s = lua_newuserdatauv(L, sizeof *s, PL_STREAM_VALUES);
  *s = (pl_stream){
      .args = kept, .codec = codec, .chunks = chunks, .deadline_us = pl_call_deadline(L, n, d, 0)};
  enter_scope(L, s);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, PL_STREAM_NAME);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_setiuservalue(L, -2, PL_STREAM_DEFAULTS);
  pl_pass_commit(L, &s->carried);
  return true;
}

void pl_stream_received(lua_State *L, pl_node *n, const pl_reference *r) {
  pl_stream *s = lua_newuserdatauv(L, sizeof *s, PL_STREAM_VALUES);
  *s = (pl_stream){
      .reference = *r, .node = n, .codec = (int)r->codec, .chunks = true, .received = true};
  enter_scope(L, s);
  lua_pushliteral(L, "of another node");
  lua_setiuservalue(L, -2, PL_STREAM_NAME);
}

int pl_stream_new(lua_State *L) {
  if (!new_stream(L, true)) return pl_wait_joined(L, pl_stream_new);
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, -3);
  return 4;
}

int pl_upload_new(lua_State *L) {
  return new_stream(L, false) ? 1 : pl_wait_joined(L, pl_upload_new);
}

static const luaL_Reg methods[] = {
    {"next", l_next},   {"result", l_result}, {"info", l_info}, {"close", l_close},
    {"abort", l_abort}, {"fail", l_fail},     {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__call", l_each},         {"__close", l_close}, {"__gc", l_close},
    {"__tostring", l_tostring}, {NULL, NULL},
};

void pl_stream_register(lua_State *L) {
  luaL_newmetatable(L, PL_STREAM);
  pl_box_register(L, PL_BOX_STREAM);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  pl_stream_add_sending(L);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
