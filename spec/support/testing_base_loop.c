// Clocks and loops for specs. Functions given as callbacks run inside C that must not be
// left by an error, so errors are kept and raised by the method that made C run.

#include <lauxlib.h>
#include <lua.h>

#include "base/loop.h"
#include "base/mem.h"
#include "spec/support/testing_base.h"

#define CLOCK "perilune.testing.Clock"
#define LOOP "perilune.testing.Loop"
#define TIMER "perilune.testing.Timer"
#define WORK "perilune.testing.Work"

// A clock of its own, or that of a loop; both NULL once freed.
typedef struct world {
  pl_clock *clock;
  pl_loop *loop;
  int error;  // reference to the first error of a callback, or LUA_NOREF
} world;

typedef struct timer {
  pl_timer timer;
  world *world;  // alive: user value 1
  lua_State *L;
  int fn;
} timer;

typedef struct work {
  pl_work work;
  world *world;  // alive: user value 1
  lua_State *L;
  int fn;
} work;

static world *check_world(lua_State *L) {
  world *w = luaL_testudata(L, 1, CLOCK);
  if (w == NULL) w = luaL_checkudata(L, 1, LOOP);
  luaL_argcheck(L, w->clock != NULL, 1, "freed");
  return w;
}

static world *check_loop(lua_State *L) {
  world *w = luaL_checkudata(L, 1, LOOP);
  luaL_argcheck(L, w->loop != NULL, 1, "freed");
  return w;
}

static uint64_t check_us(lua_State *L, int arg) {
  lua_Integer us = luaL_checkinteger(L, arg);
  return us < 0 ? PL_NEVER : (uint64_t)us;
}

static void call_back(world *w, lua_State *L, int fn) {
  luaL_checkstack(L, 4, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, fn);
  if (lua_pcall(L, 0, 0, 0) == LUA_OK) return;
  if (w->error == LUA_NOREF) {
    w->error = luaL_ref(L, LUA_REGISTRYINDEX);
  } else {
    lua_pop(L, 1);
  }
}

static void raise_kept(lua_State *L, world *w) {
  if (w->error == LUA_NOREF) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, w->error);
  luaL_unref(L, LUA_REGISTRYINDEX, w->error);
  w->error = LUA_NOREF;
  lua_error(L);
}

static lua_State *main_state(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *main = lua_tothread(L, -1);
  lua_pop(L, 1);
  return main;
}

static void on_fire(pl_timer *t) {
  timer *box = pl_container(t, timer, timer);
  call_back(box->world, box->L, box->fn);
}

