#include "lua/client/ask.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/error.h"
#include "lua/value.h"

// Signals. A handler in C can only note that one came; what it is to lead to, Lua finds out by its
// hooks, which run where Lua does.

static lua_State *main_thread(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *main = lua_tothread(L, -1);
  lua_pop(L, 1);
  return main;
}

static lua_Hook main_hook(lua_State *L) {
  return lua_gethook(main_thread(L));
}

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

static bool let_signals(lua_State *L, lua_Hook before) {
  lua_pushcfunction(L, nothing);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) return false;
  // That of the main thread does not run in a coroutine: it goes on there.
  lua_Hook now = main_hook(L);
  if (now == NULL || now == before) return true;
  const pl_failure f = pl_failure_of(PL_CANCELLED, PL_UNKNOWN, "interrupted");
  pl_error_push(L, &f);
  return false;
}

// Life.

pl_client *pl_ask_client(lua_State *L) {
  pl_client *c = *(pl_client **)lua_touserdata(L, lua_upvalueindex(1));
  if (c == NULL || c->node == NULL) pl_ask_raise_closed(L);
  return c;
}

int pl_ask_raise_closed(lua_State *L) {
  return pl_raise_code(L, PL_CLOSED, PL_NOT_SENT, "the client is closed");
}

// The client is held.
static void forget_call(pl_ask *a) {
  if (a->call == NULL) return;
  pl_call_free(a->call, PL_CANCELLED);
  a->call = NULL;
  pl_list_remove(&a->node);
}

void pl_ask_close(pl_ask *a) {
  a->closed = true;
  if (a->call != NULL) {
    pl_client_hold(a->client);
    forget_call(a);
    pl_client_flush(a->client);  // so that the cancel leaves
    pl_client_drop(a->client);
  }
  pl_buf_fini(&a->bytes);
  if (a->failed) pl_failure_drop(&a->failure);
  a->failed = false;
}

static int ask_gc(lua_State *L) {
  pl_ask_close(lua_touserdata(L, 1));
  return 0;
}

