// `require('perilune.testing').admission`: lines of requests, turns of priorities, pace.

#include <lauxlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/cost.h"
#include "service/line.h"
#include "service/pace.h"
#include "service/turns.h"
#include "spec/support/testing_base.h"

void testing_open_admission(lua_State *L);

#define LINE "perilune.testing.Line"
#define PACE "perilune.testing.Pace"
#define TURNS "perilune.testing.Turns"

// Lines. Who waits is a number; times are in microseconds.

enum { LINE_MAX_WAITERS = 4096 };

typedef struct line_box {
  pl_line line;
  pl_waiter waiters[LINE_MAX_WAITERS];  // that of number n is at n
} line_box;

static line_box *check_line(lua_State *L) {
  return luaL_checkudata(L, 1, LINE);
}

static pl_waiter *check_waiter(lua_State *L, line_box *b) {
  lua_Integer n = luaL_checkinteger(L, 2);
  luaL_argcheck(L, n > 0 && n < LINE_MAX_WAITERS, 2, "no number of one who waits");
  return &b->waiters[n];
}

static int push_waiter(lua_State *L, const line_box *b, const pl_waiter *w) {
  if (w == NULL) return 0;
  lua_pushinteger(L, w - b->waiters);
  return 1;
}

// line(kind)
static int new_line(lua_State *L) {
  static const char *const kinds[] = {"bounded", "unbounded", "promised", NULL};
  int kind = luaL_checkoption(L, 1, "bounded", kinds);
  line_box *b = lua_newuserdatauv(L, sizeof *b, 0);
  pl_line_init(&b->line, (pl_line_kind)kind);
  luaL_setmetatable(L, LINE);
  return 1;
}

// line:push(number, at [, awaited])
static int line_push(lua_State *L) {
  line_box *b = check_line(L);
  pl_waiter *w = check_waiter(L, b);
  w->awaited = lua_toboolean(L, 4);
  pl_line_push(&b->line, w, (uint64_t)luaL_checkinteger(L, 3));
  return 0;
}

// line:take(at) -> number
static int line_take(lua_State *L) {
  line_box *b = check_line(L);
  luaL_argcheck(L, b->line.count > 0, 1, "empty");
  return push_waiter(L, b, pl_line_take(&b->line, (uint64_t)luaL_checkinteger(L, 2)));
}

// line:remove(number)
static int line_remove(lua_State *L) {
  line_box *b = check_line(L);
  pl_line_remove(&b->line, check_waiter(L, b));
  return 0;
}

// line:overdue(at, patience) -> number, or nothing
static int line_overdue(lua_State *L) {
  const line_box *b = check_line(L);
  return push_waiter(L, b,
                     pl_line_overdue(&b->line, (uint64_t)luaL_checkinteger(L, 2),
                                     (uint64_t)luaL_checkinteger(L, 3)));
}

// line:last() -> number
static int line_last(lua_State *L) {
  const line_box *b = check_line(L);
  luaL_argcheck(L, b->line.count > 0, 1, "empty");
  return push_waiter(L, b, pl_line_last(&b->line));
}

// line:state() -> how many wait, whether it is overloaded
static int line_state(lua_State *L) {
  const line_box *b = check_line(L);
  lua_pushinteger(L, (lua_Integer)b->line.count);
  lua_pushboolean(L, b->line.surge.over);
  return 2;
}

// Turns. Ranks are 1 to 3, the highest first.

static pl_turns *check_turns(lua_State *L) {
  return luaL_checkudata(L, 1, TURNS);
}

static int new_turns(lua_State *L) {
  pl_turns *t = lua_newuserdatauv(L, sizeof *t, 0);
  *t = (pl_turns){{0}};
  luaL_setmetatable(L, TURNS);
  return 1;
}

// turns:step(high, normal, low) -> whose turn it is among those that are true; it takes it
static int turns_step(lua_State *L) {
  pl_turns *t = check_turns(L);
  unsigned present = 0;
  for (unsigned rank = 0; rank < PL_RANKS; rank++)
    present |= (unsigned)lua_toboolean(L, (int)rank + 2) << rank;
  luaL_argcheck(L, present != 0, 2, "nobody there");
  unsigned next = pl_turns_next(t, present);
  pl_turns_took(t, present, next);
  lua_pushinteger(L, next + 1);
  return 1;
}

// rank(priority)
static int rank(lua_State *L) {
  lua_pushinteger(L, pl_rank_of((uint64_t)luaL_checkinteger(L, 1)) + 1);
  return 1;
}

// cost({calls, microseconds, …} [, begun]) -> nanoseconds for each call: so many ended, or only
// began, then one was hit.
static int cost_of(lua_State *L) {
  pl_cost c = {0};
  void (*count)(pl_cost *) = lua_toboolean(L, 2) ? pl_cost_begun : pl_cost_ended;
  lua_Integer n = luaL_len(L, 1);
  for (lua_Integer i = 1; i < n; i += 2) {
    lua_geti(L, 1, i);
    lua_geti(L, 1, i + 1);
    for (lua_Integer calls = lua_tointeger(L, -2); calls > 0; calls--)
      count(&c);
    pl_cost_hit(&c, (uint64_t)lua_tointeger(L, -1));
    lua_pop(L, 2);
  }
  lua_pushinteger(L, (lua_Integer)c.ns);
  return 1;
}

// Pace.

static int new_pace(lua_State *L) {
  pl_pace *p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = (pl_pace){0};
  luaL_setmetatable(L, PACE);
  return 1;
}

// pace:ended(at, took, waiting)
static int pace_ended(lua_State *L) {
  pl_pace_ended(luaL_checkudata(L, 1, PACE), (uint64_t)luaL_checkinteger(L, 2),
                (uint64_t)luaL_checkinteger(L, 3), (size_t)luaL_checkinteger(L, 4));
  return 0;
}

// pace:wait(running, waiting) -> microseconds
static int pace_wait(lua_State *L) {
  const pl_pace *p = luaL_checkudata(L, 1, PACE);
  lua_pushinteger(L, (lua_Integer)pl_pace_wait_us(p, (size_t)luaL_checkinteger(L, 2),
                                                  (size_t)luaL_checkinteger(L, 3)));
  return 1;
}

void testing_open_admission(lua_State *L) {
  static const luaL_Reg line_methods[] = {
      {"push", line_push},
      {"take", line_take},
      {"remove", line_remove},
      {"overdue", line_overdue},
      {"last", line_last},
      {"state", line_state},
      {NULL, NULL},
  };
  static const luaL_Reg turns_methods[] = {{"step", turns_step}, {NULL, NULL}};
  static const luaL_Reg pace_methods[] = {{"ended", pace_ended}, {"wait", pace_wait}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"cost", cost_of},  {"line", new_line}, {"turns", new_turns},
                                       {"pace", new_pace}, {"rank", rank},     {NULL, NULL}};
  testing_new_class(L, LINE, line_methods, NULL);
  testing_new_class(L, TURNS, turns_methods, NULL);
  testing_new_class(L, PACE, pace_methods, NULL);
  luaL_newlib(L, functions);
  lua_pushinteger(L, PL_QUEUE_INTERVAL_US);
  lua_setfield(L, -2, "INTERVAL");
  lua_pushinteger(L, PL_QUEUE_TURNS);
  lua_setfield(L, -2, "TURNS");
}
