// perilune.core.state: mesh.state and mesh.shared. Each is a userdata that stands for a store of
// the host; what a script reads is decoded for it, what it writes is encoded, and the tables that
// it has read are kept for as long as nobody changes them.

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/store.h"
#include "lua/error.h"
#include "lua/guard.h"
#include "lua/host.h"
#include "lua/modules.h"
#include "lua/state.h"
#include "lua/value.h"
#include "lua/view.h"
#include "wire/canonical.h"

#define STATE_TYPE "perilune.State"

static const char methods_key;  // of the metatable: table of the methods

// Tables that were read are in its user values, by key: those of late, and those before them. When
// the former have become too many they take the place of the latter.
enum { RECENT = 1, FORMER = 2 };

typedef struct handle {
  pl_store *store;  // the host's; NULL until the script first uses it
  const char *name;
  bool shared;
  size_t recent;  // encoded bytes of the tables in RECENT
} handle;

static handle *check_state(lua_State *L, int index) {
  handle *h = luaL_checkudata(L, index, STATE_TYPE);
  if (h->store == NULL) h->store = pl_host_store(L, h->shared);
  return h;
}

static uint64_t now_us(lua_State *L) {
  return pl_now_us(pl_vm_loop(pl_vm_of(L)));
}

// Keys.

static int refuse_key(lua_State *L, const handle *h, int index) {
  if (lua_type(L, index) == LUA_TNUMBER) {
    return luaL_error(L, "%s: keys are strings, got the number %s", h->name,
                      luaL_tolstring(L, index, NULL));
  }
  return luaL_error(L, "%s: keys are strings, got a %s", h->name, luaL_typename(L, index));
}

static pl_key check_key(lua_State *L, const handle *h, int index) {
  if (lua_type(L, index) != LUA_TSTRING) refuse_key(L, h, index);
  pl_key key = {0};
  key.data = lua_tolstring(L, index, &key.len);
  if (key.len > PL_STATE_KEY_MAX) {
    luaL_error(L, "%s: a key of %d bytes is longer than %d", h->name, (int)key.len,
               PL_STATE_KEY_MAX);
  }
  return key;
}

// Whether the key at `index` is a method of the state at index 1; it is pushed then.
static bool push_method(lua_State *L, int index) {
  int top = lua_gettop(L);
  if (!lua_getmetatable(L, 1)) return false;
  lua_rawgetp(L, -1, &methods_key);
  lua_pushvalue(L, index);
  if (lua_rawget(L, -2) != LUA_TNIL) return true;
  lua_settop(L, top);
  return false;
}

// Of something that is to be written.
static pl_key check_own_key(lua_State *L, const handle *h, int index) {
  pl_key key = check_key(L, h, index);
  if (push_method(L, index)) {
    luaL_error(L, "%s: '%s' is the name of a method and cannot be a key", h->name,
               lua_tostring(L, index));
  }
  return key;
}

// Reading.

static void drop_item(void *item) {
  pl_item_drop(item);
}

// Pushes what `i` holds, whose reference it takes.
static void push_value(lua_State *L, pl_item *i) {
  enum { SHORT = 128 };
  if (i->len <= SHORT) {
    uint8_t copy[SHORT];
    size_t len = i->len;
    memcpy(copy, pl_item_value(i), len);
    pl_item_drop(i);
    pl_value_decode(L, PL_CODEC_MSGPACK, pl_bytes_of(copy, len));
  } else {
    pl_guard *g = pl_guard_push(L, drop_item);
    g->object = i;
    pl_value_decode(L, PL_CODEC_MSGPACK, pl_bytes_of(pl_item_value(i), i->len));
    pl_guard_free(g);
    lua_remove(L, -2);
  }
  if (lua_isnil(L, -1)) {  // the key is there
    lua_pop(L, 1);
    pl_push_null(L);
  }
}

// Whether the MessagePack value is an array or a map.
static bool is_table(const pl_item *i) {
  uint8_t first = *pl_item_value(i);
  return (first & 0xe0) == 0x80 || (first >= 0xdc && first <= 0xdf);
}

// Pushes the table that was read under the key at `key`, if it is of that version.
static bool push_kept(lua_State *L, int index, int key, int which, uint64_t version) {
  lua_getiuservalue(L, index, which);
  lua_pushvalue(L, key);
  bool kept = lua_rawget(L, -2) == LUA_TTABLE && pl_view_version(L, -1) == version;
  lua_remove(L, -2);
  if (!kept) lua_pop(L, 1);
  return kept;
}

