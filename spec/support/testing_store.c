// Stores for specs, and the values and files that they are made of:
// `require('perilune.testing').store`.

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_wire.h"
#include "wire/canonical.h"
#include "wire/store_file.h"

void testing_open_store(lua_State *L);

#define STORE "perilune.testing.Store"

typedef struct box {
  pl_store *store;
} box;

// store.new(limit)
static int store_new(lua_State *L) {
  box *b = lua_newuserdatauv(L, sizeof *b, 0);
  b->store = pl_store_new((size_t)luaL_checkinteger(L, 1));
  luaL_setmetatable(L, STORE);
  return 1;
}

static pl_store *check(lua_State *L) {
  box *b = luaL_checkudata(L, 1, STORE);
  luaL_argcheck(L, b->store != NULL, 1, "freed");
  return b->store;
}

static uint64_t check_now(lua_State *L, int arg) {
  return (uint64_t)luaL_checkinteger(L, arg);
}

static pl_key check_key(lua_State *L, int arg) {
  pl_key key = {0};
  key.data = luaL_checklstring(L, arg, &key.len);
  return key;
}

// [-0, +3]; nothing for NULL
static int push_item(lua_State *L, pl_item *i) {
  if (i == NULL) return 0;
  lua_pushlstring(L, (const char *)pl_item_value(i), i->len);
  lua_pushinteger(L, (lua_Integer)i->version);
  lua_pushinteger(L, i->expires_us == PL_NEVER ? -1 : (lua_Integer)i->expires_us);
  pl_item_drop(i);
  return 3;
}

// store:get(now, key) -> value, version, expires (-1: never); nothing when absent
static int store_get(lua_State *L) {
  return push_item(L, pl_store_get(check(L), check_now(L, 2), check_key(L, 3)));
}

// store:change(now, key, value | nil, expected = 0, expires = 0) -> true, or nil and the error.
// `expires` -1: never.
static int store_change(lua_State *L) {
  pl_change c = {.key = check_key(L, 3), .expected = (uint64_t)luaL_optinteger(L, 5, 0)};
  c.value = luaL_optlstring(L, 4, NULL, &c.len);
  lua_Integer expires = luaL_optinteger(L, 6, 0);
  c.expires_us = expires < 0 ? PL_NEVER : (uint64_t)expires;
  pl_err err = pl_store_change(check(L), check_now(L, 2), &c);
  if (err != PL_OK) return testing_push_error(L, err);
  lua_pushboolean(L, 1);
  return 1;
}

static int store_clear(lua_State *L) {
  pl_store_clear(check(L));
  return 0;
}

// store:keys(now) -> list of the keys, in order; nil and the error
static int store_keys(lua_State *L) {
  pl_items all;
  if (!pl_store_snapshot(check(L), check_now(L, 2), &all))
    return testing_push_error(L, PL_NO_MEMORY);
  lua_newtable(L);
  for (size_t k = 0; k < all.count; k++) {
    lua_pushlstring(L, (const char *)all.items[k]->bytes, all.items[k]->key_len);
    lua_rawseti(L, -2, (lua_Integer)k + 1);
  }
  pl_items_drop(&all);
  return 1;
}

// store:next(now, key | nil) -> true, the next key or nil; false when there is no such key
static int store_next(lua_State *L) {
  pl_item *next;
  pl_key key = lua_isnoneornil(L, 3) ? (pl_key){0} : check_key(L, 3);
  bool known = pl_store_next(check(L), check_now(L, 2), key, &next);
  lua_pushboolean(L, known);
  if (next == NULL) return 1;
  lua_pushlstring(L, (const char *)next->bytes, next->key_len);
  pl_item_drop(next);
  return 2;
}

// store:usage() -> keys, bytes, change, refused
static int store_usage(lua_State *L) {
  pl_store_use use = pl_store_usage(check(L));
  lua_pushinteger(L, (lua_Integer)use.keys);
  lua_pushinteger(L, (lua_Integer)use.bytes);
  lua_pushinteger(L, (lua_Integer)use.change);
  lua_pushinteger(L, (lua_Integer)use.refused);
  return 4;
}

static pl_store_time check_time(lua_State *L, int arg) {
  return (pl_store_time){check_now(L, arg), check_now(L, arg + 1)};
}

