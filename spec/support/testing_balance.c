// `require('perilune.testing').balance`: strategies, health of providers, the budget of repeats.

#include <lauxlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "service/balance.h"
#include "service/budget.h"
#include "service/dedup.h"
#include "spec/support/testing_base.h"

void testing_open_balance(lua_State *L);

#define BUDGET "perilune.testing.Budget"
#define DEDUP "perilune.testing.Dedup"
#define HEALTH "perilune.testing.Health"
#define RANDOM "perilune.testing.BalanceRandom"

enum { CANDIDATES_MAX = 64 };

// Choosing.

static uint64_t number_of(lua_State *L, int at, const char *name) {
  lua_getfield(L, at, name);
  uint64_t n = (uint64_t)luaL_optinteger(L, -1, 0);
  lua_pop(L, 1);
  return n;
}

static bool flag_of(lua_State *L, int at, const char *name) {
  lua_getfield(L, at, name);
  bool b = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return b;
}

// Stays alive in its table.
static const char *text_of(lua_State *L, int at, const char *name) {
  lua_getfield(L, at, name);
  const char *text = luaL_optstring(L, -1, "");
  lua_pop(L, 1);
  return text;
}

static void read_candidate(lua_State *L, int at, pl_candidate *c) {
  const char *id = text_of(L, at, "id");
  *c = (pl_candidate){
      .name = text_of(L, at, "name"),
      .region = text_of(L, at, "region"),
      .cost_us = number_of(L, at, "cost"),
      .latency_us = number_of(L, at, "latency"),
      .ejected_us = number_of(L, at, "ejected_us"),
      .used = number_of(L, at, "used"),
      .pass = number_of(L, at, "pass"),
      .outstanding = (uint32_t)number_of(L, at, "outstanding"),
      .load = (uint32_t)number_of(L, at, "load"),
      .weight = (uint32_t)number_of(L, at, "weight"),
      .hops = (unsigned)number_of(L, at, "hops"),
      .probed = flag_of(L, at, "probed"),
      .full = flag_of(L, at, "full"),
      .resting = flag_of(L, at, "resting"),
      .draining = flag_of(L, at, "draining"),
      .unreachable = flag_of(L, at, "unreachable"),
      .tried = flag_of(L, at, "tried"),
      .refused = flag_of(L, at, "refused"),
  };
  strncpy((char *)c->id.bytes, id, sizeof c->id.bytes);
  static const char *const states[] = {"ok", "degraded", "ejected", "probing", NULL};
  lua_getfield(L, at, "health");
  c->health = (pl_health_state)luaL_checkoption(L, lua_gettop(L), "ok", states);
  lua_pop(L, 1);
}

static size_t read_texts(lua_State *L, int at, const char *name, pl_bytes *out) {
  lua_getfield(L, at, name);
  size_t n = lua_isnil(L, -1) ? 0 : (size_t)luaL_len(L, -1);
  luaL_argcheck(L, n <= PL_PATTERNS_MAX, at, "too many");
  for (size_t i = 0; i < n; i++) {
    size_t len;
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    const char *text = luaL_checklstring(L, -1, &len);
    out[i] = pl_bytes_of(text, len);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return n;
}

// choose(strategy, candidates, {providers=, regions=, key=}, random) -> index (0: none), and a list
// of {fitness=, score=, group=, zone=}. The choice is noted in the candidates' `used` and `pass`.
static int choose(lua_State *L) {
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  pl_strategy strategy = pl_strategy_find(name, len);
  luaL_argcheck(L, strategy != PL_STRATEGY_UNSET, 1, "no strategy");
  size_t n = (size_t)luaL_len(L, 2);
  luaL_argcheck(L, n <= CANDIDATES_MAX, 2, "too many");
  pl_bytes providers[PL_PATTERNS_MAX], regions[PL_PATTERNS_MAX];
  pl_policy p = {.providers = providers, .regions = regions};
  p.provider_count = read_texts(L, 3, "providers", providers);
  p.region_count = read_texts(L, 3, "regions", regions);
  const char *key = text_of(L, 3, "key");
  pl_random *random = luaL_checkudata(L, 4, RANDOM);
  pl_candidate c[CANDIDATES_MAX];
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    read_candidate(L, lua_gettop(L), &c[i]);
    lua_pop(L, 1);
  }
  uint64_t hash = pl_balance_hash(pl_bytes_of(key, strlen(key)));
  lua_pushinteger(L, pl_balance_choose(&p, strategy, c, n, hash, random) + 1);
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    lua_createtable(L, 0, 4);
    lua_pushstring(L, pl_fitness_name(c[i].fitness));
    lua_setfield(L, -2, "fitness");
    lua_pushinteger(L, (lua_Integer)c[i].score);
    lua_setfield(L, -2, "score");
    lua_pushinteger(L, c[i].group);
    lua_setfield(L, -2, "group");
    lua_pushinteger(L, c[i].zone);
    lua_setfield(L, -2, "zone");
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 2;
}

