#include "lua/sandbox.h"

#include <lauxlib.h>
#include <string.h>

#include "lua/core.h"
#include "lua/error.h"
#include "lua/modules.h"
#include "perilune.h"

static bool lacks(lua_State *L, unsigned capability) {
  const pl_vm_options *o = &pl_vm_of(L)->options;
  return o->sandboxed && (o->allowed & capability) == 0;
}

void pl_sandbox_need(lua_State *L, unsigned capability, const char *what) {
  if (!lacks(L, capability)) return;
  pl_raise_code(L, PL_FORBIDDEN, PL_NOT_EXECUTED,
                "%s needs '%s', which this script is not allowed in its sandbox", what,
                pl_capability_name(capability));
}

// With these one looks into nodes, and ends tasks of others.
void pl_sandbox_check_call(lua_State *L, const char *name) {
  static const char prefix[] = PL_SYSTEM_PREFIX;
  if (name[0] == prefix[0] && strncmp(name, prefix, sizeof prefix - 1) == 0)
    pl_sandbox_need(L, PL_CAN_PROCESS, name);
}

// Options.

static bool is_one_of(const char *name, const char *const *list) {
  for (; *list != NULL; list++) {
    if (strcmp(name, *list) == 0) return true;
  }
  return false;
}

// Limits, keys and addresses are for who runs the script to say.
void pl_sandbox_check_options(lua_State *L, int index) {
  static const char *const never[] = {"sandbox", "allow", NULL};
  static const char *const modest[] = {"name", "region", "strategy", "request_timeout", NULL};
  bool sandboxed = pl_vm_of(L)->options.sandboxed;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    const char *name = lua_tostring(L, -2);
    if (is_one_of(name, never))
      luaL_error(L, "mesh.node: %s: a script cannot say this of itself; --%s does", name, name);
    if (sandboxed && !is_one_of(name, modest))
      pl_raise_code(L, PL_FORBIDDEN, PL_NOT_EXECUTED,
                    "mesh.node: %s: not for a script in a sandbox to say", name);
  }
}

// Libraries.

// Removes field `name` of the table at the top. [-0, +0]
static void drop(lua_State *L, const char *name) {
  lua_pushnil(L);
  lua_setfield(L, -2, name);
}

// Removes all but `kept` of the library. [-0, +0]
static void drop_but(lua_State *L, const char *library, const char *const *kept) {
  lua_getglobal(L, library);
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    if (is_one_of(lua_tostring(L, -2), kept)) continue;
    lua_pushvalue(L, -2);
    lua_pushnil(L);
    lua_rawset(L, -5);
  }
  lua_pop(L, 1);
}

// Makes the whole library go. [-0, +0]
static void drop_library(lua_State *L, const char *name) {
  lua_pushnil(L);
  lua_setglobal(L, name);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  drop(L, name);
  lua_pop(L, 1);
}

static void limit_files(lua_State *L) {
  drop_library(L, "io");
  lua_pushglobaltable(L);
  drop(L, "loadfile");
  drop(L, "dofile");
  lua_getfield(L, -1, "os");
  drop(L, "remove");
  drop(L, "rename");
  drop(L, "tmpname");
  lua_pop(L, 2);
}

// Modules come from where they did when the script began, whatever it makes of package.path: else
// the message of a file that is no Lua would show what is in it. `package` is at the top.
static void fix_path(lua_State *L) {
  lua_getfield(L, -1, "searchers");
  lua_rawgeti(L, -1, 3);  // search_path of require.c, whose first upvalue is `package`
  lua_createtable(L, 0, 2);
  lua_getfield(L, -4, "path");
  lua_setfield(L, -2, "path");
  lua_getfield(L, -4, "searchpath");
  lua_setfield(L, -2, "searchpath");
  lua_setupvalue(L, -2, 1);
  lua_pop(L, 2);
  drop(L, "searchpath");
}

// A searcher, which finds nothing: what it returns is part of the error.
static int search_native(lua_State *L) {
  lua_pushliteral(L,
                  "no module in C: those need 'native', which this script is not allowed in its "
                  "sandbox");
  return 1;
}