// Keeps the view at the top.
static void keep(lua_State *L, int index, int key, size_t len) {
  handle *h = lua_touserdata(L, index);
  if (h->recent + len > PL_STATE_CACHE && h->recent > 0) {
    lua_getiuservalue(L, index, RECENT);
    lua_setiuservalue(L, index, FORMER);
    lua_newtable(L);
    lua_setiuservalue(L, index, RECENT);
    h->recent = 0;
  }
  h->recent += len;
  lua_getiuservalue(L, index, RECENT);
  lua_pushvalue(L, key);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

// Pushes the value of the key at `key` of the state at `index`; nil when it is absent. [-0, +1]
static void push_key(lua_State *L, const handle *h, int index, int key) {
  pl_item *i = pl_store_get(h->store, now_us(L), check_key(L, h, key));
  if (i == NULL) {
    lua_pushnil(L);
    return;
  }
  if (!is_table(i)) {
    push_value(L, i);
    return;
  }
  uint64_t version = i->version;
  size_t len = i->len;
  if (push_kept(L, index, key, RECENT, version)) {
    pl_item_drop(i);
    return;
  }
  if (push_kept(L, index, key, FORMER, version)) {
    pl_item_drop(i);
  } else {
    push_value(L, i);
    pl_view_wrap(L, h->name, key, version);
  }
  keep(L, index, key, len);
}

static int state_index(lua_State *L) {
  lua_settop(L, 2);
  if (push_method(L, 2)) return 1;
  push_key(L, check_state(L, 1), 1, 2);
  return 1;
}

// Writing.

static int refuse_size(lua_State *L, const handle *h, int key, size_t len) {
  pl_store_use use = pl_store_usage(h->store);
  return pl_raise_code(
      L, PL_TOO_LARGE, PL_NOT_EXECUTED,
      "%s: no room for %zu bytes, %zu of %zu are in use (state_limit): remove keys, "
      "give them a ttl, or raise the limit",
      pl_push_path(L, h->name, key), len, use.bytes, pl_store_limit(h->store));
}

// Gives the key at `key` the value at `value`, nil to remove it. False: it is not as expected.
static bool change(lua_State *L, const handle *h, int key, int value, uint64_t expected,
                   uint64_t expires_us) {
  pl_change c = {.expected = expected, .expires_us = expires_us};
  c.key.data = lua_tolstring(L, key, &c.key.len);
  if (!lua_isnil(L, value)) {
    size_t limit = pl_store_limit(h->store);
    pl_buf *out = pl_vm_scratch(pl_vm_of(L));
    pl_value_encode(L, PL_CODEC_MSGPACK, value, pl_push_path(L, h->name, key),
                    limit == 0 ? SIZE_MAX : limit, out);
    lua_pop(L, 1);
    c.value = pl_buf_data(out);
    c.len = pl_buf_len(out);
  }
  pl_err err = pl_store_change(h->store, now_us(L), &c);
  if (err == PL_TOO_LARGE) refuse_size(L, h, key, c.len);
  if (err == PL_NO_MEMORY) pl_raise_code(L, err, PL_NOT_EXECUTED, "%s: out of memory", h->name);
  return err == PL_OK;
}

static int state_newindex(lua_State *L) {
  lua_settop(L, 3);
  const handle *h = check_state(L, 1);
  check_own_key(L, h, 2);
  change(L, h, 2, 3, PL_STORE_ANY, PL_NEVER);
  return 0;
}

// When a key with these options expires.
static uint64_t check_expiry(lua_State *L, const handle *h, int index) {
  if (lua_isnoneornil(L, index)) return PL_NEVER;
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : luaL_typename(L, -2);
    if (strcmp(name, "ttl") != 0) luaL_error(L, "unknown option '%s' of %s:set", name, h->name);
  }
  int type = lua_getfield(L, index, "ttl");
  if (type == LUA_TNIL) return PL_NEVER;
  lua_Number ttl = lua_tonumber(L, -1);
  if (type != LUA_TNUMBER || !(ttl > 0 && ttl <= 1e9)) {
    luaL_error(L, "option 'ttl' of %s:set: number of seconds above 0 expected, got %s", h->name,
               luaL_tolstring(L, -1, NULL));
  }
  return now_us(L) + (uint64_t)ceil(ttl * 1e6);
}

// set(key, value [, {ttl = seconds}])
static int state_set(lua_State *L) {
  const handle *h = check_state(L, 1);
  check_own_key(L, h, 2);
  luaL_checkany(L, 3);
  uint64_t expires_us = check_expiry(L, h, 4);
  change(L, h, 2, 3, PL_STORE_ANY, expires_us);
  return 0;
}

// clear()
static int state_clear(lua_State *L) {
  handle *h = check_state(L, 1);
  pl_store_clear(h->store);
  h->recent = 0;
  for (int which = RECENT; which <= FORMER; which++) {
    lua_newtable(L);
    lua_setiuservalue(L, 1, which);
  }
  return 0;
}

