// The receiving half of a circuit, for `require('perilune.testing').flow`.

#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "service/intake.h"
#include "service/memory.h"
#include "spec/support/testing_base.h"

#define INTAKE "perilune.testing.Intake"
#define WINDOWS "perilune.testing.Windows"

static int push_err(lua_State *L, pl_err err) {
  lua_pushnil(L);
  lua_pushstring(L, pl_err_name(err));
  return 2;
}

static lua_Integer number_field(lua_State *L, int index, const char *name) {
  lua_getfield(L, index, name);
  lua_Integer value = luaL_optinteger(L, -1, 0);
  lua_pop(L, 1);
  return value;
}

typedef struct intake {
  pl_intake in;
  bool open;
} intake;

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

void testing_push_intake(lua_State *L) {
  static const luaL_Reg intake_methods[] = {
      {"frame", intake_frame},   {"next", intake_next}, {"grant", intake_grant},
      {"settle", intake_settle}, {"info", intake_info}, {"window", intake_window},
      {"close", intake_close},   {NULL, NULL},
  };
  static const luaL_Reg windows_methods[] = {{"info", windows_info}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"intake", new_intake}, {"windows", new_windows}, {"judge", judge}, {NULL, NULL}};
  testing_new_class(L, WINDOWS, windows_methods, NULL);
  testing_new_class(L, INTAKE, intake_methods, intake_close);
  luaL_newlib(L, functions);
}