// random(seed)
static int new_random(lua_State *L) {
  pl_random *r = lua_newuserdatauv(L, sizeof *r, 0);
  pl_random_seed(r, (uint64_t)luaL_checkinteger(L, 1));
  luaL_setmetatable(L, RANDOM);
  return 1;
}

// stride(weight)
static int stride(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_balance_stride((uint32_t)luaL_checkinteger(L, 1)));
  return 1;
}

// strategy(name) -> its name again, nil for an unknown one
static int strategy(lua_State *L) {
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  pl_strategy s = pl_strategy_find(name, len);
  if (s == PL_STRATEGY_UNSET) return 0;
  lua_pushstring(L, pl_strategy_name(s));
  return 1;
}

// matches(pattern, text)
static int matches(lua_State *L) {
  size_t pattern_len, len;
  const char *pattern = luaL_checklstring(L, 1, &pattern_len);
  const char *text = luaL_checklstring(L, 2, &len);
  lua_pushboolean(L, pl_pattern_matches(pl_bytes_of(pattern, pattern_len), text, len));
  return 1;
}

// Health. Times are in microseconds.

static pl_health *check_health(lua_State *L) {
  return luaL_checkudata(L, 1, HEALTH);
}

static int new_health(lua_State *L) {
  pl_health *h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = (pl_health){0};
  luaL_setmetatable(L, HEALTH);
  return 1;
}

// health:now(at) -> state, whether it rests
static int health_now(lua_State *L) {
  const pl_health *h = check_health(L);
  uint64_t at = (uint64_t)luaL_checkinteger(L, 2);
  lua_pushstring(L, pl_health_name(pl_health_now(h, at)));
  lua_pushboolean(L, pl_health_rests(h, at));
  return 2;
}

// health:begin(at) -> whether it is the probe
static int health_begin(lua_State *L) {
  lua_pushboolean(L, pl_health_begin(check_health(L), (uint64_t)luaL_checkinteger(L, 2)));
  return 1;
}

// health:finish(at, probe, verdict, retry_after_ms)
static int health_finish(lua_State *L) {
  static const char *const verdicts[] = {"none", "good", "busy", "failure", NULL};
  pl_health_end(check_health(L), (uint64_t)luaL_checkinteger(L, 2), lua_toboolean(L, 3),
                (pl_verdict)luaL_checkoption(L, 4, NULL, verdicts),
                (uint32_t)luaL_optinteger(L, 5, 0));
  return 0;
}

// verdict(code | nil, outcome)
static int verdict(lua_State *L) {
  static const char *const names[] = {"none", "good", "busy", "failure"};
  static const char *const outcomes[] = {"not_sent", "not_executed", "unknown", "executed", NULL};
  pl_err code = lua_isnil(L, 1) ? PL_OK : pl_err_find(luaL_checkstring(L, 1));
  pl_outcome outcome = (pl_outcome)luaL_checkoption(L, 2, "executed", outcomes);
  lua_pushstring(L, names[pl_verdict_of(code, outcome)]);
  return 1;
}

// Budget.

static int new_budget(lua_State *L) {
  pl_budget *b = lua_newuserdatauv(L, sizeof *b, 0);
  pl_budget_init(b, (uint64_t)luaL_checkinteger(L, 1));
  luaL_setmetatable(L, BUDGET);
  return 1;
}

static int budget_earn(lua_State *L) {
  pl_budget *b = luaL_checkudata(L, 1, BUDGET);
  for (lua_Integer n = luaL_checkinteger(L, 2); n > 0; n--)
    pl_budget_earn(b);
  return 0;
}

static int budget_take(lua_State *L) {
  pl_budget *b = luaL_checkudata(L, 1, BUDGET);
  lua_pushboolean(L, pl_budget_take(b, (uint64_t)luaL_checkinteger(L, 2)));
  return 1;
}

