// `require` that may wait: a module may call, sleep and stream while it loads. Another task that
// requires a module meanwhile waits for it; a loop of modules is an error.
//
// Modules are looked for in package.preload (and there is the C side, perilune.core.*), in the
// standard library that the executable carries, and along package.path and package.cpath.

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "lua/compile.h"
#include "lua/core.h"
#include "lua/modules.h"
#include "lua/origins.h"
#include "lua/stdlib.h"

static const char loading_key;  // registry table: name -> what loads it

// A module that is being loaded: a userdata, closed when its loader is done or failed.
typedef struct loading {
  pl_task *task;    // that loads it
  pl_list waiters;  // of waiter
} loading;

typedef struct waiter {
  pl_op op;
  pl_list node;
  loading *load;
} waiter;

_Static_assert(sizeof(waiter) <= PL_TASK_SPACE, "a waiter lives in the space of its task");

static int require_again(lua_State *L, int status, lua_KContext ctx);

// stack of require: 1 name, 2 package.loaded, 3 searchers or the loading mark, …
static int finish_waiter(lua_State *L, pl_op *op) {
  (void)op;
  return require_again(L, LUA_YIELD, 0);
}

static void cancel_waiter(pl_op *op) {
  pl_list_remove(&pl_container(op, waiter, op)->node);
}

static const pl_op_type waiter_type = {"require", finish_waiter, cancel_waiter};

// Whether `load` waits, over any number of modules, for something that `t` loads.
static bool is_loop(const loading *load, const pl_task *t) {
  for (const pl_task *at = load->task; at != t;) {
    if (at == NULL || at->op == NULL || at->op->type != &waiter_type) return false;
    at = pl_container(at->op, waiter, op)->load->task;
  }
  return true;
}

static int close_loading(lua_State *L) {
  loading *load = lua_touserdata(L, 1);
  for (pl_list *node; (node = pl_list_pop(&load->waiters)) != NULL;) {
    pl_op_wake(&pl_container(node, waiter, node)->op);
  }
  lua_getiuservalue(L, 1, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &loading_key);
  lua_insert(L, -2);
  lua_pushnil(L);
  lua_rawset(L, -3);
  return 0;
}

// Marks the module at 1 as being loaded until the frame ends. [-0, +1]
static void open_loading(lua_State *L) {
  loading *load = lua_newuserdatauv(L, sizeof *load, 1);
  load->task = pl_vm_of(L)->current;
  pl_list_init(&load->waiters);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  if (luaL_newmetatable(L, "perilune.loading")) {
    lua_pushcfunction(L, close_loading);
    lua_setfield(L, -2, "__close");
  }
  lua_setmetatable(L, -2);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &loading_key);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lua_toclose(L, -1);
}

// Waits when another task loads the module. False: nobody does.
static bool is_loading(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &loading_key);
  lua_pushvalue(L, 1);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  return !lua_isnil(L, -1);
}

static int wait_for_other(lua_State *L) {
  loading *load = lua_touserdata(L, -1);
  pl_task *t = pl_vm_of(L)->current;
  if (is_loop(load, t)) {
    return luaL_error(L, "module '%s' is being loaded: it requires itself", lua_tostring(L, 1));
  }
  lua_settop(L, 2);
  pl_op_check(L, &waiter_type);
  waiter *w = (waiter *)(void *)t->space;
  w->op.type = &waiter_type;
  w->load = load;
  pl_list_push(&load->waiters, &w->node);
  return pl_op_wait(L, &w->op);
}

// 1 name, 2 loaded, 3 loading mark, 4 loader data, 5 value of the loader
static int end_load(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  const char *name = lua_tostring(L, 1);
  if (!lua_isnil(L, 5)) {
    lua_pushvalue(L, 5);
    lua_setfield(L, 2, name);
  }
  if (lua_getfield(L, 2, name) == LUA_TNIL) {
    lua_pushboolean(L, 1);
    lua_copy(L, -1, -2);
    lua_setfield(L, 2, name);
  }
  lua_pushvalue(L, 4);
  return 2;
}