// store:encode(now, wall) -> the bytes of its file, or nil and the error
static int store_encode(lua_State *L) {
  pl_store_time time = check_time(L, 2);
  pl_items all;
  if (!pl_store_snapshot(check(L), time.now_us, &all)) return testing_push_error(L, PL_NO_MEMORY);
  pl_buf out = {0};
  bool ok = pl_store_encode(&out, &all, time);
  pl_items_drop(&all);
  return testing_push_encoded(L, ok ? PL_OK : PL_NO_MEMORY, &out);
}

// store:decode(bytes, now, wall) -> true, or nil, the error and why
static int store_decode(lua_State *L) {
  const char *why = NULL;
  pl_err err = pl_store_decode(check(L), testing_check_bytes(L, 2), check_time(L, 3), &why);
  if (err != PL_OK) {
    testing_push_error(L, err);
    lua_pushstring(L, why);
    return 3;
  }
  lua_pushboolean(L, 1);
  return 1;
}

// Threads that count: each adds 1 to the key "n" so often, as an update does, and reads and writes
// a key of its own.

enum { THREADS = 4 };

typedef struct worker {
  pl_store *store;
  int number, times;
} worker;

static void count_one(pl_store *s) {
  static const pl_key key = {"n", 1};
  for (;;) {
    pl_item *i = pl_store_get(s, 1, key);
    uint64_t n = 0;
    if (i != NULL) memcpy(&n, pl_item_value(i), sizeof n);
    n++;
    pl_change c = {.key = key,
                   .expected = i == NULL ? PL_STORE_ABSENT : i->version,
                   .value = &n,
                   .len = sizeof n};
    pl_err err = pl_store_change(s, 1, &c);
    pl_item_drop(i);
    if (err == PL_OK) return;
    if (err != PL_CANCELLED) abort();
  }
}

static void *count_many(void *user) {
  const worker *w = user;
  char name = (char)('a' + w->number);
  pl_key key = {&name, 1};
  for (int k = 0; k < w->times; k++) {
    count_one(w->store);
    pl_change c = {.key = key, .value = k % 3 == 0 ? NULL : &name, .len = 1, .expires_us = 100};
    if (pl_store_change(w->store, 1, &c) != PL_OK) abort();
    pl_items all;
    if (!pl_store_snapshot(w->store, 1, &all)) abort();
    pl_items_drop(&all);
  }
  return NULL;
}

// store:count(times) -> what "n" is after all threads have counted
static int store_count(lua_State *L) {
  pl_store *s = check(L);
  pthread_t threads[THREADS];
  worker workers[THREADS];
  for (int i = 0; i < THREADS; i++) {
    workers[i] = (worker){s, i, (int)luaL_checkinteger(L, 2)};
    if (pthread_create(&threads[i], NULL, count_many, &workers[i]) != 0) abort();
  }
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  pl_item *i = pl_store_get(s, 1, (pl_key){"n", 1});
  uint64_t n;
  memcpy(&n, pl_item_value(i), sizeof n);
  pl_item_drop(i);
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static int store_free(lua_State *L) {
  box *b = luaL_checkudata(L, 1, STORE);
  if (b->store != NULL) pl_store_drop(b->store);
  b->store = NULL;
  return 0;
}

// canonical(bytes) -> bytes, or nil and the error
static int canonical(lua_State *L) {
  pl_buf out = {0};
  pl_err err = pl_mp_canonical(&out, testing_check_bytes(L, 1));
  return testing_push_encoded(L, err, &out);
}

// file_max(limit)
static int file_max(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pl_store_file_max((size_t)luaL_checkinteger(L, 1)));
  return 1;
}

void testing_open_store(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"get", store_get},
      {"change", store_change},
      {"clear", store_clear},
      {"keys", store_keys},
      {"next", store_next},
      {"usage", store_usage},
      {"encode", store_encode},
      {"decode", store_decode},
      {"count", store_count},
      {"free", store_free},
      {NULL, NULL},
  };
  static const luaL_Reg functions[] = {
      {"new", store_new}, {"canonical", canonical}, {"file_max", file_max}, {NULL, NULL}};
  testing_new_class(L, STORE, methods, store_free);
  luaL_newlib(L, functions);
}
