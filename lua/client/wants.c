#include "lua/client/wants.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/guess.h"
#include "base/limits.h"
#include "lua/client/buffer.h"
#include "lua/value.h"

enum { IDLE = 60 };  // seconds: the longest gap of a stream unless told otherwise

static double read_seconds(lua_State *L, const char *name) {
  int type = lua_type(L, -1);
  if (type != LUA_TNUMBER)
    luaL_error(L, "option '%s' of with: number of seconds expected, got %s", name,
               luaL_typename(L, -1));
  double seconds = lua_tonumber(L, -1);
  if (!(seconds >= 0 && seconds < 1e9))
    luaL_error(L, "option '%s' of with: number of seconds from 0 on expected, got %f", name,
               seconds);
  return seconds;
}

static void set_timeout(lua_State *L, pl_wants *w) {
  w->timeout = read_seconds(L, "timeout");
}

static void set_idle(lua_State *L, pl_wants *w) {
  w->idle = read_seconds(L, "idle");
}

static void set_wait(lua_State *L, pl_wants *w) {
  w->wait = read_seconds(L, "wait");
}

static void set_node(lua_State *L, pl_wants *w) {
  if (lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "option 'node' of with: string expected, got %s", luaL_typename(L, -1));
  const char *node = lua_tolstring(L, -1, &w->node_len);
  if (w->node_len == 0 || w->node_len > PL_NAME_MAX)
    luaL_error(L, "option 'node' of with: 1 to %d bytes expected", PL_NAME_MAX);
  memcpy(w->node, node, w->node_len);
}

static void set_priority(lua_State *L, pl_wants *w) {
  static const char *const names[] = {"", "high", "normal", "low"};
  const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  for (int i = PL_PRIORITY_HIGH; i <= PL_PRIORITY_LOW; i++) {
    if (strcmp(names[i], name) == 0) w->priority = (pl_priority)i;
  }
  if (w->priority == 0)
    luaL_error(L, "option 'priority' of with: 'high', 'normal' or 'low' expected");
}

static void set_retries(lua_State *L, pl_wants *w) {
  int is_integer;
  lua_Integer n = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &is_integer) : -1;
  if (n < 0 || !is_integer || n > UINT16_MAX)
    luaL_error(L, "option 'retries' of with: whole number from 0 on expected, got %s",
               luaL_tolstring(L, -1, NULL));
  w->policy.limited = true;
  w->policy.retries = (unsigned)n;
}

// The wants are below the value.
static void set_meta(lua_State *L, pl_wants *w) {
  int value = lua_gettop(L), wants = value - 2;
  if (!lua_istable(L, value))
    luaL_error(L, "option 'meta' of with: table expected, got %s", luaL_typename(L, value));
  pl_buf *bytes = pl_buffer_push(L);
  pl_value_encode(L, PL_CODEC_MSGPACK, value, "meta", PL_META_MAX, bytes);
  lua_pushlstring(L, (const char *)pl_buf_data(bytes), pl_buf_len(bytes));
  w->meta.data = (const uint8_t *)lua_tolstring(L, -1, &w->meta.len);
  lua_setiuservalue(L, wants, PL_WANTS_META);
  lua_settop(L, value);
}

static const struct {
  const char *name;
  void (*set)(lua_State *L, pl_wants *w);
} options[] = {
    {"timeout", set_timeout}, {"idle", set_idle}, {"wait", set_wait},
    {"node", set_node},       {"meta", set_meta}, {"priority", set_priority},
    {"retries", set_retries},
};
enum { OPTIONS = sizeof options / sizeof *options };

// The option whose name and value are at the top, above the wants.
static void set(lua_State *L, pl_wants *w) {
  if (lua_type(L, -2) != LUA_TSTRING)
    luaL_error(L, "options of with have names, got a %s", luaL_typename(L, -2));
  const char *name = lua_tostring(L, -2), *names[OPTIONS];
  for (int i = 0; i < OPTIONS; i++) {
    names[i] = options[i].name;
    if (strcmp(name, names[i]) != 0) continue;
    options[i].set(L, w);
    return;
  }
  const char *meant = pl_guess(name, names, OPTIONS);
  if (meant == NULL) luaL_error(L, "unknown option '%s' of with", name);
  luaL_error(L, "unknown option '%s' of with; did you mean '%s'?", name, meant);
}

const pl_wants *pl_wants_push(lua_State *L, int index) {
  pl_wants *w = lua_newuserdatauv(L, sizeof *w, PL_WANTS_VALUES);
  *w = (pl_wants){.timeout = NAN, .idle = IDLE};
  if (index == 0) return w;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
    set(L, w);
  return w;
}
