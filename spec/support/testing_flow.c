// `require('perilune.testing').flow`: the two halves of a circuit. Flows write on a session in
// virtual time whose other end keeps the frames; an intake takes frames as tables.

#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "peer/flow.h"
#include "spec/support/testing_base.h"

void testing_open_flow(lua_State *L);

#define WORLD "perilune.testing.FlowWorld"
#define FLOW "perilune.testing.Flow"

// Frames, as tables.

static void set_number(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static void push_frame(lua_State *L, const pl_frame *f) {
  lua_newtable(L);
  set_number(L, "type", f->type);
  set_number(L, "flags", f->flags);
  set_number(L, "aux", f->aux);
  set_number(L, "label", f->label);
  lua_pushlstring(L, (const char *)f->body.data, f->body.len);
  lua_setfield(L, -2, "body");
}

static int push_err(lua_State *L, pl_err err) {
  lua_pushnil(L);
  lua_pushstring(L, pl_err_name(err));
  return 2;
}

// The world: two sessions, the lanes of one.

typedef struct world {
  pl_loop *loop;  // NULL once freed
  lua_State *L;
  pl_identity identities[2];
  pl_session *sessions[2];  // sending, receiving; NULL when down
  pl_lanes lanes;
  uint64_t held;
  int frames;  // reference to the list of what arrived
} world;

static pl_err on_hello(pl_session *s, const pl_msg_hello *hello, const char **reason, void *user) {
  (void)s, (void)hello, (void)reason, (void)user;
  return PL_OK;
}

static void on_nothing(pl_session *s, void *user) {
  (void)s, (void)user;
}

static pl_err on_frame(pl_session *s, const pl_frame *f, void *user) {
  (void)s;
  world *w = user;
  lua_rawgeti(w->L, LUA_REGISTRYINDEX, w->frames);
  push_frame(w->L, f);
  lua_rawseti(w->L, -2, luaL_len(w->L, -2) + 1);
  lua_pop(w->L, 1);
  return PL_OK;
}

static void on_drained(pl_session *s, void *user) {
  world *w = user;
  if (s == w->sessions[0]) pl_lanes_drained(&w->lanes);
}

static void on_down(pl_session *s, pl_err why, const char *detail, const pl_msg_goodbye *goodbye,
                    void *user) {
  (void)why, (void)detail, (void)goodbye;
  world *w = user;
  w->sessions[s == w->sessions[0] ? 0 : 1] = NULL;
  pl_session_drop(s);
}

static const pl_session_ops session_ops = {
    .on_hello = on_hello,
    .on_up = on_nothing,
    .on_frame = on_frame,
    .on_drained = on_drained,
    .on_resumed = on_drained,
    .on_down = on_down,
};

static world *check_world(lua_State *L) {
  world *w = luaL_checkudata(L, 1, WORLD);
  luaL_argcheck(L, w->loop != NULL, 1, "freed");
  return w;
}

static int new_world(lua_State *L) {
  world *w = lua_newuserdatauv(L, sizeof *w, 0);
  memset(w, 0, sizeof *w);
  luaL_setmetatable(L, WORLD);
  w->L = L;
  pl_log *log = pl_log_new();
  pl_log_set_level(log, PL_LOG_OFF);
  w->loop = pl_loop_new_virtual(log, 1);
  lua_newtable(L);
  w->frames = luaL_ref(L, LUA_REGISTRYINDEX);
  pl_link *ends[2];
  pl_link_pair(&ends[0], &ends[1], w->loop);
  for (int i = 0; i < 2; i++) {
    w->identities[i] = (pl_identity){.epoch = 1,
                                     .message_max = 1 << 26,
                                     .handshake_timeout_us = 1000000,
                                     .heartbeat_us = 1000000000,
                                     .heartbeat_misses = 3};
    w->identities[i].id.bytes[0] = (uint8_t)(i + 1);
    w->sessions[i] = pl_session_open(w->loop, &w->identities[i], ends[i], i == 0, &session_ops, w);
  }
  pl_loop_advance(w->loop, 1000);
  pl_lanes_init(&w->lanes, w->loop, w->sessions[0], &w->held);
  return 1;
}

// world:turn(): everything that is under way arrives.
static int world_turn(lua_State *L) {
  world *w = check_world(L);
  w->L = L;
  pl_loop_advance(w->loop, 1);
  return 0;
}

// world:frames() -> the frames that arrived since
static int world_frames(lua_State *L) {
  world *w = check_world(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, w->frames);
  lua_newtable(L);
  lua_rawseti(L, LUA_REGISTRYINDEX, w->frames);
  return 1;
}

// world:up() -> whether the link is
static int world_up(lua_State *L) {
  const world *w = check_world(L);
  lua_pushboolean(L, w->sessions[0] != NULL && w->sessions[1] != NULL);
  return 1;
}

static int world_free(lua_State *L) {
  world *w = check_world(L);
  w->L = L;
  pl_lanes_fini(&w->lanes);
  for (int i = 0; i < 2; i++) {
    if (w->sessions[i] != NULL) pl_session_abort(w->sessions[i], PL_OK, "");
  }
  pl_loop_advance(w->loop, 1000);
  pl_loop_free(w->loop);
  w->loop = NULL;
  luaL_unref(L, LUA_REGISTRYINDEX, w->frames);
  return 0;
}

// Flows. The world lives in user value 1.

typedef struct flow {
  pl_flow flow;
  unsigned empties;
  unsigned lows;
  bool open;
} flow;

static void on_empty(pl_flow *f) {
  pl_container(f, flow, flow)->empties++;
}

// world:flow(label [, flags])
static int world_flow(lua_State *L) {
  world *w = check_world(L);
  uint32_t label = (uint32_t)luaL_checkinteger(L, 2);
  uint8_t flags = (uint8_t)luaL_optinteger(L, 3, 0);
  flow *f = lua_newuserdatauv(L, sizeof *f, 1);
  memset(f, 0, sizeof *f);
  luaL_setmetatable(L, FLOW);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  pl_flow_init(&f->flow, &w->lanes, label, flags);
  f->flow.on_empty = on_empty;
  f->open = true;
  return 1;
}

static pl_flow *check_flow(lua_State *L) {
  flow *f = luaL_checkudata(L, 1, FLOW);
  luaL_argcheck(L, f->open, 1, "closed");
  return &f->flow;
}

static pl_bytes check_bytes(lua_State *L, int arg) {
  size_t len;
  const char *text = luaL_optlstring(L, arg, "", &len);
  return pl_bytes_of(text, len);
}

// Bytes at `arg`, and behind them a tail that lies elsewhere, if there is one.
static pl_parts check_parts(lua_State *L, int arg) {
  pl_parts parts = pl_parts_of(check_bytes(L, arg));
  if (!lua_isnoneornil(L, arg + 1)) pl_bytes_copy(&parts.tail, check_bytes(L, arg + 1));
  return parts;
}

// flow:call(action, args [, tail]) -> written at once; likewise item(bytes [, tail]), result(bytes
// [, tail]), error(message), finish()
static int flow_call(lua_State *L) {
  pl_msg_call m = {.call_id = 1, .action = check_bytes(L, 2)};
  pl_parts parts = check_parts(L, 3);
  lua_pushboolean(L, pl_flow_call(check_flow(L), &m, &parts));
  pl_parts_drop(&parts);
  return 1;
}

static int flow_item(lua_State *L) {
  pl_parts parts = check_parts(L, 2);
  lua_pushboolean(L, pl_flow_item(check_flow(L), &parts));
  pl_parts_drop(&parts);
  return 1;
}

static int flow_result(lua_State *L) {
  pl_parts parts = check_parts(L, 2);
  lua_pushboolean(L, pl_flow_result(check_flow(L), &parts));
  pl_parts_drop(&parts);
  return 1;
}

// flow:finish([info]): END, or INFO
static int flow_finish(lua_State *L) {
  pl_flow *f = check_flow(L);
  lua_pushboolean(L, lua_isnone(L, 2) ? pl_flow_end(f) : pl_flow_info(f, check_bytes(L, 2)));
  return 1;
}

static int flow_drop(lua_State *L) {
  pl_flow_drop_items(check_flow(L));
  return 0;
}

// flow:move(other, item …) -> what the items that wait, and these, weigh on their way there
static int flow_move(lua_State *L) {
  pl_flow *f = check_flow(L);
  flow *other = luaL_checkudata(L, 2, FLOW);
  pl_unsent u;
  pl_unsent_init(&u);
  pl_unsent_take(&u, f);
  for (int i = 3; i <= lua_gettop(L); i++) {
    const pl_parts item = pl_parts_of(check_bytes(L, i));
    pl_unsent_add(&u, &item);
  }
  lua_pushinteger(L, (lua_Integer)u.waiting);
  pl_unsent_send(&u, &other->flow);
  pl_unsent_fini(&u);
  return 1;
}

static void on_low(pl_flow *f) {
  pl_container(f, flow, flow)->lows++;
}

// flow:watch(low): counts how often what waits falls to `low`.
static int flow_watch(lua_State *L) {
  pl_flow *f = check_flow(L);
  f->low = (size_t)luaL_checkinteger(L, 2);
  f->on_low = on_low;
  return 0;
}

static int flow_error(lua_State *L) {
  pl_failure f = pl_failure_of(PL_HANDLER_ERROR, PL_EXECUTED, luaL_checkstring(L, 2));
  lua_pushboolean(L, pl_flow_error(check_flow(L), &f));
  return 1;
}

static int flow_control(lua_State *L) {
  pl_flow_control(check_flow(L), (uint8_t)luaL_checkinteger(L, 2), check_bytes(L, 3));
  return 0;
}

// flow:grant(items, bytes) -> true, or nil and the error
static int flow_grant(lua_State *L) {
  pl_err err = pl_flow_grant(check_flow(L), (uint64_t)luaL_checkinteger(L, 2),
                             (uint64_t)luaL_checkinteger(L, 3));
  if (err != PL_OK) return push_err(L, err);
  lua_pushboolean(L, 1);
  return 1;
}

static int flow_withdraw(lua_State *L) {
  lua_pushboolean(L, pl_flow_withdraw(check_flow(L)));
  return 1;
}

// flow:info() -> {idle, began, items, bytes, queued, empties, lows, waiting}
static int flow_info(lua_State *L) {
  const pl_flow *f = check_flow(L);
  lua_newtable(L);
  lua_pushboolean(L, pl_flow_idle(f));
  lua_setfield(L, -2, "idle");
  lua_pushboolean(L, f->began);
  lua_setfield(L, -2, "began");
  set_number(L, "items", f->credit_items);
  set_number(L, "bytes", f->credit_bytes);
  set_number(L, "queued", f->queued);
  set_number(L, "empties", pl_container(f, flow, flow)->empties);
  set_number(L, "lows", pl_container(f, flow, flow)->lows);
  set_number(L, "waiting", pl_flow_waiting(f));
  return 1;
}

static int flow_close(lua_State *L) {
  flow *f = luaL_checkudata(L, 1, FLOW);
  if (f->open) pl_flow_fini(&f->flow);
  f->open = false;
  return 0;
}

void testing_open_flow(lua_State *L) {
  static const luaL_Reg world_methods[] = {
      {"turn", world_turn}, {"frames", world_frames}, {"flow", world_flow},
      {"up", world_up},     {"free", world_free},     {NULL, NULL},
  };
  static const luaL_Reg flow_methods[] = {
      {"call", flow_call},         {"item", flow_item},
      {"result", flow_result},     {"error", flow_error},
      {"control", flow_control},   {"grant", flow_grant},
      {"withdraw", flow_withdraw}, {"info", flow_info},
      {"close", flow_close},       {"finish", flow_finish},
      {"drop", flow_drop},         {"move", flow_move},
      {"watch", flow_watch},       {NULL, NULL},
  };
  testing_new_class(L, WORLD, world_methods, NULL);
  testing_new_class(L, FLOW, flow_methods, flow_close);
  testing_push_intake(L);
  lua_pushcfunction(L, new_world);
  lua_setfield(L, -2, "world");
}