void pl_ask_register(lua_State *L) {
  luaL_newmetatable(L, PL_ASK);
  lua_pushcfunction(L, ask_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

// What the node knows of an action before it is asked.
typedef struct known {
  int codec;
  uint64_t timeout_us;
  double usual;
  size_t max;
} known;

static known look_up(pl_client *c, pl_bytes action) {
  pl_client_hold(c);
  const pl_options *o = pl_node_options(c->node);
  const known k = {
      .codec = pl_node_codec(c->node, action),
      .timeout_us = pl_node_timeout(c->node, action),
      .usual = o->request_timeout,
      .max = (size_t)o->max_message,
  };
  pl_client_drop(c);
  return k;
}

static uint64_t timeout_of(const pl_ask *a, const known *k) {
  double usual = !a->stream && k->timeout_us > 0 ? (double)k->timeout_us / 1e6 : k->usual;
  double timeout = isnan(a->wants->timeout) ? usual : a->wants->timeout;
  return timeout <= 0 ? PL_NEVER : (uint64_t)(timeout * 1e6);
}

pl_ask *pl_ask_push(lua_State *L, const char *type, bool stream) {
  if (lua_istable(L, 1)) {
    luaL_error(L,
               "the name of an action is expected, got a table; functions of a client are called "
               "with a dot");
  }
  size_t len;
  const char *action = luaL_checklstring(L, 1, &len);
  int top = lua_gettop(L);
  pl_client *c = pl_ask_client(L);
  const known k = look_up(c, pl_bytes_of(action, len));
  pl_ask *a = lua_newuserdatauv(L, sizeof *a, PL_ASK_VALUES);
  *a = (pl_ask){.client = c,
                .wants = lua_touserdata(L, lua_upvalueindex(2)),
                .action = pl_bytes_of(action, len),
                .codec = k.codec,
                .max = k.max,
                .stream = stream};
  a->timeout_us = timeout_of(a, &k);
  pl_list_init(&a->node);
  luaL_setmetatable(L, type);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, PL_ASK_ACTION);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setiuservalue(L, -2, PL_ASK_WANTS);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_setiuservalue(L, -2, PL_ASK_CLIENT);
  pl_values_encode(L, (pl_codec)a->codec, 2, top - 1, "args", a->max, &a->bytes);
  return a;
}

// Failing.

// The client is held, so that nobody else counts references of `f`.
static void keep_failure(pl_ask *a, const pl_failure *f) {
  pl_failure shown = *f;
  if (shown.action.len == 0) shown.action = a->action;
  a->failure = pl_failure_keep(&shown);
  a->failed = true;
}

int pl_ask_raise(lua_State *L, const pl_ask *a) {
  return pl_raise(L, &a->failure);
}

// Waiting.

bool pl_turn_until(lua_State *L, pl_client *c, pl_client_done *done, void *user,
                   uint64_t until_us) {
  lua_Hook before = main_hook(L);
  bool came = before != NULL;  // perhaps a signal did, since Lua ran last
  while (!done(user) && uv_hrtime() / 1000 < until_us) {
    if (!came && pl_client_turn(c, done, user, until_us)) continue;
    came = false;
    pl_client_drop(c);
    if (!let_signals(L, before)) return false;
    if (c->node == NULL) {
      const pl_failure f = pl_failure_of(PL_CLOSED, PL_UNKNOWN, "the client was closed");
      pl_error_push(L, &f);
      return false;
    }
    pl_client_hold(c);
  }
  return true;
}

static bool is_woken(void *user) {
  return ((pl_ask *)user)->woken;
}

void pl_ask_wait(lua_State *L, pl_ask *a) {
  if (pl_turn_until(L, a->client, is_woken, a, PL_NEVER)) return;
  pl_ask_close(a);
  lua_error(L);
}

// Opening.

static void wake(pl_call *c, void *user) {
  (void)c;
  ((pl_ask *)user)->woken = true;
}

static const pl_call_ops call_ops = {.on_items = wake, .on_credit = wake, .on_end = wake};

static uint64_t after_us(uint64_t us) {
  return us == PL_NEVER ? PL_NEVER : uv_hrtime() / 1000 + us;
}

static pl_err start(pl_ask *a, pl_failure *why, char *detail) {
  const pl_wants *w = a->wants;
  pl_id id;
  pl_call_options o = {
      .action = a->action,
      .meta = w->meta,
      .deadline_us = after_us(a->timeout_us),
      .idle_us = a->stream ? (uint64_t)(w->idle * 1e6) : 0,
      .stream = a->stream,
      .input = a->stream,
      .codec = a->codec,
      .priority = w->priority,
      .policy = &w->policy,
  };
  if (w->node_len > 0) {
    pl_err err = pl_node_find(a->client->node, w->node, w->node_len, &id, detail);
    *why = pl_failure_of(err, PL_NOT_SENT, detail);
    if (err != PL_OK) return err;
    o.node = &id;
  }
  const pl_parts args = pl_parts_of(pl_bytes_of(pl_buf_data(&a->bytes), pl_buf_len(&a->bytes)));
  return pl_node_call(&a->call, a->client->node, &o, &args, &call_ops, a, why);
}

static bool is_reached(void *user) {
  return pl_client_reaches(user);
}

static bool is_changed(void *user) {
  const pl_ask *a = user;
  return a->seen != a->client->changes;
}

// The client is held, and not after it raised.
static void raise_held(lua_State *L, pl_ask *a, const pl_failure *f) {
  keep_failure(a, f);
  pl_client_drop(a->client);
  pl_ask_raise(L, a);
}

static void wait_reached(lua_State *L, pl_ask *a) {
  pl_client *c = a->client;
  if (pl_client_reaches(c)) return;
  uint64_t patience_us = (uint64_t)(pl_node_options(c->node)->connect_timeout * 1e6);
  if (a->timeout_us < patience_us) patience_us = a->timeout_us;
  if (a->wants->wait > 0) patience_us = (uint64_t)(a->wants->wait * 1e6);
  if (!pl_turn_until(L, c, is_reached, c, after_us(patience_us))) lua_error(L);
  if (pl_client_reaches(c)) return;
  const pl_failure f =
      pl_failure_of(PL_CONNECT_FAILED, PL_NOT_SENT, "no node of the mesh is connected");
  raise_held(L, a, &f);
}

static void raise_absent(lua_State *L, pl_ask *a) {
  char text[PL_ERROR_TEXT_MAX];
  snprintf(text, sizeof text, "no node has offered '%.*s' within %g s", (int)a->action.len,
           (const char *)a->action.data, a->wants->wait);
  const pl_failure f = pl_failure_of(PL_TIMEOUT, PL_NOT_SENT, text);
  raise_held(L, a, &f);
}

void pl_ask_open(lua_State *L, pl_ask *a) {
  pl_client *c = a->client;
  if (a->failed) pl_ask_raise(L, a);
  if (c->node == NULL) pl_ask_raise_closed(L);
  pl_client_hold(c);
  if (a->opened) return;
  bool waits = a->wants->wait > 0;
  uint64_t until_us = after_us((uint64_t)(a->wants->wait * 1e6));
  wait_reached(L, a);
  for (;;) {
    pl_failure why;
    char detail[PL_URL_MAX];
    a->seen = c->changes;
    pl_err err = start(a, &why, detail);
    if (err == PL_OK) break;
    bool absent = err == PL_NOT_FOUND || err == PL_NO_ROUTE;
    if (!absent || !waits) raise_held(L, a, &why);
    if (uv_hrtime() / 1000 >= until_us) raise_absent(L, a);
    if (!pl_turn_until(L, c, is_changed, a, until_us)) lua_error(L);
  }
  a->opened = true;
  pl_list_push(&c->asks, &a->node);
  pl_buf_fini(&a->bytes);
}

// Ending.

bool pl_ask_take(pl_ask *a, pl_bytes bytes) {
  pl_buf_consume(&a->bytes, pl_buf_len(&a->bytes));
  if (pl_buf_append(&a->bytes, bytes.data, bytes.len)) return true;
  const pl_failure f = pl_failure_of(PL_NO_MEMORY, PL_EXECUTED, "no memory for what came");
  keep_failure(a, &f);
  forget_call(a);
  a->ended = true;
  return false;
}

void pl_ask_settle(pl_ask *a) {
  const pl_failure *f = pl_call_failure(a->call);
  if (f != NULL) {
    keep_failure(a, f);
  } else {
    a->codec = pl_call_codec(a->call);
    pl_ask_take(a, pl_call_result(a->call));
  }
  a->ended = true;
  forget_call(a);
}

int pl_ask_decode(lua_State *L, const pl_ask *a) {
  return pl_values_decode(L, (pl_codec)a->codec,
                          pl_bytes_of(pl_buf_data(&a->bytes), pl_buf_len(&a->bytes)));
}

void pl_asks_end(pl_client *c) {
  pl_client_hold(c);
  while (!pl_list_empty(&c->asks))
    forget_call(pl_container(c->asks.next, pl_ask, node));
  pl_client_drop(c);
}
