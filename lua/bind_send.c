// What a script sends into a stream: send, post, drain and finish.
//
// A sender is ahead of the receiver by a window and by what waits here, PL_SEND_HIGH at most with
// send, which parks then; post does not, and is refused past PL_SEND_MAX.

#include <lauxlib.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/stream.h"
#include "lua/value.h"

void pl_stream_on_credit(pl_call *c, void *user) {
  (void)c;
  pl_stream *s = user;
  if (!s->sending) return;
  s->sending = false;
  pl_op_wake(&s->sender);
}

// Whether the receiver still reads. Raises when it failed, unless only its result is waited for,
// which then says so.
static bool is_read(lua_State *L, pl_stream *s) {
  if (s->closed) return false;
  pl_stream_open(L, s);
  if (s->chunks && pl_call_ended(s->call) && pl_call_failure(s->call) != NULL)
    pl_stream_raise(L, s);
  return pl_call_takes_items(s->call);
}

static int answer(lua_State *L, bool yes) {
  lua_pushboolean(L, yes);
  return 1;
}

// Waiting.

static int wait_finish(lua_State *L, pl_op *op) {
  return answer(L, is_read(L, pl_container(op, pl_stream, sender)));
}

static void wait_cancel(pl_op *op) {
  pl_container(op, pl_stream, sender)->sending = false;
}

static const pl_op_type wait_type = {
    .name = "sending into a stream", .finish = wait_finish, .cancel = wait_cancel};

static void check_wait(lua_State *L, const pl_stream *s) {
  if (s->sending)
    pl_raise_code(L, PL_INVALID, PL_NOT_SENT, "another task is sending into this stream");
  pl_op_check(L, &wait_type);
}

static int wait(lua_State *L, pl_stream *s) {
  s->sender.type = &wait_type;
  s->sending = true;
  return pl_op_wait(L, &s->sender);
}

// Sending.

static pl_err send_values(lua_State *L, pl_stream *s, int top) {
  const pl_node *n = pl_host_start(L);
  pl_parts item;
  size_t max = (size_t)pl_node_options(n)->max_message;
  pl_values_pack(L, (pl_codec)s->codec, 2, top - 1, "chunk", max, &item);
  pl_err err = pl_call_send(s->call, &item);
  pl_parts_drop(&item);
  if (err == PL_TOO_LARGE)
    pl_raise_code(L, err, PL_NOT_SENT, "the chunk is larger than the other node takes");
  if (err == PL_NO_MEMORY) pl_raise_code(L, err, PL_NOT_SENT, "no memory for the chunk");
  return err;
}

static int send_now(lua_State *L) {
  pl_stream *s = lua_touserdata(L, 1);
  int top = lua_gettop(L);
  check_wait(L, s);
  if (!is_read(L, s)) return answer(L, false);
  pl_err err = send_values(L, s, top);
  return err == PL_BUSY ? wait(L, s) : answer(L, err == PL_OK);
}

static int post_now(lua_State *L) {
  pl_stream *s = lua_touserdata(L, 1);
  int top = lua_gettop(L);
  if (!is_read(L, s)) return answer(L, false);
  if (pl_call_unsent(s->call) > PL_SEND_MAX)
    return pl_raise_code(L, PL_BUSY, PL_NOT_SENT, "the receiver is too slow for what is posted");
  return answer(L, send_values(L, s, top) == PL_OK);
}

static int drain_now(lua_State *L) {
  pl_stream *s = lua_touserdata(L, 1);
  check_wait(L, s);
  if (!is_read(L, s)) return answer(L, s->finished && !s->closed);
  return pl_call_drained(s->call) ? answer(L, true) : wait(L, s);
}

static int finish_now(lua_State *L) {
  pl_stream *s = lua_touserdata(L, 1);
  s->finished = true;
  if (s->closed) return 0;
  pl_stream_begin(L, s);
  if (s->call != NULL) pl_call_finish(s->call);
  return 0;
}

static void check_unfinished(lua_State *L, const char *what) {
  const pl_stream *s = pl_stream_check(L);
  if (s->finished) luaL_error(L, "%s: the stream has been finished", what);
}

// send(...) -> true, or false: the receiver reads no more. Waits while it is slower.
static int l_send(lua_State *L) {
  check_unfinished(L, "send");
  return pl_stream_joined(L, send_now);
}

// post(...) -> true; false: much waits, drain before the next. Does not wait.
static int l_post(lua_State *L) {
  check_unfinished(L, "post");
  return pl_stream_joined(L, post_now);
}

// drain() -> true when little waits; false: the receiver reads no more.
static int l_drain(lua_State *L) {
  pl_stream_check(L);
  lua_settop(L, 1);
  return pl_stream_joined(L, drain_now);
}

// finish(): nothing more is sent.
static int l_finish(lua_State *L) {
  const pl_stream *s = pl_stream_check(L);
  if (s->finished || s->closed) return 0;
  lua_settop(L, 1);
  return pl_stream_joined(L, finish_now);
}

void pl_stream_add_sending(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"send", l_send}, {"post", l_post}, {"drain", l_drain}, {"finish", l_finish}, {NULL, NULL},
  };
  luaL_setfuncs(L, methods, 0);
}
