// `require('perilune.testing').flow`: the two halves of a circuit. Flows write on a session in
// virtual time whose other end keeps the frames; an intake takes frames as tables.

#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "peer/flow.h"
#include "service/intake.h"
#include "service/memory.h"
#include "spec/support/testing_base.h"

void testing_open_flow(lua_State *L);

#define WORLD "perilune.testing.FlowWorld"
#define FLOW "perilune.testing.Flow"
#define INTAKE "perilune.testing.Intake"

// Frames, as tables.

static void push_frame(lua_State *L, const pl_frame *f) {
  const struct {
    const char *name;
    lua_Integer value;
  } numbers[] = {{"type", f->type}, {"flags", f->flags}, {"aux", f->aux}, {"label", f->label}};
  lua_newtable(L);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    lua_pushinteger(L, numbers[i].value);
    lua_setfield(L, -2, numbers[i].name);
  }
  lua_pushlstring(L, (const char *)f->body.data, f->body.len);
  lua_setfield(L, -2, "body");
}

static lua_Integer number_field(lua_State *L, int index, const char *name) {
  lua_getfield(L, index, name);
  lua_Integer value = luaL_optinteger(L, -1, 0);
  lua_pop(L, 1);
  return value;
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

// flow:info() -> {idle, began, items, bytes, queued, empties}
static int flow_info(lua_State *L) {
  const pl_flow *f = check_flow(L);
  lua_newtable(L);
  lua_pushboolean(L, pl_flow_idle(f));
  lua_setfield(L, -2, "idle");
  lua_pushboolean(L, f->began);
  lua_setfield(L, -2, "began");
  lua_pushinteger(L, (lua_Integer)f->credit_items);
  lua_setfield(L, -2, "items");
  lua_pushinteger(L, (lua_Integer)f->credit_bytes);
  lua_setfield(L, -2, "bytes");
  lua_pushinteger(L, (lua_Integer)f->queued);
  lua_setfield(L, -2, "queued");
  lua_pushinteger(L, pl_container(f, flow, flow)->empties);
  lua_setfield(L, -2, "empties");
  return 1;
}

static int flow_close(lua_State *L) {
  flow *f = luaL_checkudata(L, 1, FLOW);
  if (f->open) pl_flow_fini(&f->flow);
  f->open = false;
  return 0;
}

// Intakes.

typedef struct intake {
  pl_intake in;
  bool open;
} intake;

#define WINDOWS "perilune.testing.Windows"

// flow.windows(budget)
static int new_windows(lua_State *L) {
  pl_windows *all = lua_newuserdatauv(L, sizeof *all, 0);
  *all = (pl_windows){.budget = (uint64_t)luaL_checkinteger(L, 1)};
  luaL_setmetatable(L, WINDOWS);
  return 1;
}

// windows:info([tight]) -> bytes promised, first window of the next stream
static int windows_info(lua_State *L) {
  pl_windows *all = luaL_checkudata(L, 1, WINDOWS);
  if (!lua_isnone(L, 2)) all->tight = lua_toboolean(L, 2);
  lua_pushinteger(L, (lua_Integer)all->promised);
  lua_pushinteger(L, (lua_Integer)pl_windows_first(all));
  return 2;
}

// flow.intake(items, bytes, item_max [, windows [, now]]); the times here are in microseconds.
static int new_intake(lua_State *L) {
  lua_settop(L, 5);
  pl_windows *all = luaL_testudata(L, 4, WINDOWS);
  intake *i = lua_newuserdatauv(L, sizeof *i, 1);
  lua_pushvalue(L, 4);
  lua_setiuservalue(L, -2, 1);
  pl_intake_init(&i->in, all, NULL, (uint64_t)luaL_checkinteger(L, 1),
                 (uint64_t)luaL_checkinteger(L, 2), (size_t)luaL_checkinteger(L, 3),
                 (uint64_t)luaL_optinteger(L, 5, 0));
  i->open = true;
  luaL_setmetatable(L, INTAKE);
  return 1;
}

static pl_intake *check_intake(lua_State *L) {
  intake *i = luaL_checkudata(L, 1, INTAKE);
  luaL_argcheck(L, i->open, 1, "closed");
  return &i->in;
}

// intake:frame{type=, flags=, aux=, body=, total=, expected=, now=} -> "nothing", "items", or
// "body", type, bytes; nil, error. The body is a view of a slab that is gone after `expected`
// frames are dropped.
static int intake_frame(lua_State *L) {
  pl_intake *in = check_intake(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  pl_frame f = {.type = (uint8_t)number_field(L, 2, "type"),
                .flags = (uint8_t)number_field(L, 2, "flags"),
                .aux = (uint16_t)number_field(L, 2, "aux"),
                .label = 1};
  uint64_t total = (uint64_t)number_field(L, 2, "total");
  uint64_t now = (uint64_t)number_field(L, 2, "now");
  lua_getfield(L, 2, "expected");
  bool expected = lua_toboolean(L, -1);
  lua_getfield(L, 2, "body");
  size_t len;
  const char *text = luaL_optlstring(L, -1, "", &len);
  pl_slice *slab = pl_slice_copy(text, len);
  f.body = (pl_bytes){.data = slab->data, .len = len, .owner = slab};
  pl_intake_event event;
  uint8_t type;
  pl_bytes body;
  pl_err err = pl_intake_frame(in, &f, total, expected, now, &event, &type, &body);
  pl_slice_drop(slab);
  if (err != PL_OK) return push_err(L, err);
  static const char *const names[] = {"nothing", "items", "body"};
  lua_pushstring(L, names[event]);
  if (event != PL_INTAKE_BODY) return 1;
  lua_pushinteger(L, type);
  lua_pushlstring(L, (const char *)body.data, body.len);
  pl_bytes_drop(&body);
  return 3;
}

static int intake_next(lua_State *L) {
  pl_bytes item;
  if (!pl_intake_next(check_intake(L), &item)) return 0;
  lua_pushlstring(L, (const char *)item.data, item.len);
  return 1;
}

// intake:grant([now]) -> items, bytes; nothing when none is due
static int intake_grant(lua_State *L) {
  uint64_t items, bytes;
  uint64_t now = (uint64_t)luaL_optinteger(L, 2, 0);
  if (!pl_intake_grant(check_intake(L), now, &items, &bytes)) return 0;
  lua_pushinteger(L, (lua_Integer)items);
  lua_pushinteger(L, (lua_Integer)bytes);
  return 2;
}

static int intake_settle(lua_State *L) {
  lua_pushboolean(L, pl_intake_settle(check_intake(L)));
  return 1;
}

// intake:info() -> items waiting, open items, open bytes, held bytes, whether it borrows
static int intake_info(lua_State *L) {
  const pl_intake *in = check_intake(L);
  lua_pushinteger(L, (lua_Integer)in->items);
  lua_pushinteger(L, (lua_Integer)in->open_items);
  lua_pushinteger(L, (lua_Integer)in->open_bytes);
  lua_pushinteger(L, (lua_Integer)in->held_bytes);
  lua_pushboolean(L, in->borrows);
  return 5;
}

// intake:window() -> items, bytes, round trip
static int intake_window(lua_State *L) {
  const pl_window *w = &check_intake(L)->window;
  lua_pushinteger(L, (lua_Integer)w->items);
  lua_pushinteger(L, (lua_Integer)w->bytes);
  lua_pushinteger(L, (lua_Integer)w->rtt_us);
  return 3;
}

static int intake_close(lua_State *L) {
  intake *i = luaL_checkudata(L, 1, INTAKE);
  if (i->open) pl_intake_fini(&i->in);
  i->open = false;
  return 0;
}

// flow.judge(limit, bytes, level before) -> level of what a node holds
static int judge(lua_State *L) {
  static const char *const names[] = {"fine", "tight", "full", "over", NULL};
  int before = luaL_checkoption(L, 3, NULL, names);
  pl_memory_level level =
      pl_memory_judge((uint64_t)luaL_checkinteger(L, 1), (uint64_t)luaL_checkinteger(L, 2),
                      (pl_memory_level)before);
  lua_pushstring(L, names[level]);
  return 1;
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
      {"close", flow_close},       {NULL, NULL},
  };
  static const luaL_Reg intake_methods[] = {
      {"frame", intake_frame},   {"next", intake_next}, {"grant", intake_grant},
      {"settle", intake_settle}, {"info", intake_info}, {"window", intake_window},
      {"close", intake_close},   {NULL, NULL},
  };
  static const luaL_Reg windows_methods[] = {{"info", windows_info}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"world", new_world}, {"intake", new_intake}, {"windows", new_windows},
      {"judge", judge},     {NULL, NULL},
  };
  testing_new_class(L, WORLD, world_methods, NULL);
  testing_new_class(L, FLOW, flow_methods, flow_close);
  testing_new_class(L, WINDOWS, windows_methods, NULL);
  testing_new_class(L, INTAKE, intake_methods, intake_close);
  luaL_newlib(L, functions);
}