// 1 name, 2 loaded, 3 loading mark, 4 searchers, 5 messages, then loader and its data
static int found(lua_State *L) {
  lua_remove(L, 4);
  lua_remove(L, 4);
  lua_insert(L, 4);  // 4 data, 5 loader
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 4);
  lua_callk(L, 2, 1, 0, end_load);
  return end_load(L, LUA_OK, 0);
}

// A file at one of the places where the module was looked for may make it load the next time.
static void note_missed(lua_State *L) {
  pl_origins *kept = pl_vm_of(L)->options.sources;
  if (kept == NULL || lua_getfield(L, lua_upvalueindex(1), "path") != LUA_TSTRING) return;
  const char *at = lua_tostring(L, -1);
  const char *file = luaL_gsub(L, lua_tostring(L, 1), ".", LUA_DIRSEP);
  for (const char *end; *at != '\0'; at = *end == '\0' ? end : end + 1) {
    end = at + strcspn(at, ";");
    lua_pushlstring(L, at, (size_t)(end - at));
    pl_origins_miss(kept, luaL_gsub(L, lua_tostring(L, -1), "?", file));
    lua_pop(L, 2);
  }
}

static int not_found(lua_State *L) {
  note_missed(L);
  return luaL_error(L, "module '%s' not found:%s", lua_tostring(L, 1), lua_tostring(L, 5));
}

// Asks the searchers in turn; `i` is the one that was called, its two results are on top.
static int search(lua_State *L, int status, lua_KContext i) {
  (void)status;
  for (;;) {
    if (i > 0) {
      if (lua_isfunction(L, -2)) return found(L);
      lua_pop(L, 1);
      if (lua_isstring(L, -1)) {
        lua_pushfstring(L, "%s\n\t%s", lua_tostring(L, 5), lua_tostring(L, -1));
        lua_replace(L, 5);
      }
      lua_settop(L, 5);
    }
    if (lua_rawgeti(L, 4, ++i) == LUA_TNIL) return not_found(L);
    lua_pushvalue(L, 1);
    lua_callk(L, 1, 2, i, search);
  }
}

static int require_again(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  lua_settop(L, 2);
  if (lua_getfield(L, 2, lua_tostring(L, 1)) != LUA_TNIL && lua_toboolean(L, -1)) return 1;
  lua_pop(L, 1);
  if (is_loading(L)) return wait_for_other(L);
  lua_settop(L, 2);
  open_loading(L);
  if (lua_getfield(L, lua_upvalueindex(1), "searchers") != LUA_TTABLE) {
    return luaL_error(L, "'package.searchers' must be a table");
  }
  lua_pushliteral(L, "");
  return search(L, LUA_OK, 0);
}

int pl_base_require(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  return require_again(L, LUA_OK, 0);
}

// Searchers.

const pl_stdlib_module *pl_stdlib_find(const char *name) {
  const pl_stdlib_module *m = pl_stdlib_modules;
  while (m->name != NULL && strcmp(m->name, name) != 0)
    m++;
  return m->name != NULL ? m : NULL;
}

static int search_stdlib(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const pl_stdlib_module *m = pl_stdlib_find(name);
  if (m == NULL) {
    lua_pushfstring(L, "no module '%s' in the standard library", name);
    return 1;
  }
  const char *chunk = lua_pushfstring(L, "=%s", name);
  if (luaL_loadbufferx(L, (const char *)m->source, m->len, chunk, "t") != LUA_OK)
    return lua_error(L);
  lua_pushliteral(L, ":embedded:");
  return 2;
}

// 1 name, …, path, function or nil, why not
static int end_source(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  if (lua_isnil(L, -2)) {
    return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s", lua_tostring(L, 1),
                      lua_tostring(L, -3), lua_tostring(L, -1));
  }
  lua_pop(L, 1);
  lua_insert(L, -2);
  return 2;
}

static int load_source(lua_State *L, const pl_origin *s) {
  lua_pushstring(L, s->path);
  lua_pushcfunction(L, pl_compile);
  lua_pushlightuserdata(L, (void *)(uintptr_t)s);
  lua_callk(L, 1, 2, 0, end_source);
  return end_source(L, LUA_OK, 0);
}