// What is read, thought about, and written if nobody else has done so meanwhile.

// Pushes the value of the key at index 2 as the script's own, nil when it is absent; returns what a
// change must expect.
static uint64_t push_current(lua_State *L, const handle *h, pl_key key) {
  pl_item *i = pl_store_get(h->store, now_us(L), key);
  if (i == NULL) {
    lua_pushnil(L);
    return PL_STORE_ABSENT;
  }
  uint64_t version = i->version;
  push_value(L, i);
  return version;
}

static int give_up(lua_State *L, const handle *h, const char *method) {
  return pl_raise_code(
      L, PL_BUSY, PL_NOT_EXECUTED,
      "%s:%s: %s was changed by others each of %d times; a function for update must "
      "not change the key itself",
      h->name, method, pl_push_path(L, h->name, 2), PL_STATE_TRIES);
}

// update(key, fn) -> what fn(old) returned, which is the value now; nothing else of this VM runs
// meanwhile, and of others whatever does makes it begin again.
int pl_state_update(lua_State *L) {
  const handle *h = check_state(L, 1);
  pl_key key = check_own_key(L, h, 2);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  for (int i = 0; i < PL_STATE_TRIES; i++) {
    lua_settop(L, 3);
    lua_pushvalue(L, 3);
    uint64_t version = push_current(L, h, key);
    lua_call(L, 1, LUA_MULTRET);
    if (lua_gettop(L) == 3) {
      return luaL_error(L, "%s:update: the function returned nothing, not even nil to remove %s",
                        h->name, pl_push_path(L, h->name, 2));
    }
    lua_settop(L, 4);
    if (change(L, h, 2, 4, version, PL_STORE_KEEP)) return 1;
  }
  return give_up(L, h, "update");
}

// incr(key [, by]) -> the sum
static int state_incr(lua_State *L) {
  const handle *h = check_state(L, 1);
  pl_key key = check_own_key(L, h, 2);
  if (lua_isnoneornil(L, 3)) {
    lua_settop(L, 2);
    lua_pushinteger(L, 1);
  }
  luaL_checktype(L, 3, LUA_TNUMBER);
  for (int i = 0; i < PL_STATE_TRIES; i++) {
    lua_settop(L, 3);
    uint64_t version = push_current(L, h, key);
    if (version == PL_STORE_ABSENT) {
      lua_pushinteger(L, 0);
      lua_replace(L, 4);
    }
    if (lua_type(L, 4) != LUA_TNUMBER) {
      return luaL_error(L, "%s:incr: %s is a %s, not a number", h->name,
                        pl_push_path(L, h->name, 2), luaL_typename(L, 4));
    }
    lua_pushvalue(L, 3);
    lua_arith(L, LUA_OPADD);
    if (change(L, h, 2, 4, version, PL_STORE_KEEP)) return 1;
  }
  return give_up(L, h, "incr");
}

// Whether the value of `i` is that of the MessagePack value in `expected`.
static bool holds(const pl_item *i, const pl_buf *expected) {
  size_t len = pl_buf_len(expected);
  if (i->len == len && memcmp(pl_item_value(i), pl_buf_data(expected), len) == 0) return true;
  pl_buf a = {0}, b = {0};
  bool same = pl_mp_canonical(&a, pl_bytes_of(pl_item_value(i), i->len)) == PL_OK &&
              pl_mp_canonical(&b, pl_bytes_of(pl_buf_data(expected), len)) == PL_OK &&
              pl_buf_len(&a) == pl_buf_len(&b) &&
              memcmp(pl_buf_data(&a), pl_buf_data(&b), pl_buf_len(&a)) == 0;
  pl_buf_fini(&a);
  pl_buf_fini(&b);
  return same;
}

// The version of the key at index 2, if it holds the value at index 3; else 0.
static uint64_t find_expected(lua_State *L, const handle *h, pl_key key) {
  pl_buf *expected = pl_vm_scratch(pl_vm_of(L));
  if (!lua_isnil(L, 3)) pl_value_encode(L, PL_CODEC_MSGPACK, 3, "old", SIZE_MAX, expected);
  pl_item *i = pl_store_get(h->store, now_us(L), key);
  if (lua_isnil(L, 3) || i == NULL) {
    bool absent = lua_isnil(L, 3) && i == NULL;
    pl_item_drop(i);
    return absent ? PL_STORE_ABSENT : 0;
  }
  uint64_t version = holds(i, expected) ? i->version : 0;
  pl_item_drop(i);
  return version;
}

