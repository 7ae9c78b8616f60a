#include "lua/client/stream.h"

#include <lauxlib.h>

#include "lua/client/ask.h"
#include "lua/client/buffer.h"
#include "lua/error.h"
#include "lua/value.h"

static pl_ask *check(lua_State *L) {
  return luaL_checkudata(L, 1, PL_ASK_STREAM);
}

// Also __gc and __close.
static int l_close(lua_State *L) {
  pl_ask_close(check(L));
  return 0;
}

// Reading.

// Takes the next chunk; false at the end. Raises when it failed.
static bool advance(lua_State *L, pl_ask *a) {
  if (a->ended) {
    if (a->failed) pl_ask_raise(L, a);
    return false;
  }
  pl_ask_open(L, a);
  for (;;) {
    pl_bytes item;
    a->woken = false;
    int more = pl_call_next(a->call, &item);
    bool taken = more > 0 && pl_ask_take(a, item);
    if (more < 0) pl_ask_settle(a);
    if (more != 0) {
      pl_client_drop(a->client);
      if (a->failed) pl_ask_raise(L, a);
      return taken;
    }
    pl_call_expect(a->call);
    pl_ask_wait(L, a);
  }
}

// A nil would end the loop.
static int l_each(lua_State *L) {
  pl_ask *a = check(L);
  lua_settop(L, 1);
  if (a->closed || !advance(L, a)) {
    lua_pushnil(L);
    return 1;
  }
  int n = pl_ask_decode(L, a);
  if (n > 0 && !lua_isnil(L, 2)) return n;
  pl_push_null(L);
  if (n == 0) return 1;
  lua_replace(L, 2);
  return n;
}

// next() -> true, values…; or false when it has ended
static int l_next(lua_State *L) {
  pl_ask *a = check(L);
  lua_settop(L, 1);
  bool there = !a->closed && advance(L, a);
  lua_pushboolean(L, there);
  return there ? 1 + pl_ask_decode(L, a) : 1;
}

// result() -> what the handler returned; the chunks that come before are dropped
static int l_result(lua_State *L) {
  pl_ask *a = check(L);
  lua_settop(L, 1);
  if (a->closed) return pl_raise_code(L, PL_CANCELLED, PL_UNKNOWN, "the stream was closed");
  while (advance(L, a)) {
  }
  return pl_ask_decode(L, a);
}

// Sending.

static int answer(lua_State *L, bool yes) {
  lua_pushboolean(L, yes);
  return 1;
}

// Whether the handler still reads; the client is held if so.
static bool is_read(lua_State *L, pl_ask *a) {
  if (a->closed || a->ended) {
    if (a->failed) pl_ask_raise(L, a);
    return false;
  }
  pl_ask_open(L, a);
  if (pl_call_takes_items(a->call)) return true;
  if (pl_call_ended(a->call) && pl_call_failure(a->call) != NULL) pl_ask_settle(a);
  pl_client_drop(a->client);
  if (a->failed) pl_ask_raise(L, a);
  return false;
}

// The values behind the stream as one chunk, in memory of the collector. [-0, +1]
static pl_bytes push_chunk(lua_State *L, const pl_ask *a, int top) {
  pl_buf *b = pl_buffer_push(L);
  pl_values_encode(L, (pl_codec)a->codec, 2, top - 1, "chunk", a->max, b);
  return pl_bytes_of(pl_buf_data(b), pl_buf_len(b));
}

// send(…) -> true; or false when the handler reads no more. Waits while it is slower.
static int l_send(lua_State *L) {
  pl_ask *a = check(L);
  const pl_parts item = pl_parts_of(push_chunk(L, a, lua_gettop(L)));
  if (!is_read(L, a)) return answer(L, false);
  a->woken = false;
  pl_err err = pl_call_send(a->call, &item);
  while (err == PL_BUSY && pl_call_takes_items(a->call) && !pl_call_drained(a->call)) {
    pl_ask_wait(L, a);
    a->woken = false;
  }
  pl_client_flush(a->client);
  pl_client_drop(a->client);
  if (err == PL_TOO_LARGE || err == PL_NO_MEMORY)
    return pl_raise_code(L, err, PL_NOT_SENT, "the chunk is larger than can be sent");
  return answer(L, err == PL_OK || err == PL_BUSY);
}

// finish(): no more is sent
static int l_finish(lua_State *L) {
  pl_ask *a = check(L);
  if (!is_read(L, a)) return 0;
  pl_call_finish(a->call);
  pl_client_flush(a->client);
  pl_client_drop(a->client);
  return 0;
}

// Making.

static int l_tostring(lua_State *L) {
  const pl_ask *a = check(L);
  lua_getiuservalue(L, 1, PL_ASK_ACTION);
  lua_pushfstring(L, "perilune stream %s (%s)", lua_tostring(L, -1),
                  a->closed   ? "closed"
                  : a->ended  ? "ended"
                  : a->opened ? "open"
                              : "not opened yet");
  return 1;
}

int pl_ask_stream(lua_State *L) {
  pl_ask_push(L, PL_ASK_STREAM, true);
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, -3);
  return 4;
}

void pl_ask_stream_register(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"next", l_next},     {"result", l_result}, {"send", l_send},
      {"finish", l_finish}, {"close", l_close},   {NULL, NULL},
  };
  static const luaL_Reg metamethods[] = {
      {"__call", l_each},         {"__close", l_close}, {"__gc", l_close},
      {"__tostring", l_tostring}, {NULL, NULL},
  };
  luaL_newmetatable(L, PL_ASK_STREAM);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