static int free_source(lua_State *L) {
  pl_origin_fini(lua_touserdata(L, 1));
  return 0;
}

// Of a VM that keeps no texts: it is freed with the value that is pushed. [-0, +1]
static pl_origin *push_source(lua_State *L) {
  pl_origin *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (pl_origin){0};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, free_source);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  return s;
}

static int load_file(lua_State *L, const char *name, const char *path) {
  pl_origins *kept = pl_vm_of(L)->options.sources;
  pl_origin *s = push_source(L);
  char detail[PL_URL_MAX];
  if (pl_origin_read(s, name, path, detail) != PL_OK)
    return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s", name, path, detail);
  const bool keep = kept != NULL && kept->count < PL_ORIGINS_MAX;
  if (!keep) return load_source(L, s);
  pl_origin mine = *s;
  *s = (pl_origin){0};
  return load_source(L, pl_origins_add(kept, &mine));
}

// A text that an earlier generation was loaded from.
static int load_known(lua_State *L, const pl_origin *known) {
  pl_origins *kept = pl_vm_of(L)->options.sources;
  pl_origin copy = {.name = pl_strdup(known->name),
                    .path = pl_strdup(known->path),
                    .text = pl_slice_hold(known->text),
                    .stamp = known->stamp};
  pl_origins_add(kept, &copy);
  return load_source(L, known);
}

// As Lua's own, but text only.
static int search_path(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lua_settop(L, 1);
  const pl_origins *replay = pl_vm_of(L)->options.replay;
  const pl_origin *known = replay == NULL ? NULL : pl_origins_find(replay, name);
  if (known != NULL) return load_known(L, known);
  lua_getfield(L, lua_upvalueindex(1), "searchpath");
  lua_pushvalue(L, 1);
  if (lua_getfield(L, lua_upvalueindex(1), "path") != LUA_TSTRING) {
    return luaL_error(L, "'package.path' must be a string");
  }
  lua_call(L, 2, 2);
  if (lua_isnil(L, -2)) return 1;
  lua_pop(L, 1);
  return load_file(L, name, lua_tostring(L, -1));
}

// Inserts the function at the top as the searcher number `at`. The searchers are at -2.
static void insert_searcher(lua_State *L, int at) {
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, -2); i >= at; i--) {
    lua_rawgeti(L, -2, i);
    lua_rawseti(L, -3, i + 1);
  }
  lua_rawseti(L, -2, at);
}

// Puts the script's own folder, and its lua_modules/, before what the environment says.
static void extend_path(lua_State *L, const char *field, const char *format) {
  const char *directory = pl_vm_of(L)->options.directory;
  if (directory == NULL) return;
  luaL_gsub(L, format, "!", directory);
  lua_getfield(L, -2, field);
  lua_concat(L, 2);
  lua_setfield(L, -2, field);
}

static void fill_preload(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
#define X(name, opener)         \
  lua_pushcfunction(L, opener); \
  lua_setfield(L, -2, "perilune.core." #name);
  PL_LUA_MODULES(X)
#undef X
  lua_pop(L, 1);
}

void pl_open_require(lua_State *L) {
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &loading_key);
  fill_preload(L);

  lua_getglobal(L, LUA_LOADLIBNAME);
  extend_path(L, "path",
              "!/?.lua;!/?/init.lua;!/lua_modules/share/lua/5.4/?.lua;"
              "!/lua_modules/share/lua/5.4/?/init.lua;!/lua_modules/?.lua;"
              "!/lua_modules/?/init.lua;");
  extend_path(L, "cpath", "!/lua_modules/lib/lua/5.4/?.so;!/lua_modules/?.so;");
  lua_getfield(L, -1, "searchers");
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, search_path, 1);
  lua_rawseti(L, -2, 2);
  lua_pushcfunction(L, search_stdlib);
  insert_searcher(L, 2);
  lua_pop(L, 1);
  lua_pushcclosure(L, pl_base_require, 1);
  lua_setglobal(L, "require");
}
