#include <lauxlib.h>
#include <stdlib.h>

#include "prototype.h"
#include "values.h"

enum { ACTIONS_MAX = 16 };

typedef struct action {
  size_t name_len;
  char name[NAME_MAX_BYTES];
  int handler;  // reference in the registry
} action;

typedef struct stream {
  lua_State *co;         // NULL: there is no such stream
  int64_t items, bytes;  // credit; the last chunk may overdraw the bytes
  int narg;              // values on the stack of `co` for the next resume
} stream;

// One a connection.
typedef struct session {
  stream streams[IN_FLIGHT_MAX];  // by the client's id
} session;

static action actions[ACTIONS_MAX];
static size_t action_count;

// mesh.action(name, handler)
static int mesh_action(lua_State *L) {
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  luaL_argcheck(L, len <= NAME_MAX_BYTES, 1, "too long");
  luaL_argcheck(L, action_count < ACTIONS_MAX, 1, "too many actions");
  action *a = &actions[action_count];
  memcpy(a->name, name, len);
  a->name_len = len;
  lua_settop(L, 2);
  a->handler = luaL_ref(L, LUA_REGISTRYINDEX);
  action_count++;
  return 0;
}

static const action *find_action(const uint8_t *name, size_t len) {
  for (size_t i = 0; i < action_count; i++) {
    if (actions[i].name_len == len && memcmp(actions[i].name, name, len) == 0) return &actions[i];
  }
  return NULL;
}

static void put_failure(conn *c, uint32_t id, const char *message) {
  frame_put(&c->out, FRAME_FAIL, id, message, strlen(message));
}

// The values from index `first` to the top as one frame.
static void put_values(conn *c, uint8_t kind, uint32_t id, lua_State *co, int first) {
  frame_mark m = frame_begin(&c->out, kind, id);
  if (values_encode(&c->out, co, first, VM(co)->anchors)) {
    frame_end(&c->out, m);
  } else {
    frame_undo(&c->out, m);
    put_failure(c, id, "a result cannot be encoded");
  }
}

// Puts the handler and its arguments on a coroutine. Returns the number of arguments, or -1 after
// the request was refused.
static int prepare(conn *c, const frame *f, lua_State *co) {
  size_t name_len = f->len > 0 ? f->payload[0] : f->len;
  if (f->len < 1 + name_len) {
    put_failure(c, f->id, "malformed request");
    return -1;
  }
  const action *a = find_action(f->payload + 1, name_len);
  if (a == NULL) {
    put_failure(c, f->id, "no such action");
    return -1;
  }
  lua_rawgeti(co, LUA_REGISTRYINDEX, a->handler);
  int narg = values_decode(co, f->payload + 1 + name_len, f->len - 1 - name_len);
  if (narg < 0) put_failure(c, f->id, "malformed arguments");
  return narg;
}

static void on_call(vm *v, conn *c, const frame *f) {
  lua_State *co = vm_take_coroutine(v);
  int count, narg = prepare(c, f, co);
  if (narg < 0) {
    vm_give_coroutine(v, co);
    return;
  }
  int status = lua_resume(co, v->L, narg, &count);
  if (status == LUA_OK) {
    put_values(c, FRAME_REPLY, f->id, co, lua_gettop(co) - count + 1);
  } else if (status == LUA_YIELD) {
    put_failure(c, f->id, "the action streams");
  } else {
    put_failure(c, f->id, luaL_tolstring(co, -1, NULL));
  }
  vm_give_coroutine(v, co);
}

// Runs the handler as far as the credit goes.
static void produce(vm *v, conn *c, stream *s, uint32_t id) {
  while (s->items > 0 && s->bytes > 0) {
    int count, status = lua_resume(s->co, v->L, s->narg, &count);
    s->narg = 0;
    if (status != LUA_YIELD) {
      if (status == LUA_OK) {
        frame_put(&c->out, FRAME_END, id, NULL, 0);
      } else {
        put_failure(c, id, luaL_tolstring(s->co, -1, NULL));
      }
      vm_give_coroutine(v, s->co);
      s->co = NULL;
      return;
    }
    size_t before = batch_bytes(&c->out);
    put_values(c, FRAME_CHUNK, id, s->co, lua_gettop(s->co) - count + 1);
    lua_pop(s->co, count);
    s->items--;
    s->bytes -= (int64_t)(batch_bytes(&c->out) - before);
  }
}

static void on_stream(vm *v, conn *c, session *all, const frame *f) {
  if (f->id >= IN_FLIGHT_MAX || all->streams[f->id].co != NULL) {
    conn_close(c);
    return;
  }
  lua_State *co = vm_take_coroutine(v);
  int narg = prepare(c, f, co);
  if (narg < 0) {
    vm_give_coroutine(v, co);
    return;
  }
  stream *s = &all->streams[f->id];
  *s = (stream){co, WINDOW_ITEMS, WINDOW_BYTES, narg};
  produce(v, c, s, f->id);
}

static void on_credit(vm *v, conn *c, session *all, const frame *f) {
  if (f->id >= IN_FLIGHT_MAX || f->len != 8) {
    conn_close(c);
    return;
  }
  stream *s = &all->streams[f->id];
  if (s->co == NULL) return;  // it ended meanwhile
  s->items += load_u32(f->payload);
  s->bytes += load_u32(f->payload + 4);
  produce(v, c, s, f->id);
}

static size_t on_bytes(conn *c, const uint8_t *bytes, size_t len) {
  vm *v = c->user;
  const uint8_t *at = bytes, *end = bytes + len;
  frame f;
  while (frame_next(&f, &at, end)) {
    if (f.kind == FRAME_CALL) {
      on_call(v, c, &f);
    } else if (f.kind == FRAME_STREAM) {
      on_stream(v, c, c->state, &f);
    } else if (f.kind == FRAME_CREDIT) {
      on_credit(v, c, c->state, &f);
    } else {
      conn_close(c);
    }
  }
  return (size_t)(at - bytes);
}

static void on_open(conn *c) {
  c->state = calloc(1, sizeof(session));
  if (c->state == NULL) die("memory", "exhausted");
}

static void on_close(conn *c) {
  session *all = c->state;
  for (int i = 0; i < IN_FLIGHT_MAX; i++) {
    if (all->streams[i].co != NULL) vm_give_coroutine(c->user, all->streams[i].co);
  }
  free(all);
}

static const conn_ops ops = {on_open, on_bytes, vm_on_flush, on_close};

void server_open(lua_State *L) {
  lua_pushcfunction(L, mesh_action);
  lua_setfield(L, -2, "action");
}

int server_run(vm *v, const char *script, const char *url) {
  if (luaL_dofile(v->L, script) != LUA_OK) die("script", lua_tostring(v->L, -1));
  conn_listen(v->loop, url, &ops, v);
  return uv_run(v->loop, UV_RUN_DEFAULT);
}
