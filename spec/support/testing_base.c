// `require('perilune.testing').base`: runtime/base/ as tables of functions and objects.

#include <lauxlib.h>
#include <lua.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "base/failure.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/random.h"
#include "base/trace.h"
#include "spec/support/testing_base.h"

void testing_open_base(lua_State *L);

#define UUIDS "perilune.testing.Uuids"
#define RANDOM "perilune.testing.Random"

void testing_push_metrics(lua_State *L, const pl_metrics *metrics) {
  lua_newtable(L);
  for (const pl_metric_info *m = pl_metric_list; m->name != NULL; m++) {
    lua_pushinteger(L, (lua_Integer)pl_metric_get(metrics, m));
    lua_setfield(L, -2, m->name);
  }
}

void testing_new_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc) {
  luaL_newmetatable(L, name);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  if (gc != NULL) {
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_pop(L, 1);
}

static int err_list(lua_State *L) {
  lua_newtable(L);
#define X(name, number, text) \
  lua_pushinteger(L, number); \
  lua_setfield(L, -2, #name);
  PL_ERRORS(X)
#undef X
  return 1;
}

static pl_err check_err(lua_State *L, int arg) {
  return (pl_err)luaL_checkinteger(L, arg);
}

static int err_name(lua_State *L) {
  lua_pushstring(L, pl_err_name(check_err(L, 1)));
  return 1;
}

static int err_text(lua_State *L) {
  lua_pushstring(L, pl_err_text(check_err(L, 1)));
  return 1;
}

static int err_find(lua_State *L) {
  lua_pushinteger(L, pl_err_find(luaL_checkstring(L, 1)));
  return 1;
}

static int err_outcome_name(lua_State *L) {
  lua_pushstring(L, pl_outcome_name((pl_outcome)luaL_checkinteger(L, 1)));
  return 1;
}

// from_uv('EADDRINUSE') -> name of the error
static int err_from_uv(lua_State *L) {
  const char *wanted = luaL_checkstring(L, 1);
#define X(name, text)                                          \
  if (strcmp(wanted, #name) == 0) {                            \
    lua_pushstring(L, pl_err_name(pl_err_from_uv(UV_##name))); \
    return 1;                                                  \
  }
  UV_ERRNO_MAP(X)
#undef X
  return luaL_argerror(L, 1, "unknown");
}

// Keeps a failure beyond the bytes it was made from; "" for a part that was lost.
static int err_keep_failure(lua_State *L) {
  char message[] = "the message";
  char action[] = "the action";
  pl_failure f = pl_failure_of(PL_BUSY, PL_NOT_SENT, message);
  f.action = pl_bytes_of(action, strlen(action));
  pl_failure kept = pl_failure_keep(&f);
  memset(message, 'x', sizeof message);
  memset(action, 'x', sizeof action);
  lua_pushlstring(L, (const char *)kept.message.data, kept.message.len);
  lua_pushlstring(L, (const char *)kept.action.data, kept.action.len);
  pl_failure_drop(&kept);
  return 2;
}

static const luaL_Reg err_functions[] = {
    {"list", err_list},
    {"name", err_name},
    {"text", err_text},
    {"find", err_find},
    {"from_uv", err_from_uv},
    {"outcome_name", err_outcome_name},
    {"keep_failure", err_keep_failure},
    {NULL, NULL},
};

static void push_id(lua_State *L, const pl_id *id) {
  lua_pushlstring(L, (const char *)id->bytes, sizeof id->bytes);
}

static pl_id check_id(lua_State *L, int arg) {
  size_t len;
  const char *bytes = luaL_checklstring(L, arg, &len);
  pl_id id;
  luaL_argcheck(L, len == sizeof id.bytes, arg, "not an id");
  memcpy(id.bytes, bytes, len);
  return id;
}

static int id_random(lua_State *L) {
  pl_id id;
  pl_id_random(&id);
  push_id(L, &id);
  return 1;
}

static int id_format(lua_State *L) {
  pl_id id = check_id(L, 1);
  char text[PL_ID_HEX];
  pl_id_format(&id, text);
  lua_pushstring(L, text);
  return 1;
}

static int id_parse(lua_State *L) {
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  pl_id id;
  if (!pl_id_parse(&id, text, len)) return 0;
  push_id(L, &id);
  return 1;
}

static int id_compare(lua_State *L) {
  pl_id a = check_id(L, 1);
  pl_id b = check_id(L, 2);
  lua_pushinteger(L, pl_id_compare(&a, &b));
  lua_pushboolean(L, pl_id_equal(&a, &b));
  return 2;
}

static int id_is_zero(lua_State *L) {
  pl_id id = check_id(L, 1);
  lua_pushboolean(L, pl_id_is_zero(&id));
  return 1;
}

static int id_uuid_text(lua_State *L) {
  pl_id id = check_id(L, 1);
  char text[PL_UUID_TEXT];
  pl_uuid_format(&id, text);
  lua_pushstring(L, text);
  return 1;
}

static int id_uuids(lua_State *L) {
  pl_uuid_source *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (pl_uuid_source){0};
  luaL_setmetatable(L, UUIDS);
  return 1;
}

static int uuids_next(lua_State *L) {
  pl_id id;
  pl_uuid_next(luaL_checkudata(L, 1, UUIDS), (uint64_t)luaL_checkinteger(L, 2), &id);
  push_id(L, &id);
  return 1;
}

// How many of `n` ids, `per_ms` in each millisecond, are greater than the one before.
static int uuids_count_rising(lua_State *L) {
  pl_uuid_source *s = luaL_checkudata(L, 1, UUIDS);
  lua_Integer n = luaL_checkinteger(L, 2);
  lua_Integer per_ms = luaL_checkinteger(L, 3);
  pl_id last = {{0}};
  lua_Integer rising = 0;
  for (lua_Integer i = 0; i < n; i++) {
    pl_id id;
    pl_uuid_next(s, (uint64_t)(1767225600000 + i / per_ms), &id);
    rising += pl_id_compare(&last, &id) < 0;
    last = id;
  }
  lua_pushinteger(L, rising);
  return 1;
}

static const luaL_Reg id_functions[] = {
    {"random", id_random},       {"format", id_format},
    {"parse", id_parse},         {"compare", id_compare},
    {"is_zero", id_is_zero},     {"uuids", id_uuids},
    {"uuid_text", id_uuid_text}, {NULL, NULL},
};

static const luaL_Reg uuids_methods[] = {
    {"next", uuids_next},
    {"count_rising", uuids_count_rising},
    {NULL, NULL},
};

static int random_new(lua_State *L) {
  uint64_t seed = (uint64_t)luaL_checkinteger(L, 1);
  pl_random *r = lua_newuserdatauv(L, sizeof *r, 0);
  pl_random_seed(r, seed);
  luaL_setmetatable(L, RANDOM);
  return 1;
}

static int random_u64(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_random_u64(luaL_checkudata(L, 1, RANDOM)));
  return 1;
}

static int random_below(lua_State *L) {
  pl_random *r = luaL_checkudata(L, 1, RANDOM);
  uint64_t bound = (uint64_t)luaL_checkinteger(L, 2);
  luaL_argcheck(L, bound > 0, 2, "not positive");
  lua_pushinteger(L, (lua_Integer)pl_random_below(r, bound));
  return 1;
}

static int random_secret(lua_State *L) {
  size_t len = (size_t)luaL_checkinteger(L, 1);
  luaL_Buffer b;
  pl_random_secret(luaL_buffinitsize(L, &b, len), len);
  luaL_pushresultsize(&b, len);
  return 1;
}

static int random_secret_u64(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_random_secret_u64());
  return 1;
}

static const luaL_Reg random_functions[] = {
    {"new", random_new},
    {"secret", random_secret},
    {"secret_u64", random_secret_u64},
    {NULL, NULL},
};

static const luaL_Reg random_methods[] = {
    {"u64", random_u64},
    {"below", random_below},
    {NULL, NULL},
};

static int mem_live(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_mem_live());
  return 1;
}

static int mem_fail_at(lua_State *L) {
  pl_mem_fail_at((size_t)luaL_checkinteger(L, 1));
  return 0;
}

// Whether a checked allocation of so many bytes works.
static int mem_try(lua_State *L) {
  void *block = pl_try_alloc((size_t)luaL_checkinteger(L, 1));
  lua_pushboolean(L, block != NULL);
  pl_free(block);
  return 1;
}

// Grows a block that holds "kept" to so many bytes: what it holds then, and whether it grew.
static int mem_try_grow(lua_State *L) {
  size_t size = (size_t)luaL_checkinteger(L, 1);
  char *block = pl_strdup("kept");
  char *grown = pl_try_realloc(block, size);
  if (grown != NULL) block = grown;
  lua_pushstring(L, block);
  lua_pushboolean(L, grown != NULL);
  pl_free(block);
  return 2;
}

// The sum of the bytes of a fresh block.
static int mem_sum_of_new(lua_State *L) {
  size_t size = (size_t)luaL_checkinteger(L, 1);
  unsigned char *block = pl_alloc(size);
  lua_Integer sum = 0;
  for (size_t i = 0; i < size; i++)
    sum += block[i];
  pl_free(block);
  lua_pushinteger(L, sum);
  return 1;
}

static void *swap_block(void *block) {
  pl_free(block);
  return pl_alloc(1);
}

// Blocks cross between threads that come and go, and all are freed in the end.
static int mem_cross_threads(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  void *block = pl_alloc(1);
  for (lua_Integer i = 0; i < n; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, swap_block, block) != 0) abort();
    pthread_join(thread, &block);
  }
  pl_free(block);
  return 0;
}

static const luaL_Reg mem_functions[] = {
    {"live", mem_live},
    {"fail_at", mem_fail_at},
    {"try", mem_try},
    {"try_grow", mem_try_grow},
    {"sum_of_new", mem_sum_of_new},
    {"cross_threads", mem_cross_threads},
    {NULL, NULL},
};

// Every metric with a distinct value: name -> {value =, help =}, in a struct counted 1, 2, 3 …
static int metric_list(lua_State *L) {
  pl_metrics metrics;
  uint64_t values[sizeof metrics / sizeof(uint64_t)];
  for (size_t i = 0; i < sizeof values / sizeof *values; i++)
    values[i] = i + 1;
  memcpy(&metrics, values, sizeof metrics);

  lua_newtable(L);
  for (const pl_metric_info *info = pl_metric_list; info->name != NULL; info++) {
    lua_newtable(L);
    lua_pushstring(L, info->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, info->help);
    lua_setfield(L, -2, "help");
    lua_pushinteger(L, (lua_Integer)pl_metric_get(&metrics, info));
    lua_setfield(L, -2, "value");
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  return 1;
}

// of(source, call_id [, outer]) -> the bytes of the trace
static int trace_of(lua_State *L) {
  pl_id source = check_id(L, 1);
  size_t len;
  const char *bytes = luaL_optlstring(L, 3, NULL, &len);
  pl_trace outer, trace;
  luaL_argcheck(L, bytes == NULL || len == sizeof outer, 3, "not a trace");
  if (bytes != NULL) memcpy(&outer, bytes, len);
  pl_trace_of(&trace, &source, (uint64_t)luaL_checkinteger(L, 2), bytes != NULL ? &outer : NULL);
  lua_pushlstring(L, (const char *)&trace, sizeof trace);
  return 1;
}

// parse(text) -> the bytes of the trace that the `traceparent` names, or nil
static int trace_parse(lua_State *L) {
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  pl_trace trace;
  if (pl_trace_parse(&trace, text, len)) {
    lua_pushlstring(L, (const char *)&trace, sizeof trace);
  } else {
    lua_pushnil(L);
  }
  return 1;
}

// span(text) -> the bytes of the span, or nil
static int trace_span(lua_State *L) {
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  uint8_t span[8];
  char again[PL_SPAN_HEX];
  if (!pl_span_parse(span, text, len)) {
    lua_pushnil(L);
    return 1;
  }
  pl_span_format(span, again);
  lua_pushlstring(L, (const char *)span, sizeof span);
  lua_pushstring(L, again);
  return 2;
}

static const luaL_Reg trace_functions[] = {
    {"of", trace_of}, {"parse", trace_parse}, {"span", trace_span}, {NULL, NULL}};

static const luaL_Reg metric_functions[] = {{"list", metric_list}, {NULL, NULL}};

static void set_functions(lua_State *L, const char *name, const luaL_Reg *functions) {
  lua_newtable(L);
  luaL_setfuncs(L, functions, 0);
  lua_setfield(L, -2, name);
}

void testing_open_base(lua_State *L) {
  testing_new_class(L, UUIDS, uuids_methods, NULL);
  testing_new_class(L, RANDOM, random_methods, NULL);

  lua_newtable(L);
  set_functions(L, "err", err_functions);
  set_functions(L, "id", id_functions);
  set_functions(L, "mem", mem_functions);
  set_functions(L, "metric", metric_functions);
  set_functions(L, "random", random_functions);
  set_functions(L, "trace", trace_functions);
  testing_push_buf(L);
  lua_setfield(L, -2, "buf");
  testing_push_clock(L);
  lua_setfield(L, -2, "clock");
  testing_push_log(L);
  lua_setfield(L, -2, "log");
  testing_push_loop(L);
  lua_setfield(L, -2, "loop");
  testing_push_labels(L);
  lua_setfield(L, -2, "labels");
  testing_push_map(L);
  lua_setfield(L, -2, "map");
}
