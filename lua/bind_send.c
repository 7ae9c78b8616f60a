// What a script sends into a stream: send, post, drain, feed and finish.
//
// A sender is ahead of the receiver by a window. Before there is one, PL_SEND_HIGH may wait here;
// then send parks until what it has given is written. post does not, and is refused past
// PL_SEND_MAX.

#include <lauxlib.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/pass.h"
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
  pl_stream_check_own(L, s);
  pl_stream_check_left(L, s);
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

static int wait(lua_State *L, pl_stream *s, const pl_op_type *type) {
  s->sender.type = type;
  s->sending = true;
  return pl_op_wait(L, &s->sender);
}

// Sending.

// Streams among what was sent go with it.
static void commit(lua_State *L, const pl_stream *s) {
  pl_list carried;
  pl_list_init(&carried);
  pl_pass_commit(L, &carried);
  pl_call_carry(s->call, &carried);
}

typedef pl_err give_fn(pl_call *c, const pl_parts *item);

// The values from index `first` to `top` are one chunk.
static pl_err give_values(lua_State *L, const pl_stream *s, give_fn *give, int first, int top) {
  const pl_node *n = pl_host_start(L);
  pl_parts item;
  size_t max = (size_t)pl_node_options(n)->max_message;
  pl_values_pack(L, (pl_codec)s->codec, first, top - first + 1, "chunk", max, &item);
  pl_err err = give(s->call, &item);
  pl_parts_drop(&item);
  if (err == PL_OK || err == PL_BUSY) commit(L, s);
  if (err == PL_TOO_LARGE)
    pl_raise_code(L, err, PL_NOT_SENT, "the chunk is larger than the other node takes");
  if (err == PL_NO_MEMORY) pl_raise_code(L, err, PL_NOT_SENT, "no memory for the chunk");
  pl_task_passed(L);
  return err;
}

static int send_now(lua_State *L) {
  pl_stream *s = lua_touserdata(L, 1);
  int top = lua_gettop(L);
  check_wait(L, s);
  if (pl_task_had_turn(L)) return pl_task_let_others(L, send_now);
  if (!is_read(L, s)) return answer(L, false);
  pl_err err = give_values(L, s, pl_call_send, 2, top);
  return err == PL_BUSY ? wait(L, s, &wait_type) : answer(L, err == PL_OK);
}

static int post_now(lua_State *L) {
  pl_stream *s = lua_touserdata(L, 1);
  int top = lua_gettop(L);
  if (!is_read(L, s)) return answer(L, false);
  if (pl_call_unsent(s->call) > PL_SEND_MAX)
    return pl_raise_code(L, PL_BUSY, PL_NOT_SENT, "the receiver is too slow for what is posted");
  return answer(L, give_values(L, s, pl_call_post, 2, top) == PL_OK);
}

static int drain_now(lua_State *L) {
  pl_stream *s = lua_touserdata(L, 1);
  check_wait(L, s);
  if (pl_task_had_turn(L)) return pl_task_let_others(L, drain_now);
  if (!is_read(L, s)) return answer(L, s->finished && !s->closed);
  return pl_call_drained(s->call) ? answer(L, true) : wait(L, s, &wait_type);
}

static int finish_now(lua_State *L) {
  pl_stream *s = lua_touserdata(L, 1);
  pl_stream_check_own(L, s);
  s->finished = true;
  if (s->closed) return 0;
  pl_stream_begin(L, s);
  if (s->call != NULL) pl_call_finish(s->call);
  return 0;
}

// Feeding: what an iterator gives is sent, without a step of the script between two of its values.

// Indices of feed: the stream at 1, then the values of a generic `for`.
enum { STEP = 2, STATE, CONTROL };

static int feed_on(lua_State *L);

static int feed_finish(lua_State *L, pl_op *op) {
  return is_read(L, pl_container(op, pl_stream, sender)) ? feed_on(L) : 0;
}

static const pl_op_type feed_type = {
    .name = "sending into a stream", .finish = feed_finish, .cancel = wait_cancel};

// Sends what the iterator has given, which is above CONTROL. False: that was the end, or it has to
// wait, and *n is what feed returns.
static bool feed_values(lua_State *L, int *n) {
  pl_stream *s = lua_touserdata(L, 1);
  int top = lua_gettop(L);
  *n = 0;
  if (top == CONTROL || lua_isnil(L, CONTROL + 1)) {
    lua_settop(L, 1);
    if (!s->finished) finish_now(L);
    return false;
  }
  check_wait(L, s);
  if (!is_read(L, s)) return false;
  pl_err err = give_values(L, s, pl_call_send, CONTROL + 1, top);
  lua_settop(L, CONTROL + 1);
  lua_replace(L, CONTROL);
  if (err == PL_BUSY) *n = wait(L, s, &feed_type);
  return err == PL_OK;
}

static int feed_given(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  int n;
  return feed_values(L, &n) ? feed_on(L) : n;
}

static int feed_on(lua_State *L) {
  int n;
  do {
    if (pl_task_had_turn(L)) return pl_task_let_others(L, feed_on);
    lua_pushvalue(L, STEP);
    lua_pushvalue(L, STATE);
    lua_pushvalue(L, CONTROL);
    lua_callk(L, 2, LUA_MULTRET, 0, feed_given);
  } while (feed_values(L, &n));
  return n;
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
  if (!s->passed && (s->finished || s->closed)) return 0;
  lua_settop(L, 1);
  return pl_stream_joined(L, finish_now);
}

// feed(step, state, control): sends what the iterator gives, and finishes behind it, unless the
// receiver reads no more.
static int l_feed(lua_State *L) {
  check_unfinished(L, "feed");
  lua_settop(L, CONTROL);
  return pl_stream_joined(L, feed_on);
}

void pl_stream_add_sending(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"send", l_send}, {"post", l_post},     {"drain", l_drain},
      {"feed", l_feed}, {"finish", l_finish}, {NULL, NULL},
  };
  luaL_setfuncs(L, methods, 0);
}