// The searchers of modules in C are the last two. `package` is at the top.
static void limit_native(lua_State *L) {
  drop(L, "loadlib");
  drop(L, "cpath");
  lua_getfield(L, -1, "searchers");
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i > 4; i--) {
    lua_pushnil(L);
    lua_rawseti(L, -2, i);
  }
  lua_pushcfunction(L, search_native);
  lua_rawseti(L, -2, 4);
  lua_pop(L, 1);
}

// The metatables of what the host makes are its own: a finalizer put there would run without
// bounds. Of userdata all are, of tables those with such a name.
static bool is_of_host(lua_State *L) {
  static const char prefix[] = "perilune";
  if (lua_type(L, 1) == LUA_TUSERDATA) return true;
  if (!lua_istable(L, 1)) return false;
  lua_pushliteral(L, "__name");
  const char *name = lua_rawget(L, -2) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  bool is = strncmp(name, prefix, sizeof prefix - 1) == 0;
  lua_pop(L, 1);
  return is;
}

static int sandboxed_getmetatable(lua_State *L) {
  luaL_checkany(L, 1);
  if (!lua_getmetatable(L, 1)) {
    lua_pushnil(L);
  } else if (is_of_host(L)) {
    lua_pushboolean(L, 0);
  } else if (luaL_getmetafield(L, 1, "__metatable") == LUA_TNIL) {
    return 1;
  }
  return 1;
}

// Core modules. What stands nowhere here, as one that is new, needs the most.

static const char *const harmless[] = {
    "value", "task",    "group",   "error",  "sys",   "codec",  "crypto",  "node",
    "call",  "streams", "monitor", "action", "state", "reload", "offload", NULL};

static const struct {
  const char *module, *shown;
  unsigned needs;
} guarded[] = {
    {"fs", "perilune.fs", PL_CAN_FS},
    {"folder", "a folder of files", PL_CAN_FS},
    {"process", "perilune.process", PL_CAN_PROCESS},
    {"dns", "perilune.dns", PL_CAN_NET},
    {"sim", "mesh.sim", PL_CAN_PROCESS},  // its machines have no sandbox
};

static int refuse_module(lua_State *L) {
  const char *shown = lua_tostring(L, lua_upvalueindex(1));
  pl_sandbox_need(L, (unsigned)lua_tointeger(L, lua_upvalueindex(2)), shown);
  return luaL_error(L, "%s is not there", shown);
}

// Puts what refuses it in the place of what opens it, if that must be. The table of openers is at
// the top. [-0, +0]
static void limit_module(lua_State *L, const char *name) {
  if (is_one_of(name, harmless)) return;
  const char *shown = name;
  unsigned needs = PL_CAN_NATIVE;
  for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++) {
    if (strcmp(guarded[i].module, name) != 0) continue;
    shown = guarded[i].shown;
    needs = guarded[i].needs;
  }
  if (!lacks(L, needs)) return;
  lua_pushfstring(L, "perilune.core.%s", name);
  lua_pushstring(L, shown);
  lua_pushinteger(L, needs);
  lua_pushcclosure(L, refuse_module, 2);
  lua_rawset(L, -3);
}

static void limit_modules(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
#define X(name, opener) limit_module(L, #name);
  PL_LUA_MODULES(X)
#undef X
  lua_pop(L, 1);
}

void pl_open_sandbox(lua_State *L) {
  static const char *const of_debug[] = {"traceback", NULL};
  if (lacks(L, PL_CAN_DEBUG)) drop_but(L, "debug", of_debug);
  lua_pushcfunction(L, sandboxed_getmetatable);
  lua_setglobal(L, "getmetatable");
  lua_getglobal(L, "os");
  drop(L, "setlocale");  // of the whole process
  if (lacks(L, PL_CAN_ENV)) drop(L, "getenv");
  if (lacks(L, PL_CAN_PROCESS)) drop(L, "execute");
  lua_pop(L, 1);
  if (lacks(L, PL_CAN_PROCESS)) {
    lua_getglobal(L, "io");
    drop(L, "popen");
    lua_pop(L, 1);
  }
  lua_getglobal(L, "package");
  if (lacks(L, PL_CAN_FS)) fix_path(L);
  if (lacks(L, PL_CAN_NATIVE)) limit_native(L);
  lua_pop(L, 1);
  if (lacks(L, PL_CAN_FS)) limit_files(L);
  limit_modules(L);
}