// cas(key, old, new) -> whether the value was equal to `old`, and is `new` now
static int state_cas(lua_State *L) {
  const handle *h = check_state(L, 1);
  pl_key key = check_own_key(L, h, 2);
  luaL_checkany(L, 3);
  luaL_checkany(L, 4);
  for (int i = 0; i < PL_STATE_TRIES; i++) {
    lua_settop(L, 4);
    uint64_t version = find_expected(L, h, key);
    if (version == 0 || change(L, h, 2, 4, version, PL_STORE_KEEP)) {
      lua_pushboolean(L, version != 0);
      return 1;
    }
  }
  return give_up(L, h, "cas");
}

// Walking.

static void drop_items(void *items) {
  pl_items_drop(items);
  pl_free(items);
}

// keys() -> list, in the order in which they came into being
static int state_keys(lua_State *L) {
  const handle *h = check_state(L, 1);
  pl_guard *g = pl_guard_push(L, drop_items);
  pl_items *all = pl_new(pl_items);
  g->object = all;
  if (!pl_store_snapshot(h->store, now_us(L), all))
    pl_raise_code(L, PL_NO_MEMORY, PL_NOT_EXECUTED, "%s: out of memory", h->name);
  lua_createtable(L, all->count < INT32_MAX ? (int)all->count : INT32_MAX, 0);
  for (size_t i = 0; i < all->count; i++) {
    const pl_item *item = all->items[i];
    lua_pushlstring(L, (const char *)item->bytes, item->key_len);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  pl_guard_free(g);
  return 1;
}

// The iterator of pairs: its upvalues are the state, the keys and how many of them are done.
static int each(lua_State *L) {
  const handle *h = lua_touserdata(L, lua_upvalueindex(1));
  lua_Integer at = lua_tointeger(L, lua_upvalueindex(3));
  for (;;) {
    lua_settop(L, 0);
    if (lua_rawgeti(L, lua_upvalueindex(2), ++at) == LUA_TNIL) return 1;
    push_key(L, h, lua_upvalueindex(1), 1);
    if (!lua_isnil(L, 2)) break;  // else it has gone since
  }
  lua_pushinteger(L, at);
  lua_replace(L, lua_upvalueindex(3));
  return 2;
}

static int state_pairs(lua_State *L) {
  lua_settop(L, 1);
  state_keys(L);
  lua_pushvalue(L, 1);
  lua_insert(L, -2);
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, each, 3);
  return 1;
}

// next(state [, key])
static int state_next(lua_State *L) {
  lua_settop(L, 2);
  const handle *h = check_state(L, 1);
  pl_key key = lua_isnil(L, 2) ? (pl_key){0} : check_key(L, h, 2);
  pl_guard *g = pl_guard_push(L, drop_item);
  pl_item *i;
  if (!pl_store_next(h->store, now_us(L), key, &i)) return luaL_error(L, "invalid key to 'next'");
  if (i == NULL) return 0;
  g->object = i;
  lua_pushlstring(L, (const char *)i->bytes, i->key_len);
  pl_guard_free(g);
  push_key(L, h, 1, 4);
  return 2;
}

static int state_tostring(lua_State *L) {
  const handle *h = luaL_checkudata(L, 1, STATE_TYPE);
  lua_pushstring(L, h->name);
  return 1;
}

static void push_state(lua_State *L, const char *name, bool shared) {
  handle *h = lua_newuserdatauv(L, sizeof *h, 2);
  *h = (handle){.name = name, .shared = shared};
  for (int which = RECENT; which <= FORMER; which++) {
    lua_newtable(L);
    lua_setiuservalue(L, -2, which);
  }
  luaL_setmetatable(L, STATE_TYPE);
}

int pl_open_state(lua_State *L) {
  static const luaL_Reg metamethods[] = {
      {"__index", state_index},
      {"__newindex", state_newindex},
      {"__pairs", state_pairs},
      {"__tostring", state_tostring},
      {NULL, NULL},
  };
  static const luaL_Reg methods[] = {
      {"set", state_set},   {"update", pl_state_update}, {"incr", state_incr}, {"cas", state_cas},
      {"keys", state_keys}, {"clear", state_clear},      {NULL, NULL},
  };
  luaL_newmetatable(L, STATE_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_rawsetp(L, -2, &methods_key);
  lua_pushcfunction(L, state_next);
  lua_rawsetp(L, -2, &pl_next_key);
  lua_pushboolean(L, 0);  // closed to setmetatable and getmetatable
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
  lua_createtable(L, 0, 2);
  push_state(L, "mesh.state", false);
  lua_setfield(L, -2, "state");
  push_state(L, "mesh.shared", true);
  lua_setfield(L, -2, "shared");
  return 1;
}
