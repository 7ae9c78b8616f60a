// A stream as a script holds it: perilune.Stream, the handle that mesh.stream returns.
//
// It is opened by the first next or result, so that mesh.stream itself never waits and never fails
// for what the mesh answers. A consumer that finds items takes them without leaving its coroutine.

#include <lauxlib.h>

#include "base/mem.h"
#include "lua/bind_call.h"
#include "lua/error.h"
#include "lua/task.h"
#include "lua/value.h"

#define STREAM "perilune.Stream"

enum { NAME = 1, DEFAULTS, CHOICE, VALUES = 3 };  // user values; CHOICE keeps the policy

typedef struct stream {
  pl_call *call;     // NULL before it is opened, and once it is closed
  pl_op op;          // the consumer's wait
  pl_list in_scope;  // of the handler that opened it
  pl_parts args;     // kept until it is opened
  uint64_t deadline_us;
  int codec;
  pl_failure refusal;  // owned, while `refused`
  bool opened, closed, waiting;
  bool refused;  // it could not be opened: every question gets this answer
} stream;

static stream *check_stream(lua_State *L) {
  return luaL_checkudata(L, 1, STREAM);
}

static void release(stream *s) {
  pl_list_remove(&s->in_scope);
  pl_parts_drop(&s->args);
  if (s->call != NULL) pl_call_free(s->call, PL_CANCELLED);
  s->call = NULL;
  if (s->refused) pl_failure_drop(&s->refusal);
  s->refused = false;
  s->closed = true;
  if (s->waiting) {  // in another task: it is told
    s->waiting = false;
    pl_op_wake(&s->op);
  }
}

void pl_streams_close(pl_list *streams) {
  while (!pl_list_empty(streams))
    release(pl_container(streams->next, stream, in_scope));
}

// Also __gc and __close.
static int l_close(lua_State *L) {
  release(check_stream(L));
  return 0;
}

static void on_event(pl_call *c, void *user) {
  (void)c;
  stream *s = user;
  if (!s->waiting) return;
  s->waiting = false;
  pl_op_wake(&s->op);
}

static const pl_call_ops call_ops = {.on_items = on_event, .on_end = on_event};

static void open_call(lua_State *L, stream *s) {
  pl_node *n = pl_host_start(L);
  int top = lua_gettop(L);
  lua_getiuservalue(L, 1, DEFAULTS);
  lua_getiuservalue(L, 1, NAME);
  const pl_call_defaults *d = lua_touserdata(L, top + 1);
  pl_call_options o = {
      .stream = true,
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
  pl_call_fill(L, n, top + 1, &o, &id);
  lua_setiuservalue(L, 1, CHOICE);
  s->opened = true;
  pl_err err = pl_node_call(&s->call, n, &o, &s->args, &call_ops, s, &why);
  pl_parts_drop(&s->args);
  if (err != PL_OK) {
    s->refusal = pl_failure_keep(&why);
    s->refused = true;
  }
  lua_settop(L, top);
}

// Waiting.

static int step(lua_State *L);

static int wait_finish(lua_State *L, pl_op *op) {
  (void)op;
  return step(L);
}

static void wait_cancel(pl_op *op) {
  pl_container(op, stream, op)->waiting = false;
}

static const pl_op_type wait_type = {
    .name = "waiting for a stream", .finish = wait_finish, .cancel = wait_cancel};

// Reading.

// What is asked of the stream, at index 2 of the function that asks.
enum { EACH, NEXT, RESULT };

static int raise_failure(lua_State *L, const stream *s) {
  lua_getiuservalue(L, 1, NAME);
  return pl_call_raise(L, pl_call_failure(s->call), lua_gettop(L));
}

static int ended(lua_State *L, stream *s, int what) {
  if (pl_call_failure(s->call) != NULL) return raise_failure(L, s);
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

static int give(lua_State *L, stream *s, pl_bytes item, int what) {
  if (what == NEXT) {
    lua_pushboolean(L, 1);
    return 1 + pl_values_decode(L, (pl_codec)s->codec, item);
  }
  int first = lua_gettop(L) + 1;
  int n = pl_values_decode(L, (pl_codec)s->codec, item);
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

static int step(lua_State *L) {
  stream *s = lua_touserdata(L, 1);
  int what = (int)lua_tointeger(L, 2);
  if (s->closed) {
    if (what != EACH && what != NEXT) {
      return pl_raise_code(L, PL_CANCELLED, PL_UNKNOWN, "the stream was closed");
    }
    lua_pushboolean(L, 0);
    if (what == EACH) lua_pushnil(L);
    return 1;
  }
  if (!s->opened) open_call(L, s);
  if (s->refused) return pl_raise(L, &s->refusal);
  pl_bytes item;
  int more;
  while ((more = pl_call_next(s->call, &item)) == 1) {
    if (what != RESULT) return give(L, s, item, what);
  }
  if (more < 0) return ended(L, s, what);

  if (s->waiting) {
    return pl_raise_code(L, PL_INVALID, PL_NOT_SENT, "another task is reading this stream");
  }
  pl_op_check(L, &wait_type);
  s->op.type = &wait_type;
  s->waiting = true;
  pl_call_expect(s->call);
  return pl_op_wait(L, &s->op);
}

static int ask(lua_State *L, int what) {
  check_stream(L);
  lua_settop(L, 1);
  lua_pushinteger(L, what);
  return pl_host_joined(pl_host_of(L)) ? step(L) : pl_wait_joined(L, step);
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

static int l_later(lua_State *L) {
  return luaL_error(L, "sending into a stream is not available in this version");
}

static int l_tostring(lua_State *L) {
  const stream *s = check_stream(L);
  lua_getiuservalue(L, 1, NAME);
  lua_pushfstring(L, "%s %s (%s)", STREAM, lua_tostring(L, -1),
                  s->closed   ? "closed"
                  : s->opened ? "open"
                              : "not opened yet");
  return 1;
}

// Making.

int pl_stream_new(lua_State *L) {
  luaL_checkstring(L, 1);
  const pl_call_defaults *d = lua_touserdata(L, lua_upvalueindex(1));
  pl_node *n = pl_host_start(L);
  size_t len;
  const char *name = lua_tolstring(L, 1, &len);
  int codec = pl_node_codec(n, pl_bytes_of(name, len));
  pl_parts args, kept;
  pl_call_encode_args(L, n, codec, lua_gettop(L), &args);
  bool ok = pl_parts_keep(&kept, &args);
  pl_parts_drop(&args);
  if (!ok) return pl_raise_code(L, PL_NO_MEMORY, PL_NOT_SENT, "no memory for the arguments");

  stream *s = lua_newuserdatauv(L, sizeof *s, VALUES);
  *s = (stream){.args = kept, .codec = codec, .deadline_us = pl_call_deadline(L, n, d)};
  pl_list_init(&s->in_scope);
  luaL_setmetatable(L, STREAM);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, NAME);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_setiuservalue(L, -2, DEFAULTS);
  pl_list *scope = pl_handler_streams(L);
  if (scope != NULL) pl_list_push(scope, &s->in_scope);
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, -3);
  return 4;
}

static const luaL_Reg methods[] = {
    {"next", l_next},  {"result", l_result}, {"close", l_close},
    {"send", l_later}, {"finish", l_later},  {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__call", l_each},         {"__close", l_close}, {"__gc", l_close},
    {"__tostring", l_tostring}, {NULL, NULL},
};

void pl_stream_register(lua_State *L) {
  luaL_newmetatable(L, STREAM);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