// world:timer(fn)
static int new_timer(lua_State *L) {
  world *w = check_world(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  timer *t = lua_newuserdatauv(L, sizeof *t, 1);
  lua_pushvalue(L, 2);
  *t = (timer){.world = w, .L = main_state(L), .fn = luaL_ref(L, LUA_REGISTRYINDEX)};
  luaL_setmetatable(L, TIMER);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

static int timer_start(lua_State *L) {
  timer *t = luaL_checkudata(L, 1, TIMER);
  luaL_argcheck(L, t->world->clock != NULL, 1, "its clock is gone");
  pl_timer_start(t->world->clock, &t->timer, check_us(L, 2), on_fire);
  lua_settop(L, 1);
  return 1;
}

static int timer_stop(lua_State *L) {
  timer *t = luaL_checkudata(L, 1, TIMER);
  pl_timer_stop(&t->timer);
  return 0;
}

static int timer_active(lua_State *L) {
  timer *t = luaL_checkudata(L, 1, TIMER);
  lua_pushboolean(L, pl_timer_active(&t->timer));
  return 1;
}

static int timer_gc(lua_State *L) {
  timer *t = luaL_checkudata(L, 1, TIMER);
  pl_timer_stop(&t->timer);
  luaL_unref(L, LUA_REGISTRYINDEX, t->fn);
  return 0;
}

static const luaL_Reg timer_methods[] = {
    {"start", timer_start},
    {"stop", timer_stop},
    {"active", timer_active},
    {NULL, NULL},
};

// clock.new([now_us])
static int clock_new(lua_State *L) {
  uint64_t now_us = (uint64_t)luaL_optinteger(L, 1, 0);
  world *w = lua_newuserdatauv(L, sizeof *w, 0);
  *w = (world){.clock = pl_new(pl_clock), .error = LUA_NOREF};
  pl_clock_init(w->clock, now_us);
  luaL_setmetatable(L, CLOCK);
  return 1;
}

static int clock_gc(lua_State *L) {
  world *w = luaL_checkudata(L, 1, CLOCK);
  pl_free(w->clock);
  w->clock = NULL;
  return 0;
}

// clock:advance(now_us), loop:pass_to(now_us): a loop has no turns meanwhile
static int clock_advance(lua_State *L) {
  world *w = check_world(L);
  pl_clock_advance(w->clock, (uint64_t)luaL_checkinteger(L, 2));
  raise_kept(L, w);
  return 0;
}

static int clock_now(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_world(L)->clock->now_us);
  return 1;
}

// nil without timers
static int clock_next(lua_State *L) {
  uint64_t next_us = pl_clock_next_us(check_world(L)->clock);
  if (next_us == PL_NEVER) return 0;
  lua_pushinteger(L, (lua_Integer)next_us);
  return 1;
}

static int clock_active(lua_State *L) {
  lua_pushinteger(L, check_world(L)->clock->active);
  return 1;
}

static const luaL_Reg clock_methods[] = {
    {"advance", clock_advance}, {"now", clock_now},   {"next", clock_next},
    {"active", clock_active},   {"timer", new_timer}, {NULL, NULL},
};

static int push_loop(lua_State *L, pl_loop *l) {
  world *w = lua_newuserdatauv(L, sizeof *w, 0);
  *w = (world){.clock = &l->clock, .loop = l, .error = LUA_NOREF};
  luaL_setmetatable(L, LOOP);
  return 1;
}

static int loop_new(lua_State *L) {
  return push_loop(L, pl_loop_new(pl_log_new()));
}

static int loop_virtual(lua_State *L) {
  return push_loop(L, pl_loop_new_virtual(pl_log_new(), (uint64_t)luaL_optinteger(L, 1, 1)));
}

static int loop_free(lua_State *L) {
  world *w = luaL_checkudata(L, 1, LOOP);
  if (w->loop != NULL) pl_loop_free(w->loop);
  w->loop = NULL;
  w->clock = NULL;
  return 0;
}

static void on_run(pl_work *p) {
  work *box = pl_container(p, work, work);
  call_back(box->world, box->L, box->fn);
}

// loop:work(fn)
static int loop_work(lua_State *L) {
  world *w = check_loop(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  work *box = lua_newuserdatauv(L, sizeof *box, 1);
  lua_pushvalue(L, 2);
  *box = (work){.world = w, .L = main_state(L), .fn = luaL_ref(L, LUA_REGISTRYINDEX)};
  luaL_setmetatable(L, WORK);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

static int work_defer(lua_State *L) {
  work *w = luaL_checkudata(L, 1, WORK);
  pl_loop_defer(w->world->loop, &w->work, on_run);
  lua_settop(L, 1);
  return 1;
}

static int work_flush_later(lua_State *L) {
  work *w = luaL_checkudata(L, 1, WORK);
  pl_loop_flush_later(w->world->loop, &w->work, on_run);
  lua_settop(L, 1);
  return 1;
}

static int work_defer_behind(lua_State *L) {
  work *w = luaL_checkudata(L, 1, WORK);
  pl_loop_defer_behind(w->world->loop, &w->work, on_run);
  lua_settop(L, 1);
  return 1;
}

static int work_cancel(lua_State *L) {
  work *w = luaL_checkudata(L, 1, WORK);
  pl_work_cancel(&w->work);
  return 0;
}

static int work_queued(lua_State *L) {
  work *w = luaL_checkudata(L, 1, WORK);
  lua_pushboolean(L, pl_work_queued(&w->work));
  return 1;
}

static int work_gc(lua_State *L) {
  work *w = luaL_checkudata(L, 1, WORK);
  pl_work_cancel(&w->work);
  luaL_unref(L, LUA_REGISTRYINDEX, w->fn);
  return 0;
}

static const luaL_Reg work_methods[] = {
    {"defer", work_defer},   {"flush_later", work_flush_later}, {"defer_behind", work_defer_behind},
    {"cancel", work_cancel}, {"queued", work_queued},           {NULL, NULL},
};

static int loop_turn(lua_State *L) {
  world *w = check_loop(L);
  bool left = pl_loop_turn(w->loop);
  raise_kept(L, w);
  lua_pushboolean(L, left);
  return 1;
}

static int loop_end_turn(lua_State *L) {
  pl_loop_end_turn(check_loop(L)->loop);
  return 0;
}

// loop:advance(us)
static int loop_advance(lua_State *L) {
  world *w = check_loop(L);
  pl_loop_advance(w->loop, (uint64_t)luaL_checkinteger(L, 2));
  raise_kept(L, w);
  return 0;
}

static int loop_run(lua_State *L) {
  world *w = check_loop(L);
  pl_loop_run(w->loop);
  raise_kept(L, w);
  return 0;
}

static int loop_stop(lua_State *L) {
  pl_loop_stop(check_loop(L)->loop);
  return 0;
}

static int loop_precise(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_now_precise_us(check_loop(L)->loop));
  return 1;
}

static int loop_random(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_random_u64(&check_loop(L)->loop->random));
  return 1;
}

// A handle of someone else, whose close callback calls `fn`, as libuv does: after `check`.
typedef struct closing {
  uv_timer_t handle;
  world *world;
  lua_State *L;
  int fn;
} closing;

static void on_closed(uv_handle_t *handle) {
  closing *c = handle->data;
  call_back(c->world, c->L, c->fn);
  luaL_unref(c->L, LUA_REGISTRYINDEX, c->fn);
  pl_free(c);
}

// loop:close_handle(fn)
static int loop_close_handle(lua_State *L) {
  world *w = check_loop(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  closing *c = pl_new(closing);
  lua_pushvalue(L, 2);
  c->world = w;
  c->L = main_state(L);
  c->fn = luaL_ref(L, LUA_REGISTRYINDEX);
  uv_timer_init(w->loop->uv, &c->handle);
  c->handle.data = c;
  uv_close((uv_handle_t *)&c->handle, on_closed);
  return 0;
}

static const luaL_Reg loop_methods[] = {
    {"advance", loop_advance},   {"pass_to", clock_advance},
    {"now", clock_now},          {"next", clock_next},
    {"active", clock_active},    {"timer", new_timer},
    {"work", loop_work},         {"turn", loop_turn},
    {"end_turn", loop_end_turn}, {"run", loop_run},
    {"stop", loop_stop},         {"precise", loop_precise},
    {"random", loop_random},     {"close_handle", loop_close_handle},
    {"free", loop_free},         {NULL, NULL},
};

// Microseconds of the wall clock.
static int wall(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_wall_us());
  return 1;
}

void testing_push_clock(lua_State *L) {
  static const luaL_Reg functions[] = {{"new", clock_new}, {NULL, NULL}};
  testing_new_class(L, CLOCK, clock_methods, clock_gc);
  testing_new_class(L, TIMER, timer_methods, timer_gc);
  luaL_newlib(L, functions);
}

void testing_push_loop(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"new", loop_new},
      {"virtual", loop_virtual},
      {"wall", wall},
      {NULL, NULL},
  };
  testing_new_class(L, LOOP, loop_methods, loop_free);
  testing_new_class(L, WORK, work_methods, work_gc);
  luaL_newlib(L, functions);
}
