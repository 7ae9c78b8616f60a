#include "lua/pass.h"

#include <lauxlib.h>
#include <string.h>

#include "lua/bind_call.h"
#include "lua/error.h"
#include "lua/stream.h"
#include "lua/vm.h"
#include "wire/msgpack.h"

// The table of streams that have been written and not sent, in the registry.
static const char pending_key = 'p';

bool pl_pass_is_stream(lua_State *L, int index) {
  luaL_checkstack(L, 4, NULL);
  return luaL_testudata(L, index, PL_STREAM) != NULL;
}

// Writing.

// [-0, +1]
static void push_pending(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &pending_key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &pending_key);
}

void pl_pass_begin(lua_State *L) {
  unsigned *count = pl_vm_passing(pl_vm_of(L));
  if (*count == 0) return;
  luaL_checkstack(L, 4, NULL);
  push_pending(L);
  for (; *count > 0; --*count) {
    lua_rawgeti(L, -1, *count);
    pl_stream *s = lua_touserdata(L, -1);
    s->offered = false;
    lua_pushnil(L);
    lua_rawseti(L, -3, *count);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static void check(pl_encoder *e, const pl_stream *s) {
  if (!e->passes)
    pl_encode_fail(e, "is a stream, which only calls, chunks and results can pass on");
  if (s->passed) pl_encode_fail(e, "is a stream that was passed on already");
  if (s->offered) pl_encode_fail(e, "is a stream that is there twice");
  if (s->closed) pl_encode_fail(e, "is a stream that is closed");
  if (s->faulted) pl_encode_fail(e, "is a stream that has failed");
  if (s->reading || s->sending) pl_encode_fail(e, "is a stream that another task waits for");
}

static uint64_t idle_us_of(lua_State *L, int index) {
  lua_getiuservalue(L, index, PL_STREAM_DEFAULTS);
  const pl_call_defaults *d = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return d != NULL ? (uint64_t)(d->idle * 1e6) : 0;
}

// What was given to this script and not used is passed on as it came.
static void refer(lua_State *L, pl_stream *s, int index) {
  if (s->received && !s->opened) return;
  uint64_t idle_us = s->received ? s->reference.idle_ms * 1000 : idle_us_of(L, index);
  if (!pl_node_refer(pl_host_start(L), s->codec, idle_us, &s->reference))
    pl_raise_code(L, PL_BUSY, PL_NOT_SENT, "too many streams wait for whom they were passed to");
}

void pl_pass_encode(pl_encoder *e, int index) {
  lua_State *L = e->L;
  pl_stream *s = lua_touserdata(L, index);
  check(e, s);
  luaL_checkstack(L, 4, NULL);
  refer(L, s, index);
  pl_buf bytes = {0};
  if (pl_reference_put(&bytes, &s->reference) != PL_OK)
    pl_raise_code(L, PL_NO_MEMORY, PL_NOT_SENT, "no memory for a stream");
  uint8_t room[PL_REFERENCE_ROOM];
  size_t len = pl_buf_len(&bytes);
  memcpy(room, pl_buf_data(&bytes), len);
  pl_buf_fini(&bytes);

  uint8_t *p = pl_encode_room(e, len + PL_MP_TOKEN_MAX), *start = p;
  p = pl_mp_put_ext_head(p, PL_MP_EXT_STREAM, (uint32_t)len);
  memcpy(p, room, len);
  pl_buf_commit(e->out, (size_t)(p + len - start));

  unsigned *count = pl_vm_passing(pl_vm_of(L));
  push_pending(L);
  lua_pushvalue(L, index);
  lua_rawseti(L, -2, *count + 1);
  lua_pop(L, 1);
  s->offered = true;
  ++*count;
}

// Sent.

static int open_stream(lua_State *L) {
  pl_stream_begin(L, lua_touserdata(L, 1));
  return 0;
}

// What opening raises is for whom the stream is passed to.
static void make_ready(lua_State *L, pl_stream *s) {
  if (s->opened) return;
  lua_pushcfunction(L, open_stream);
  lua_pushvalue(L, -2);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return;
  s->refusal = pl_error_to_failure(L, lua_gettop(L), NULL, NULL);
  s->refused = true;
  lua_pop(L, 1);
}

// The stream at the top.
static void give_away(lua_State *L, pl_list *carried) {
  pl_stream *s = lua_touserdata(L, -1);
  pl_node *n = pl_host_start(L);
  if (s->received && !s->opened) {
    pl_node_pass_on(n, &s->reference, carried);
  } else {
    make_ready(L, s);
    pl_node_pass(n, &s->reference, s->call, &s->refusal, carried);
  }
  pl_stream_give_away(s);
}

void pl_pass_commit(lua_State *L, pl_list *carried) {
  unsigned *count = pl_vm_passing(pl_vm_of(L));
  unsigned n = *count;
  if (n == 0) return;
  *count = 0;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  push_pending(L);
  for (unsigned i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    give_away(L, carried);
    lua_pop(L, 1);
    lua_pushnil(L);
    lua_rawseti(L, -2, i);
  }
  lua_pop(L, 1);
}

// Reading.

bool pl_pass_push(lua_State *L, const void *bytes, size_t len) {
  luaL_checkstack(L, 8, NULL);
  bool known = luaL_getmetatable(L, PL_STREAM) == LUA_TTABLE;
  lua_pop(L, 1);
  pl_node *n = known && pl_vm_host(pl_vm_of(L)) != NULL ? pl_host_node(pl_host_of(L)) : NULL;
  if (n == NULL) return false;
  pl_reference r;
  if (pl_reference_get(&r, pl_bytes_of(bytes, len)) != PL_OK || r.codec > 1)
    pl_decode_fail(L, "the value holds a reference to a stream that is none");
  pl_stream_received(L, n, &r);
  return true;
}
