// Sessions over a pair of memory links: two of them, or one whose other end is raw bytes.

#include <string.h>

#include "base/mem.h"
#include "peer/session.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_peer.h"

#define SESSION "perilune.testing.Session"
#define RAW "perilune.testing.RawLink"

// Both hold themselves in the registry until their link is gone, and live in user value 1.
typedef struct session {
  pl_session *session;  // one reference; NULL once down
  testing_world *world;
  pl_identity self;
  int fn;
  int box;
  bool defer;  // the next HELLO
} session;

typedef struct raw {
  pl_link *link;  // NULL after on_close
  testing_world *world;
  pl_buf received;
  int box;
} raw;

static pl_err on_hello(pl_session *p, const pl_msg_hello *hello, const char **reason, void *user) {
  session *s = user;
  lua_State *L = s->world->L;
  if (s->defer) pl_session_defer(p);
  if (!testing_begin_event(s->world, s->fn, "hello")) return PL_OK;
  testing_push_hello(L, hello);
  if (!testing_end_event(s->world, 1, 1)) return PL_OK;
  pl_err err = pl_err_find(luaL_optstring(L, -1, ""));
  lua_pop(L, 1);
  *reason = "refused by the spec";
  return err;
}

static void event(session *s, const char *name) {
  if (testing_begin_event(s->world, s->fn, name)) testing_end_event(s->world, 0, 0);
}

static void on_up(pl_session *p, void *user) {
  (void)p;
  event(user, "up");
}

static pl_err on_frame(pl_session *p, const pl_frame *f, void *user) {
  (void)p;
  session *s = user;
  lua_State *L = s->world->L;
  if (!testing_begin_event(s->world, s->fn, "frame")) return PL_OK;
  lua_pushinteger(L, f->type);
  lua_pushinteger(L, f->label);
  lua_pushlstring(L, (const char *)f->body.data, f->body.len);
  lua_pushboolean(L, f->body.owner != NULL);
  if (!testing_end_event(s->world, 4, 1)) return PL_OK;
  pl_err err = pl_err_find(luaL_optstring(L, -1, ""));
  lua_pop(L, 1);
  return err;
}

static void on_drained(pl_session *p, void *user) {
  (void)p;
  event(user, "drained");
}

static void on_resumed(pl_session *p, void *user) {
  (void)p;
  event(user, "resumed");
}

static void on_down(pl_session *p, pl_err why, const char *detail, const pl_msg_goodbye *goodbye,
                    void *user) {
  session *s = user;
  lua_State *L = s->world->L;
  if (testing_begin_event(s->world, s->fn, "down")) {
    testing_push_err(L, why);
    lua_pushstring(L, detail);
    testing_push_goodbye(L, goodbye);
    testing_end_event(s->world, 3, 0);
  }
  pl_session_drop(p);
  s->session = NULL;
  luaL_unref(L, LUA_REGISTRYINDEX, s->fn);
  luaL_unref(L, LUA_REGISTRYINDEX, s->box);
  s->fn = s->box = LUA_NOREF;
}

static const pl_session_ops session_ops = {
    .on_hello = on_hello,
    .on_up = on_up,
    .on_frame = on_frame,
    .on_drained = on_drained,
    .on_resumed = on_resumed,
    .on_down = on_down,
};

static session *push_session(lua_State *L, int identity, int fn) {
  session *s = lua_newuserdatauv(L, sizeof *s, 1);
  memset(s, 0, sizeof *s);
  s->world = lua_touserdata(L, 1);
  testing_check_identity(L, identity, &s->self);
  luaL_checktype(L, fn, LUA_TFUNCTION);
  luaL_setmetatable(L, SESSION);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, fn);
  s->fn = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushvalue(L, -1);
  s->box = luaL_ref(L, LUA_REGISTRYINDEX);
  return s;
}

static void open_session(session *s, pl_link *link, bool dialler) {
  s->session = pl_session_open(s->world->loop, &s->self, link, dialler, &session_ops, s);
}

// world:sessions(identity, fn, identity, fn) -> the dialling session, the other
int testing_new_session_pair(lua_State *L) {
  testing_world *w = testing_check_world(L, 1);
  session *a = push_session(L, 2, 3);
  session *b = push_session(L, 4, 5);
  pl_link *ends[2];
  pl_link_pair(&ends[0], &ends[1], w->loop);
  open_session(a, ends[0], true);
  open_session(b, ends[1], false);
  return 2;
}

static void raw_open(pl_link *l, void *user) {
  (void)l, (void)user;
}

static size_t raw_bytes(pl_link *l, pl_bytes bytes, void *user) {
  (void)l;
  raw *r = user;
  pl_buf_append(&r->received, bytes.data, bytes.len);
  return bytes.len;
}

static void raw_drained(pl_link *l, void *user) {
  (void)l, (void)user;
}

static void raw_close(pl_link *l, pl_err why, const char *detail, void *user) {
  (void)l, (void)why, (void)detail;
  raw *r = user;
  r->link = NULL;
  luaL_unref(r->world->L, LUA_REGISTRYINDEX, r->box);
  r->box = LUA_NOREF;
}

