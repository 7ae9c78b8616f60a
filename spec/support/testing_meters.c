// `require('perilune.testing').meters`: histograms, and the figures of actions. A meter is a light
// userdata; it is gone with its set.

#include <lauxlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/meters.h"
#include "spec/support/testing_base.h"

void testing_open_meters(lua_State *L);

#define HISTOGRAM "perilune.testing.Histogram"
#define SET "perilune.testing.Meters"

// Histograms.

static int new_histogram(lua_State *L) {
  pl_histogram *h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = (pl_histogram){0};
  luaL_setmetatable(L, HISTOGRAM);
  return 1;
}

static pl_histogram *check_histogram(lua_State *L) {
  return luaL_checkudata(L, 1, HISTOGRAM);
}

static int push(lua_State *L, uint64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static uint64_t check_us(lua_State *L) {
  return (uint64_t)luaL_checkinteger(L, 2);
}

static int histogram_add(lua_State *L) {
  pl_histogram_add(check_histogram(L), check_us(L));
  return 0;
}

static int histogram_within(lua_State *L) {
  return push(L, pl_histogram_within(check_histogram(L), check_us(L)));
}

static int histogram_at(lua_State *L) {
  return push(L, pl_histogram_at(check_histogram(L), luaL_checknumber(L, 2)));
}

static int histogram_count(lua_State *L) {
  return push(L, pl_histogram_count(check_histogram(L)));
}

static int histogram_sum(lua_State *L) {
  return push(L, check_histogram(L)->sum_us);
}

static int range_top(lua_State *L) {
  return push(L, pl_histogram_top_us((unsigned)luaL_checkinteger(L, 1)));
}

static int range_of(lua_State *L) {
  return push(L, pl_histogram_range((uint64_t)luaL_checkinteger(L, 1)));
}

// Sets.

typedef struct set {
  pl_loop *loop;  // virtual; NULL once closed
  pl_laps laps;
  pl_meters meters;
} set;

static set *check_set(lua_State *L) {
  return luaL_checkudata(L, 1, SET);
}

static int new_set(lua_State *L) {
  set *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (set){0};
  luaL_setmetatable(L, SET);
  s->loop = s->laps.loop = pl_loop_new_virtual(pl_log_new(), 1);
  pl_meters_init(&s->meters, &s->laps);
  return 1;
}

static int set_gc(lua_State *L) {
  set *s = check_set(L);
  if (s->loop == NULL) return 0;
  pl_work_cancel(&s->laps.work);
  pl_meters_fini(&s->meters);
  pl_loop_free(s->loop);
  s->loop = NULL;
  return 0;
}

static int set_hold(lua_State *L) {
  set *s = check_set(L);
  size_t len;
  const char *name = luaL_checklstring(L, 2, &len);
  lua_pushlightuserdata(L, pl_meters_hold(&s->meters, pl_bytes_of(name, len)));
  return 1;
}

static pl_meter *check_meter(lua_State *L, int arg) {
  luaL_checktype(L, arg, LUA_TLIGHTUSERDATA);
  return lua_touserdata(L, arg);
}

static int set_drop(lua_State *L) {
  set *s = check_set(L);
  pl_meters_drop(&s->meters, check_meter(L, 2));
  return 0;
}

// set:names() -> name = true of all, and at 1 how many have figures of their own
static int set_names(lua_State *L) {
  set *s = check_set(L);
  size_t at = 0, count = 0;
  pl_bytes name;
  const pl_meter *m;
  lua_newtable(L);
  while (pl_meters_next(&s->meters, &at, &name, &m)) {
    count += name.len > 0;
    lua_pushlstring(L, (const char *)name.data, name.len);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
  }
  lua_pushinteger(L, (lua_Integer)count);
  lua_rawseti(L, -2, 1);
  return 1;
}

static int set_lap(lua_State *L) {
  set *s = check_set(L);
  pl_laps_add(&s->laps, &check_meter(L, 2)->took, pl_now_us(s->loop));
  return 0;
}

static int set_advance(lua_State *L) {
  pl_loop_advance(check_set(L)->loop, (uint64_t)(luaL_checknumber(L, 2) * 1e6));
  return 0;
}

// set:settle(): the ends that are known
static int set_settle(lua_State *L) {
  pl_laps_settle(&check_set(L)->laps);
  return 0;
}

// Meters.

// count(meter, begun, ok, failed)
static int meter_count(lua_State *L) {
  pl_meter *m = check_meter(L, 1);
  m->begun += (uint64_t)luaL_checkinteger(L, 2);
  m->ok += (uint64_t)luaL_checkinteger(L, 3);
  m->failed += (uint64_t)luaL_checkinteger(L, 4);
  return 0;
}

// counts(meter) -> begun, ok, failed
static int meter_counts(lua_State *L) {
  const pl_meter *m = check_meter(L, 1);
  push(L, m->begun);
  push(L, m->ok);
  push(L, m->failed);
  return 3;
}

// latency(meter) -> a copy
static int meter_latency(lua_State *L) {
  const pl_meter *m = check_meter(L, 1);
  new_histogram(L);
  *(pl_histogram *)lua_touserdata(L, -1) = m->took;
  return 1;
}

void testing_open_meters(lua_State *L) {
  static const luaL_Reg of_histograms[] = {
      {"add", histogram_add},     {"within", histogram_within}, {"at", histogram_at},
      {"count", histogram_count}, {"sum", histogram_sum},       {NULL, NULL},
  };
  static const luaL_Reg of_sets[] = {
      {"hold", set_hold},       {"drop", set_drop},     {"names", set_names}, {"lap", set_lap},
      {"advance", set_advance}, {"settle", set_settle}, {NULL, NULL},
  };
  static const luaL_Reg functions[] = {
      {"histogram", new_histogram}, {"set", new_set},       {"top", range_top},
      {"range", range_of},          {"count", meter_count}, {"counts", meter_counts},
      {"latency", meter_latency},   {NULL, NULL},
  };
  testing_new_class(L, HISTOGRAM, of_histograms, NULL);
  testing_new_class(L, SET, of_sets, set_gc);
  luaL_newlib(L, functions);
  lua_pushinteger(L, PL_HISTOGRAM_RANGES);
  lua_setfield(L, -2, "ranges");
  lua_pushinteger(L, PL_METERS_MAX);
  lua_setfield(L, -2, "max");
}