// Dedup. Callers are letters; times are in microseconds.

static pl_dedup *check_dedup(lua_State *L) {
  return luaL_checkudata(L, 1, DEDUP);
}

static int new_dedup(lua_State *L) {
  pl_dedup *d = lua_newuserdatauv(L, sizeof *d, 0);
  pl_dedup_init(d);
  luaL_setmetatable(L, DEDUP);
  return 1;
}

static int dedup_free(lua_State *L) {
  pl_dedup_fini(check_dedup(L));
  return 0;
}

static pl_dedup_entry *find_entry(lua_State *L) {
  pl_id caller;
  memset(caller.bytes, luaL_checkstring(L, 2)[0], sizeof caller.bytes);
  return pl_dedup_find(check_dedup(L), &caller, (uint64_t)luaL_checkinteger(L, 3),
                       (uint64_t)luaL_checkinteger(L, 4));
}

// dedup:open(caller, call_id, of) -> whether it is looked after
static int dedup_open(lua_State *L) {
  pl_dedup *d = check_dedup(L);
  pl_id caller;
  memset(caller.bytes, luaL_checkstring(L, 2)[0], sizeof caller.bytes);
  lua_pushboolean(L, pl_dedup_open(d, &caller, (uint64_t)luaL_checkinteger(L, 3),
                                   (uint64_t)luaL_checkinteger(L, 4), d) != NULL);
  return 1;
}

// dedup:find(caller, call_id, of) -> nil, "running", or "result" | "failure" and its bytes
static int dedup_find(lua_State *L) {
  const pl_dedup_entry *e = find_entry(L);
  if (e == NULL) return 0;
  lua_pushstring(L, e->owner != NULL ? "running" : e->failed ? "failure" : "result");
  pl_bytes b = e->failed ? e->failure.message : e->result;
  lua_pushlstring(L, (const char *)b.data, b.len);
  return 2;
}

// dedup:finish(caller, call_id, of, result | nil, message, at)
static int dedup_finish(lua_State *L) {
  size_t len;
  const char *result = luaL_optlstring(L, 5, "", &len);
  pl_failure f = pl_failure_of(PL_HANDLER_ERROR, PL_EXECUTED, luaL_optstring(L, 6, ""));
  const pl_parts parts = pl_parts_of(pl_bytes_of(result, len));
  pl_dedup_finish(check_dedup(L), find_entry(L), &parts, lua_isnil(L, 5) ? &f : NULL,
                  (uint64_t)luaL_checkinteger(L, 7));
  return 0;
}

static int dedup_forget(lua_State *L) {
  pl_dedup_forget(check_dedup(L), find_entry(L));
  return 0;
}

// dedup:expire(at) -> when to look again, nil for never; bytes kept
static int dedup_expire(lua_State *L) {
  uint64_t at = pl_dedup_expire(check_dedup(L), (uint64_t)luaL_checkinteger(L, 2));
  if (at == PL_NEVER) {
    lua_pushnil(L);
  } else {
    lua_pushinteger(L, (lua_Integer)at);
  }
  lua_pushinteger(L, (lua_Integer)check_dedup(L)->bytes);
  return 2;
}

void testing_open_balance(lua_State *L) {
  static const luaL_Reg health_methods[] = {
      {"now", health_now}, {"begin", health_begin}, {"finish", health_finish}, {NULL, NULL}};
  static const luaL_Reg budget_methods[] = {
      {"earn", budget_earn}, {"take", budget_take}, {NULL, NULL}};
  static const luaL_Reg dedup_methods[] = {
      {"open", dedup_open},
      {"find", dedup_find},
      {"finish", dedup_finish},
      {"forget", dedup_forget},
      {"expire", dedup_expire},
      {"free", dedup_free},
      {NULL, NULL},
  };
  static const luaL_Reg no_methods[] = {{NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"choose", choose},   {"random", new_random}, {"stride", stride},   {"strategy", strategy},
      {"matches", matches}, {"health", new_health}, {"verdict", verdict}, {"budget", new_budget},
      {"dedup", new_dedup}, {NULL, NULL},
  };
  testing_new_class(L, DEDUP, dedup_methods, NULL);
  testing_new_class(L, RANDOM, no_methods, NULL);
  testing_new_class(L, HEALTH, health_methods, NULL);
  testing_new_class(L, BUDGET, budget_methods, NULL);
  luaL_newlib(L, functions);
}
