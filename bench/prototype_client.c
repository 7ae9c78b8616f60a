#include <lauxlib.h>

#include "prototype.h"
#include "values.h"

// Sends a request with the arguments of the running function. Returns its slot; raises when there
// is none, or an argument cannot travel.
static slot *send_request(lua_State *L, uint8_t kind) {
  vm *v = VM(L);
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  luaL_argcheck(L, len <= NAME_MAX_BYTES, 1, "too long");
  if (v->free_count == 0) luaL_error(L, "too many calls in flight");

  uint16_t id = v->free_slots[v->free_count - 1];
  batch *b = &v->peer->out;
  frame_mark m = frame_begin(b, kind, id);
  *batch_room(b, 1) = (uint8_t)len;
  b->len++;
  batch_copy(b, name, len);
  if (!values_encode(b, L, 2, v->anchors)) {
    frame_undo(b, m);
    luaL_error(L, "an argument cannot be encoded");
  }
  frame_end(b, m);

  v->free_count--;
  slot *s = &v->slots[id];
  *s = (slot){.is_stream = kind == FRAME_STREAM};
  return s;
}

static void free_slot(vm *v, slot *s) {
  v->free_slots[v->free_count++] = (uint16_t)(s - v->slots);
}

static int call_finished(lua_State *L, int status, lua_KContext context) {
  (void)status;
  slot *s = (slot *)context;
  return s->failed ? lua_error(L) : lua_gettop(L);
}

// mesh.call(name, ...)
static int mesh_call(lua_State *L) {
  slot *s = send_request(L, FRAME_CALL);
  s->waiting = L;
  lua_settop(L, 0);
  return lua_yieldk(L, 0, (lua_KContext)s, call_finished);
}

static int stream_arrived(lua_State *L, int status, lua_KContext context);

static int next_chunk(lua_State *L, slot *s) {
  frame f;
  if (!frame_next(&f, &s->at, s->end)) {
    s->waiting = L;
    return lua_yieldk(L, 0, (lua_KContext)s, stream_arrived);
  }
  if (f.kind == FRAME_CHUNK) {
    int count = values_decode(L, f.payload, f.len);
    return count >= 0 ? count : luaL_error(L, "malformed chunk");
  }
  free_slot(VM(L), s);
  if (f.kind == FRAME_FAIL)
    return luaL_error(L, "%s", lua_pushlstring(L, (const char *)f.payload, f.len));
  lua_pushnil(L);
  return 1;
}

static int stream_arrived(lua_State *L, int status, lua_KContext context) {
  (void)status;
  return next_chunk(L, (slot *)context);
}

static int stream_next(lua_State *L) {
  return next_chunk(L, lua_touserdata(L, lua_upvalueindex(1)));
}

// mesh.stream(name, ...) returns an iterator, to be called until it returns nil.
static int mesh_stream(lua_State *L) {
  slot *s = send_request(L, FRAME_STREAM);
  lua_pushlightuserdata(L, s);
  lua_pushcclosure(L, stream_next, 1);
  return 1;
}

static void on_reply(vm *v, slot *s, const frame *f) {
  lua_State *co = s->waiting;
  s->failed = f->kind == FRAME_FAIL;
  int narg = 1;
  if (s->failed) {
    lua_pushlstring(co, (const char *)f->payload, f->len);
  } else if ((narg = values_decode(co, f->payload, f->len)) < 0) {
    die("reply", "malformed values");
  }
  free_slot(v, s);
  vm_run_task(v, co, narg);
}

static slot *find_slot(vm *v, const frame *f) {
  bool known = f->id < IN_FLIGHT_MAX && v->slots[f->id].waiting != NULL;
  if (!known) die("frame", "for no call or stream that waits");
  return &v->slots[f->id];
}

// Hands all frames of one stream that follow each other to its reader at once: waking it costs more
// than a small chunk does. `*at` moves past them.
static void on_chunks(vm *v, slot *s, const frame *first, const uint8_t **at, const uint8_t *end) {
  s->at = first->payload - FRAME_HEADER;
  uint32_t credit[2] = {0, 0};
  frame f = *first;
  const uint8_t *after = *at;
  while (f.id == first->id) {
    *at = after;
    if (f.kind != FRAME_CHUNK) break;
    credit[0]++;
    if (!frame_next(&f, &after, end)) break;
  }
  bool ended = f.id == first->id && f.kind != FRAME_CHUNK;
  s->end = *at;
  credit[1] = (uint32_t)(s->end - s->at);
  vm_run_task(v, s->waiting, 0);
  if (ended) return;
  if (s->at < s->end) die("stream", "its reader waited for something else");
  frame_put(&v->peer->out, FRAME_CREDIT, first->id, credit, sizeof credit);
}

static size_t on_bytes(conn *c, const uint8_t *bytes, size_t len) {
  vm *v = c->user;
  const uint8_t *at = bytes, *end = bytes + len;
  frame f;
  while (frame_next(&f, &at, end)) {
    slot *s = find_slot(v, &f);
    if (s->is_stream) {
      on_chunks(v, s, &f, &at, end);
    } else {
      on_reply(v, s, &f);
    }
  }
  return (size_t)(at - bytes);
}

static void on_open(conn *c) {
  vm *v = c->user;
  v->peer = c;
  v->main = vm_take_coroutine(v);
  lua_xmove(v->L, v->main, 1);  // the script, loaded
  vm_run_task(v, v->main, 0);
}

static void on_close(conn *c) {
  vm *v = c->user;
  if (v->main != NULL) die("peer", "closed the connection");
}

static const conn_ops ops = {on_open, on_bytes, vm_on_flush, on_close};

void client_open(lua_State *L) {
  lua_pushcfunction(L, mesh_call);
  lua_setfield(L, -2, "call");
  lua_pushcfunction(L, mesh_stream);
  lua_setfield(L, -2, "stream");
}

int client_run(vm *v, const char *script, const char *url) {
  if (luaL_loadfile(v->L, script) != LUA_OK) die("script", lua_tostring(v->L, -1));
  conn_dial(v->loop, url, &ops, v);
  return uv_run(v->loop, UV_RUN_DEFAULT);
}