static const pl_link_ops raw_ops = {
    .on_open = raw_open,
    .on_bytes = raw_bytes,
    .on_drained = raw_drained,
    .on_close = raw_close,
};

static raw *push_raw(lua_State *L) {
  raw *r = lua_newuserdatauv(L, sizeof *r, 1);
  memset(r, 0, sizeof *r);
  r->world = lua_touserdata(L, 1);
  luaL_setmetatable(L, RAW);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, -1);
  r->box = luaL_ref(L, LUA_REGISTRYINDEX);
  return r;
}

// world:session(identity, fn, dialler) -> session, raw link
int testing_new_session(lua_State *L) {
  testing_world *w = testing_check_world(L, 1);
  bool dialler = lua_toboolean(L, 4);
  session *s = push_session(L, 2, 3);
  raw *r = push_raw(L);
  pl_link *link;
  pl_link_pair(&link, &r->link, w->loop);
  pl_link_start(r->link, &raw_ops, r);
  open_session(s, link, dialler);
  return 2;
}

// world:raw(url) -> raw link, that has dialled
int testing_dial_raw(lua_State *L) {
  testing_world *w = testing_check_world(L, 1);
  pl_url url;
  const char *why;
  if (pl_url_parse(&url, luaL_checkstring(L, 2), &why) != PL_OK) luaL_argerror(L, 2, why);
  raw *r = push_raw(L);
  pl_err err = pl_link_dial(&r->link, w->loop, &url, &raw_ops, r);
  return err == PL_OK ? 1 : luaL_error(L, "%s", pl_err_name(err));
}

static size_t deaf_bytes(pl_link *l, pl_bytes bytes, void *user) {
  (void)l, (void)user;
  return bytes.len;
}

static void deaf_close(pl_link *l, pl_err why, const char *detail, void *user) {
  (void)l, (void)why, (void)detail, (void)user;
}

static const pl_link_ops deaf_ops = {
    .on_open = raw_open,
    .on_bytes = deaf_bytes,
    .on_drained = raw_drained,
    .on_close = deaf_close,
};

static void deaf_accept(pl_listener *s, pl_link *l, void *user) {
  (void)s, (void)user;
  pl_link_start(l, &deaf_ops, NULL);
}

static const pl_listener_ops deaf_listener_ops = {.on_accept = deaf_accept};

static int deaf_stop(lua_State *L) {
  pl_listener_close(lua_touserdata(L, lua_upvalueindex(1)));
  return 0;
}

// world:deaf(url) -> a function that ends it: accepts, reads, and never says a word
int testing_listen_deaf(lua_State *L) {
  testing_world *w = testing_check_world(L, 1);
  pl_url url;
  const char *why;
  if (pl_url_parse(&url, luaL_checkstring(L, 2), &why) != PL_OK) luaL_argerror(L, 2, why);
  char detail[PL_URL_MAX];
  pl_listener *s;
  pl_err err = pl_listener_open(&s, w->loop, &url, &deaf_listener_ops, NULL, detail);
  if (err != PL_OK) return luaL_error(L, "%s", detail);
  lua_pushlightuserdata(L, s);
  lua_pushcclosure(L, deaf_stop, 1);
  return 1;
}

static session *check_session(lua_State *L) {
  session *s = luaL_checkudata(L, 1, SESSION);
  luaL_argcheck(L, s->session != NULL, 1, "down");
  return s;
}

// session:send(type, label, body [, head]): with a head in two parts
static int session_send(lua_State *L) {
  session *s = check_session(L);
  uint8_t type = (uint8_t)luaL_checkinteger(L, 2);
  uint32_t label = (uint32_t)luaL_checkinteger(L, 3);
  size_t len, head_len;
  const char *body = luaL_checklstring(L, 4, &len);
  const char *head = luaL_optlstring(L, 5, NULL, &head_len);
  pl_slice *slice = pl_slice_copy(body, len);
  pl_bytes view = {.data = slice->data, .len = len, .owner = slice};
  if (head == NULL) {
    pl_session_send(s->session, type, 0, 0, label, view);
  } else {
    pl_session_send_parts(s->session, type, 0, 0, label, pl_bytes_of(head, head_len), view);
  }
  pl_slice_drop(slice);
  return 0;
}

// session:put(type, label, body, max): in place
static int session_put(lua_State *L) {
  session *s = check_session(L);
  size_t len;
  const char *body = luaL_checklstring(L, 4, &len);
  uint8_t *to = pl_session_begin(s->session, (size_t)luaL_checkinteger(L, 5));
  memcpy(to, body, len);
  pl_session_finish(s->session, (uint8_t)luaL_checkinteger(L, 2), 0, 0,
                    (uint32_t)luaL_checkinteger(L, 3), to, len);
  return 0;
}

typedef struct pending_ping {
  testing_world *world;
  int fn;
} pending_ping;

