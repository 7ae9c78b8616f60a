// perilune.core.sys: clocks, the log, counters, the terminal.

#include <lauxlib.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/guess.h"
#include "base/limits.h"
#include "base/loop.h"
#include "lua/host.h"
#include "lua/modules.h"
#include "lua/pool.h"
#include "lua/vm.h"

static pl_loop *loop_of(lua_State *L) {
  return pl_vm_loop(pl_vm_of(L));
}

static int sys_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)pl_wall_us() / 1e6);
  return 1;
}

static int sys_monotonic(lua_State *L) {
  lua_pushnumber(L, (lua_Number)pl_now_precise_us(loop_of(L)) / 1e6);
  return 1;
}

static int check_fd(lua_State *L) {
  static const char *const names[] = {"stdin", "stdout", "stderr", NULL};
  return luaL_checkoption(L, 1, NULL, names);
}

static int sys_is_tty(lua_State *L) {
  lua_pushboolean(L, isatty(check_fd(L)));
  return 1;
}

// hung_up(name) -> whether nobody can read what is written there: the other end of the pipe is
// closed
static int sys_hung_up(lua_State *L) {
  struct pollfd p = {.fd = check_fd(L)};
  lua_pushboolean(L, poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0);
  return 1;
}

// columns(name) -> width of that terminal, nil when it is none
static int sys_columns(lua_State *L) {
  struct winsize size;
  if (ioctl(check_fd(L), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
    lua_pushnil(L);
  } else {
    lua_pushinteger(L, size.ws_col);
  }
  return 1;
}

static pl_log_level check_level(lua_State *L) {
  static const char *const names[] = {"debug", "info", "warn", "error", NULL};
  static const pl_log_level levels[] = {PL_LOG_DEBUG, PL_LOG_INFO, PL_LOG_WARN, PL_LOG_ERROR};
  return levels[luaL_checkoption(L, 1, NULL, names)];
}

static int sys_log_enabled(lua_State *L) {
  lua_pushboolean(L, pl_log_enabled(loop_of(L)->log, check_level(L)));
  return 1;
}

// The value at the top as a field; a text that it needs replaces it. [-1, +1]
static pl_field to_field(lua_State *L, const char *key) {
  if (lua_isboolean(L, -1)) return pl_f_bool(key, lua_toboolean(L, -1));
  if (lua_isinteger(L, -1)) return pl_f_int(key, lua_tointeger(L, -1));
  if (lua_type(L, -1) == LUA_TNUMBER) return pl_f_float(key, lua_tonumber(L, -1));
  size_t len;
  luaL_tolstring(L, -1, &len);
  lua_remove(L, -2);
  const char *text = lua_tolstring(L, -1, &len);
  return pl_f_bytes(key, text, len);
}

static int compare_fields(const void *a, const void *b) {
  return strcmp(((const pl_field *)a)->key, ((const pl_field *)b)->key);
}

// Collects the fields of the table at `index`, sorted, so that a line always looks the same. Their
// texts stay on the stack. [-0, +?]
static size_t collect_fields(lua_State *L, int index, pl_field *fields) {
  size_t n = 0;
  luaL_checkstack(L, PL_LOG_FIELDS + 4, NULL);
  for (lua_pushnil(L); lua_next(L, index) != 0 && n < PL_LOG_FIELDS;) {
    if (lua_type(L, -2) != LUA_TSTRING) {
      lua_pop(L, 1);
      continue;
    }
    fields[n] = to_field(L, lua_tostring(L, -2));
    n++;
    lua_insert(L, -2);  // the text below the key
  }
  qsort(fields, n, sizeof *fields, compare_fields);
  return n;
}

// log(level, message [, fields])
static int sys_log(lua_State *L) {
  pl_log_level level = check_level(L);
  const char *message = luaL_checkstring(L, 2);
  pl_log *log = loop_of(L)->log;
  if (!pl_log_enabled(log, level)) return 0;
  pl_field fields[PL_LOG_FIELDS];
  size_t n = lua_istable(L, 3) ? collect_fields(L, 3, fields) : 0;
  pl_log_write(log, level, message, fields, n);
  return 0;
}

// box(metatable) -> a userdata of that kind, for objects that must not be tables
static int sys_box(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_pushliteral(L, "__gc");
  luaL_argcheck(L, lua_rawget(L, 1) == LUA_TNIL, 1, "a finalizer here would have no bounds");
  lua_settop(L, 1);
  lua_newuserdatauv(L, 0, 0);
  lua_insert(L, 1);
  lua_setmetatable(L, 1);
  return 1;
}

// metrics() -> name = value, of everything that the process counts
static int sys_metrics(lua_State *L) {
  pl_metrics *metrics = &loop_of(L)->metrics;
  metrics->log_lines_lost = pl_log_lost(loop_of(L)->log);  // counted where any thread may log
  if (pl_script_of(L) != NULL) {
    pl_host_count(metrics, pl_host_of(L));
  } else {
    pl_pool_count(metrics);
  }
  lua_newtable(L);
  for (const pl_metric_info *m = pl_metric_list; m->name != NULL; m++) {
    lua_pushinteger(L, (lua_Integer)pl_metric_get(metrics, m));
    lua_setfield(L, -2, m->name);
  }
  return 1;
}

int pl_sys_guess(lua_State *L) {
  enum { CANDIDATES_MAX = 1000 };
  const char *word = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Unsigned len = lua_rawlen(L, 2);
  size_t count = len < CANDIDATES_MAX ? (size_t)len : CANDIDATES_MAX;
  const char **candidates = lua_newuserdatauv(L, (count + 1) * sizeof *candidates, 0);
  for (size_t i = 0; i < count; i++) {
    // A number would become a text that nothing holds.
    if (lua_rawgeti(L, 2, (lua_Integer)i + 1) != LUA_TSTRING)
      return luaL_argerror(L, 2, "a list of texts is expected");
    candidates[i] = lua_tostring(L, -1);
    lua_pop(L, 1);  // the list holds it
  }
  lua_pushstring(L, pl_guess(word, candidates, count));
  return 1;
}

static const luaL_Reg functions[] = {
    {"guess", pl_sys_guess},
    {"now", sys_now},
    {"monotonic", sys_monotonic},
    {"is_tty", sys_is_tty},
    {"columns", sys_columns},
    {"log", sys_log},
    {"log_enabled", sys_log_enabled},
    {"box", sys_box},
    {"hung_up", sys_hung_up},
    {"metrics", sys_metrics},
    {NULL, NULL},
};

int pl_open_sys(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
