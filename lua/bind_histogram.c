// perilune.core.histogram: how often what took how long, in memory that does not grow.

#include <lauxlib.h>
#include <string.h>

#include "base/histogram.h"
#include "lua/modules.h"

#define HISTOGRAM_TYPE "perilune.Histogram"

typedef struct histogram {
  pl_histogram ranges;
  uint64_t count, longest_us;
} histogram;

static histogram *check(lua_State *L) {
  return luaL_checkudata(L, 1, HISTOGRAM_TYPE);
}

static void push_seconds(lua_State *L, uint64_t us) {
  lua_pushnumber(L, (lua_Number)us / 1e6);
}

// new() -> an empty one
static int histogram_new(lua_State *L) {
  histogram *h = lua_newuserdatauv(L, sizeof *h, 0);
  memset(h, 0, sizeof *h);
  luaL_setmetatable(L, HISTOGRAM_TYPE);
  return 1;
}

// h:add(seconds); what is below 0 counts as 0
static int histogram_add(lua_State *L) {
  histogram *h = check(L);
  lua_Number s = luaL_checknumber(L, 2);
  lua_Number most = (lua_Number)PL_HISTOGRAM_MAX_US / 1e6;
  uint64_t us = !(s > 0) ? 0 : s > most ? PL_HISTOGRAM_MAX_US : (uint64_t)(s * 1e6 + 0.5);
  pl_histogram_add(&h->ranges, us);
  h->count++;
  if (us > h->longest_us) h->longest_us = us;
  return 0;
}

// h:at(share) -> seconds that the part `share` of all did not exceed, within 1/16
static int histogram_at(lua_State *L) {
  const histogram *h = check(L);
  lua_Number share = luaL_checknumber(L, 2);
  luaL_argcheck(L, share >= 0 && share <= 1, 2, "a number from 0 to 1 is expected");
  uint64_t us = pl_histogram_at(&h->ranges, share);
  push_seconds(L, us < h->longest_us ? us : h->longest_us);
  return 1;
}

static int histogram_count(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check(L)->count);
  return 1;
}

// h:longest() -> seconds, exactly
static int histogram_longest(lua_State *L) {
  push_seconds(L, check(L)->longest_us);
  return 1;
}

// h:mean() -> seconds; 0 of none
static int histogram_mean(lua_State *L) {
  const histogram *h = check(L);
  push_seconds(L, h->count == 0 ? 0 : h->ranges.sum_us / h->count);
  return 1;
}

static const luaL_Reg methods[] = {
    {"add", histogram_add},         {"at", histogram_at},     {"count", histogram_count},
    {"longest", histogram_longest}, {"mean", histogram_mean}, {NULL, NULL},
};

int pl_open_histogram(lua_State *L) {
  static const luaL_Reg functions[] = {{"new", histogram_new}, {NULL, NULL}};
  luaL_newmetatable(L, HISTOGRAM_TYPE);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