static void on_pong(pl_err err, uint64_t rtt_us, void *user) {
  pending_ping *p = user;
  lua_State *L = p->world->L;
  lua_rawgeti(L, LUA_REGISTRYINDEX, p->fn);
  luaL_unref(L, LUA_REGISTRYINDEX, p->fn);
  testing_push_err(L, err);
  lua_pushinteger(L, (lua_Integer)rtt_us);
  testing_end_event(p->world, 1, 0);
  pl_free(p);
}

// session:ping(timeout_seconds, fn(err, rtt_us)) -> err
static int session_ping(lua_State *L) {
  session *s = check_session(L);
  pending_ping *p = pl_new(pending_ping);
  p->world = s->world;
  lua_pushvalue(L, 3);
  p->fn = luaL_ref(L, LUA_REGISTRYINDEX);
  uint64_t timeout_us = (uint64_t)(luaL_checknumber(L, 2) * 1e6);
  pl_err err = pl_session_ping(s->session, timeout_us, on_pong, p);
  if (err != PL_OK) {
    luaL_unref(L, LUA_REGISTRYINDEX, p->fn);
    pl_free(p);
  }
  testing_push_err(L, err);
  return 1;
}

// session:close([code, reason, allow_reconnect])
static int session_close(lua_State *L) {
  session *s = check_session(L);
  pl_err code = testing_check_err(L, 2);
  bool allow = lua_isnoneornil(L, 4) || lua_toboolean(L, 4);
  pl_session_close(s->session, code, luaL_optstring(L, 3, ""), allow);
  return 0;
}

static int session_abort(lua_State *L) {
  session *s = check_session(L);
  pl_session_abort(s->session, testing_check_err(L, 2), luaL_optstring(L, 3, ""));
  return 0;
}

static int session_defer(lua_State *L) {
  check_session(L)->defer = true;
  return 0;
}

static int session_accept(lua_State *L) {
  pl_session_accept(check_session(L)->session);
  return 0;
}

// "connecting", "greeting", "up", "suspended", "closing"; nil once down
static int session_state(lua_State *L) {
  static const char *const names[] = {"connecting", "greeting", "up", "suspended", "closing"};
  session *s = luaL_checkudata(L, 1, SESSION);
  if (s->session == NULL) return 0;
  lua_pushstring(L, names[pl_session_status(s->session)]);
  return 1;
}

static int session_info(lua_State *L) {
  pl_session *p = check_session(L)->session;
  lua_newtable(L);
  testing_push_id(L, pl_session_peer_id(p));
  lua_setfield(L, -2, "peer");
  testing_push_id(L, pl_session_nonce(p, true));
  lua_setfield(L, -2, "dialler_nonce");
  testing_push_id(L, pl_session_nonce(p, false));
  lua_setfield(L, -2, "other_nonce");
  lua_pushinteger(L, (lua_Integer)pl_session_rtt_us(p));
  lua_setfield(L, -2, "rtt_us");
  lua_pushinteger(L, (lua_Integer)pl_session_message_max(p));
  lua_setfield(L, -2, "message_max");
  lua_pushinteger(L, (lua_Integer)pl_session_body_window(p));
  lua_setfield(L, -2, "body_window");
  lua_pushinteger(L, (lua_Integer)pl_session_sent(p));
  lua_setfield(L, -2, "sent");
  lua_pushinteger(L, (lua_Integer)pl_session_backlog(p));
  lua_setfield(L, -2, "backlog");
  return 1;
}

static int session_gc(lua_State *L) {
  (void)L;  // alive until down, so nothing is left here
  return 0;
}

static raw *check_raw(lua_State *L) {
  return luaL_checkudata(L, 1, RAW);
}

static int raw_write(lua_State *L) {
  raw *r = check_raw(L);
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  if (r->link != NULL) pl_link_append(r->link, pl_bytes_of(text, len));
  return 0;
}

// Takes what was received so far.
static int raw_take(lua_State *L) {
  raw *r = check_raw(L);
  lua_pushlstring(L, (const char *)pl_buf_data(&r->received), pl_buf_len(&r->received));
  pl_buf_clear(&r->received);
  return 1;
}

static int raw_end(lua_State *L) {
  raw *r = check_raw(L);
  if (r->link != NULL) pl_link_close(r->link);
  return 0;
}

static int raw_is_open(lua_State *L) {
  lua_pushboolean(L, check_raw(L)->link != NULL);
  return 1;
}

static int raw_gc(lua_State *L) {
  pl_buf_fini(&check_raw(L)->received);
  return 0;
}

void testing_add_sessions(lua_State *L) {
  static const luaL_Reg session_methods[] = {
      {"send", session_send},     {"put", session_put},
      {"ping", session_ping},     {"close", session_close},
      {"abort", session_abort},   {"state", session_state},
      {"info", session_info},     {"defer", session_defer},
      {"accept", session_accept}, {NULL, NULL},
  };
  static const luaL_Reg raw_methods[] = {
      {"write", raw_write},     {"take", raw_take}, {"close", raw_end},
      {"is_open", raw_is_open}, {"free", raw_gc},   {NULL, NULL},
  };
  testing_new_class(L, SESSION, session_methods, session_gc);
  testing_new_class(L, RAW, raw_methods, raw_gc);
}
